"""What the generators print, as they printed it."""

import json
import unittest

from compare import parse

WRK = """Running 2s test @ http://127.0.0.1:21102/
  1 threads and 64 connections
  97 requests in 2.00s, 20.27KB read
  Non-2xx or 3xx responses: 7
{"requests": 97, "seconds": 2.000000, "bytes": 20273, "connect": 1, "read": 2, "write": 0, "status": 7, "timeout": 0, \
"p50_us": 512, "p99_us": 3560, "p99_9_us": 4770, "max_us": 5000}
"""

H2LOAD = """starting benchmark...
finished in 2.00s, 24000.00 req/s, 4.10MB/s
requests: 48064 total, 48128 started, 48000 done, 47990 succeeded, 10 failed, 0 errored, 0 timeout
status codes: 47990 2xx, 0 3xx, 10 4xx, 0 5xx
"""

BENCH = {
    "schema": "tidegate-bench-run/1",
    "url": "http://localhost:1/",
    "protocol": "http/1.1",
    "tls": False,
    "mode": "open",
    "rate": 2000.0,
    "connections": 16,
    "streams": 1,
    "threads": 1,
    "keepalive": True,
    "duration_s": 2.0,
    "requests": 3990,
    "rps": 1995.0,
    "bytes": 510720,
    "statuses": {"200": 3980, "502": 10},
    "errors": {"connect": 1, "timeout": 2, "closed": 3, "protocol": 0, "length": 0, "status": 10},
    "unsent": 4,
    "latency_us": {
        "min": 90,
        "mean": 200,
        "p50": 180,
        "p75": 210,
        "p90": 300,
        "p99": 900,
        "p99_9": 2500,
        "p99_99": 4000,
        "max": 4100,
    },
    "send_lag_us": None,
    "generator": {"cpu_percent_of_a_core": 12.0, "cpu_us_per_request": 60.0},
    "void": None,
    "thresholds": [],
}


class Parse(unittest.TestCase):
    def test_wrk_counts_other_statuses_and_socket_errors_as_failed(self):
        load = parse.wrk(WRK)
        self.assertEqual((load.requests, load.failed, load.rps), (90, 10, 45.0))
        self.assertEqual((load.p50_ms, load.p99_9_ms, load.max_ms), (0.512, 4.77, 5.0))

    def test_h2load_takes_its_percentiles_from_the_log(self):
        load = parse.h2load(H2LOAD, 2, ["1\t200\t100", "2\t200\t300", "3\t200\t200", "a broken line"])
        self.assertEqual((load.requests, load.failed, load.p50_ms, load.max_ms), (47990, 10, 0.2, 0.3))
        self.assertIsNone(parse.h2load(H2LOAD, 2).p99_ms)

    def test_tidegate_bench_counts_what_was_never_sent_as_failed(self):
        load = parse.tidegate_bench(json.dumps(BENCH))
        self.assertEqual((load.requests, load.failed, load.p99_ms, load.void), (3980, 10 + 4 + 6, 0.9, None))

    def test_a_report_of_another_schema_is_refused(self):
        with self.assertRaises(parse.Unreadable):
            parse.tidegate_bench(json.dumps(BENCH | {"schema": "tidegate-bench-run/2"}))

    def test_a_generator_without_a_report_is_quoted(self):
        for read in (parse.wrk, parse.websocket, lambda text: parse.h2load(text, 1)):
            with self.assertRaisesRegex(parse.Unreadable, "unable to connect"):
                read("unable to connect to localhost:1 Connection refused")


if __name__ == "__main__":
    unittest.main()
