"""The command line: what is measured, in which order, and where the report goes."""

import argparse
import os
import resource
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from . import measure, needs, report_html, report_markdown, results
from .bench import Bench
from .process import Failure, Processes
from .proxies import all_proxies
from .scenarios import BY_NAME, SCENARIOS, told
from .targets import evaluate

DOCS = needs.ROOT / "docs"


def arguments():
    parser = argparse.ArgumentParser(
        prog="benches/compare/run",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Measures Tidegate beside its peers: origins and load on core 0, the proxy on core 1.",
        epilog="Scenarios: "
        + " ".join(BY_NAME)
        + "\n\nFigures are kept in target/compare, a file a scenario, so that a run "
        "can be made in pieces: --only h1, then --only h2, then --report.",
    )
    parser.add_argument("--only", metavar="A,B", help="only these scenarios; what is kept of others stays")
    parser.add_argument("--quick", action="store_true", help="one round of 2 s: to see that it works, not to tell of")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds a scenario (5)")
    parser.add_argument("--seconds", type=int, metavar="N", help="seconds a round (4)")
    parser.add_argument("--fresh", action="store_true", help="forget what is kept of earlier runs")
    parser.add_argument("--report", action="store_true", help="measure nothing: make the report of what is kept")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where the report goes: docs after a whole run, else target/compare"
    )
    parser.add_argument("--ports", type=int, default=21000, metavar="BASE", help="the first of 250 ports (21000)")
    parser.add_argument("--tidegate", type=Path, default=needs.TARGET / "release" / "tidegate", metavar="FILE")
    parsed = parser.parse_args()
    for name in (parsed.only or "").split(","):
        if name and name not in BY_NAME:
            parser.error(f"no scenario is named {name!r}; there are: {' '.join(BY_NAME)}")
    parsed.rounds = parsed.rounds or (1 if parsed.quick else 5)
    parsed.seconds = parsed.seconds or (2 if parsed.quick else 4)
    return parsed


def run(chosen, given):
    """Measures the chosen scenarios and keeps what it finds."""
    needs.check_tools()
    if os.cpu_count() < 2:
        raise Failure("this needs two cores: one for the load, one for the proxy")
    if not given.tidegate.exists():
        raise Failure(f"no {given.tidegate}: run make release first")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < 16_384:
        raise Failure(f"a process may open only {hard} files here; 5,000 requests in flight need 16384: ulimit -n")
    no_peer = needs.build_peer()
    environment = results.environment(given.tidegate, given.rounds, given.seconds, no_peer)
    if given.fresh:
        results.forget()
    results.agree(environment)
    results.keep("environment", environment)
    work = Path(tempfile.mkdtemp(prefix="tidegate-compare-"))
    os.sched_setaffinity(0, {0})
    try:
        needs.build_load(work)
        with Processes(work) as processes:
            proxies = all_proxies(given.tidegate.resolve(), no_peer)
            bench = Bench(
                processes,
                work,
                given.ports,
                proxies,
                given.tidegate.resolve(),
                given.rounds,
                given.seconds,
                thorough=not given.quick,
            )
            bench.start_origins()
            for scenario in chosen:
                measure_one(bench, scenario)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def measure_one(bench, scenario):
    print(f"{scenario.name}: {scenario.title}", flush=True)
    rows, curve = getattr(measure, scenario.how)(bench, scenario)
    found = {
        "scenario": {
            "name": scenario.name,
            "title": scenario.title,
            "load": told(scenario, bench.generator.can_pace()),
            "rows": rows,
        }
    }
    if scenario.note:
        found["scenario"]["note"] = scenario.note
    if curve:
        found["curve"] = curve
    results.keep(scenario.name, found)
    if bench.configurations:
        results.keep("configurations", bench.configurations)
    print(report_markdown.text_table(found["scenario"]), flush=True)


def write(out):
    """The report in its three forms."""
    report = results.report(SCENARIOS, evaluate)
    if not report["scenarios"]:
        raise Failure("nothing is kept in target/compare: measure something first")
    configurations = results.kept("configurations") or {}
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.json").write_text(report_markdown.compact_json(report))
    page = (DOCS / "performance.md").read_text()
    (out / "performance.md").write_text(report_markdown.replace_figures(page, report))
    (out / "performance.html").write_text(report_html.page(report, configurations))
    print(f"written: {out}/performance.md, {out}/performance.html, {out}/report.json")


def main():
    given = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    chosen = [BY_NAME[name] for name in given.only.split(",") if name] if given.only else list(SCENARIOS)
    whole = not given.only and not given.quick and not given.report
    given.fresh = given.fresh or whole
    try:
        if not given.report:
            run(chosen, given)
        write(given.out or (DOCS if whole else results.KEPT.parent))
    except Failure as failure:
        sys.exit(f"benches/compare/run: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)


main()
