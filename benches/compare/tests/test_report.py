"""The report: targets, tables, and a paper whose words survive."""

import json
import unittest

from compare import charts, report_html, report_markdown
from compare.process import Failure
from compare.proxies import Options
from compare.scenarios import CURVE_BASE, EVERY, SCENARIOS
from compare.targets import evaluate


def row(proxy, **medians):
    return {
        "proxy": proxy,
        "metrics": {name: {"median": v, "min": v * 0.9, "max": v * 1.1} for name, v in medians.items()},
    }


def sample():
    rows = [
        row("none", rps=90_000.0),
        row("nginx-full", cpu_us=10.0, rps=40_000.0),
        row("tidegate", cpu_us=8.0, rps=50_000.0),
        {"proxy": "caddy", "metrics": {}, "missing": "not installed <here>"},
    ]
    points = {
        "tidegate": [{"rate": 100, "p50_ms": 1.0, "p99_ms": 2.0, "void": None}],
        "nginx": [{"rate": 100, "p50_ms": 1.0, "p99_ms": 2.1, "void": "the generator was late"}],
    }
    report = {
        "schema": "tidegate-bench-report/1",
        "environment": {
            "date": "2026-01-01",
            "commit": "abc",
            "kernel": "6",
            "cpu": "a cpu",
            "cores": 2,
            "rounds": 1,
            "seconds": 1,
            "versions": {"nginx": "1"},
            "flags": {"nginx": "as built"},
        },
        "scenarios": [{"name": "h1", "title": "HTTP/1.1", "load": "wrk", "rows": rows}],
        "curves": [{"name": "h1", "title": "Latency", "half_load": 100, "points": points}],
    }
    report["targets"] = evaluate(report)
    return report


class Report(unittest.TestCase):
    def test_a_target_is_met_not_met_or_says_what_is_missing(self):
        by_name = {target["name"]: target for target in sample()["targets"]}
        self.assertEqual((by_name["h1"]["ratio"], by_name["h1"]["met"]), (0.8, True))
        self.assertIsNone(by_name["h2"]["met"])
        self.assertIn("h2", by_name["h2"]["missing"])

    def test_words_outside_of_the_markers_are_never_touched(self):
        page = f"# Words\n\n{report_markdown.BEGIN}\nold\n{report_markdown.END}\n\n## More words\n"
        made = report_markdown.replace_figures(page, sample())
        self.assertTrue(made.startswith("# Words\n\n") and made.endswith("\n\n## More words\n"))
        self.assertNotIn("\nold\n", made)
        self.assertEqual(made, report_markdown.replace_figures(made, sample()))

    def test_a_paper_without_its_markers_is_refused(self):
        with self.assertRaises(Failure):
            report_markdown.replace_figures("# Words\n", sample())

    def test_a_row_that_has_no_figures_says_why(self):
        self.assertIn("| caddy | not installed <here> |", report_markdown.figures(sample()))
        self.assertIn("not installed &lt;here&gt;", report_html.page(sample(), {}))

    def test_json_is_the_same_after_it_was_made_compact(self):
        self.assertEqual(json.loads(report_markdown.compact_json(sample())), sample())

    def test_labels_of_lines_that_end_together_are_pushed_apart(self):
        parts = charts.end_labels([[50.0, 1, n, f"p{n}", ""] for n in range(5)], 100, 0, 60)
        heights = [float(part.split('y="')[1].split('"')[0]) for part in parts if part.startswith("<text")]
        self.assertTrue(all(b - a >= 16 for a, b in zip(heights, heights[1:])), heights)

    def test_the_table_of_scenarios_names_known_rows_and_options(self):
        names = [scenario.name for scenario in SCENARIOS]
        self.assertEqual(len(names), len(set(names)))
        for scenario in SCENARIOS:
            Options(**scenario.options)
            self.assertLessEqual(set(scenario.rows), set(EVERY))
        for curve, base in CURVE_BASE.items():
            self.assertLess(names.index(base), names.index(curve))


if __name__ == "__main__":
    unittest.main()
