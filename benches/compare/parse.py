"""What the load generators say, as one `Load`."""

import json
import re
from dataclasses import dataclass


@dataclass
class Load:
    """One round of load. Latencies are None where the generator doesn't tell them."""

    requests: int  # answered with a status of success
    seconds: float
    failed: int  # another status, or none
    p50_ms: float = None
    p99_ms: float = None
    p99_9_ms: float = None
    max_ms: float = None
    void: str = None  # why the generator distrusts its own figures

    @property
    def rps(self):
        return self.requests / self.seconds if self.seconds else 0.0


class Unreadable(Exception):
    """A generator ended without its report."""


def last_object(text):
    """The JSON object on the last line that is one."""
    for line in reversed(text.strip().splitlines()):
        if line.startswith("{"):
            return json.loads(line)
    raise Unreadable(text.strip()[-500:] or "(no output)")


def latencies(report):
    return {
        name: report[f"{key}_us"] / 1e3
        for name, key in (("p50_ms", "p50"), ("p99_ms", "p99"), ("p99_9_ms", "p99_9"), ("max_ms", "max"))
    }


def wrk(text):
    """From the line that load/wrk.lua prints. `requests` there counts answers of any status."""
    said = last_object(text)
    failed = sum(said[kind] for kind in ("connect", "read", "write", "status", "timeout"))
    return Load(said["requests"] - said["status"], said["seconds"], failed, **latencies(said))


def s_time(texts, seconds):
    """From what several `openssl s_time` say, each of its own connections.

    >>> s_time(["9 connections in 1.02s; 8.82 connections/user sec\\n9 connections in 3 real seconds"] * 2, 2).requests
    18
    """
    counts = [re.search(r"(\d+) connections in \d+ real seconds", text) for text in texts]
    if not all(counts):
        raise Unreadable(texts[counts.index(None)].strip()[-500:] or "(no output)")
    return Load(sum(int(count[1]) for count in counts), seconds, 0)


def websocket(text):
    """From load/websocket.c. A message echoed is a request."""
    said = last_object(text)
    return Load(said["requests"], said["seconds"], said["lost"], **latencies(said))


def percentile(ordered, share):
    """The value below which `share` of an ordered list lies.

    >>> percentile([1, 2, 3, 4], 0.5), percentile([7], 0.99)
    (2, 7)
    """
    return ordered[max(0, min(len(ordered) - 1, round(share * len(ordered)) - 1))]


def h2load(text, seconds, log_lines=()):
    """From h2load's text, and from the lines of its --log-file: start, status, microseconds."""
    counts = re.search(r"requests: (\d+) total.*?(\d+) failed", text)
    good = re.search(r"status codes: (\d+) 2xx", text)
    if not counts or not good:
        raise Unreadable(text.strip()[-500:] or "(no output)")
    took = sorted(
        int(fields[2]) for fields in (line.split() for line in log_lines) if len(fields) == 3 and fields[2].isdigit()
    )
    found = {}
    if took:
        found = {
            name: percentile(took, share) / 1e3
            for name, share in (("p50_ms", 0.5), ("p99_ms", 0.99), ("p99_9_ms", 0.999), ("max_ms", 1.0))
        }
    # Other statuses count as failed there, too; what was in flight when the time was up counts in the total alone.
    return Load(int(good[1]), float(seconds), int(counts[2]), **found)


def tidegate_bench(text):
    """From `tidegate bench --json`, schema tidegate-bench-run/1."""
    said = json.loads(text[text.index("{") :]) if "{" in text else last_object(text)
    if said.get("schema") != "tidegate-bench-run/1":
        raise Unreadable(f"schema {said.get('schema')!r} instead of tidegate-bench-run/1")
    good = sum(count for status, count in said["statuses"].items() if status.startswith("2"))
    failed = said["requests"] - good + said.get("unsent", 0)
    failed += sum(count for kind, count in said["errors"].items() if kind != "status")
    took = said["latency_us"]
    return Load(
        good,
        said["duration_s"],
        failed,
        took["p50"] / 1e3,
        took["p99"] / 1e3,
        took["p99_9"] / 1e3,
        took["max"] / 1e3,
        said["void"],
    )
