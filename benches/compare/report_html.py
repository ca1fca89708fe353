"""The report as one self-contained page: inline SVG, no script, light and dark as the reader's system has it."""

from html import escape
from pathlib import Path

from . import charts
from .metrics import number, reference, table, title
from .report_markdown import environment

IDLE = ("idle", "idle-tls")
STYLE = Path(__file__).with_name("page.css")


def page(report, configurations):
    told = report["environment"]
    flags = "; ".join(f"{name}: {text}" for name, text in told["flags"].items())
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Tidegate beside its peers</title><style>{STYLE.read_text()}</style></head><body><main>",
        "<h1>Tidegate beside its peers</h1>",
        f'<p class="soft">{escape(environment(report))} {escape(flags)}.</p>',
        "<p>One worker each, pinned to core 1, with the load generator and the origins on core 0. Machines are "
        "noisy: only ratios within one run mean anything. Bars are medians over the rounds, the thin line is their "
        "range; the number behind the dot is the share of the row that is named as 1. A bar with a gap is cut short.</p>",
        "<h2>Targets</h2>",
        targets(report),
    ]
    by_cpu = [one for one in report["scenarios"] if any("cpu_us" in row["metrics"] for row in one["rows"])]
    if by_cpu:
        parts += [
            "<h2>CPU a request</h2><p>User and system time of all of a proxy's processes, divided by the requests it "
            "answered. Shorter is better.</p>",
            cards(by_cpu, "cpu_us", "us"),
        ]
    if report["curves"]:
        parts += [
            "<h2>Latency against load</h2><p>p99 at a steady rate of requests, whatever the proxy does. Lower is better; "
            "hollow points are those where the generator couldn't keep the rate.</p>"
        ]
        parts += [curve_figure(curve) for curve in report["curves"]]
    idle = [one for one in report["scenarios"] if one["name"] in IDLE]
    if idle:
        parts += [
            "<h2>Memory a connection</h2><p>What an idle keep-alive connection holds in a proxy that has worked. Shorter "
            "is better.</p>",
            cards(idle, "warm_kib", "KiB"),
        ]
    rest = [
        one
        for one in report["scenarios"]
        if one not in by_cpu and one not in idle and not one["name"].startswith("curve")
    ]
    if rest:
        parts += [
            "<h2>While something happens</h2><p>p99 during reloads, and while a backend dies; the tables count what was "
            "lost.</p>",
            cards(rest, "p99_ms", "ms"),
        ]
    parts += [configuration(name, one) for name, one in configurations.items()]
    if configurations:
        parts.insert(
            len(parts) - len(configurations), "<h2>Configurations</h2><p>As measured in the first scenario.</p>"
        )
    parts.append("</main></body></html>\n")
    return "\n".join(parts)


def targets(report):
    rows = []
    for target in report["targets"]:
        if target["met"] is None:
            value, verdict = "–", f'<td class="missing">can\'t be told: {escape(target["missing"])}</td>'
        else:
            against = f" ({title(target['against'])})" if target.get("against") else ""
            value = number(target["ratio"]) + against
            verdict = '<td class="good">✓ met</td>' if target["met"] else '<td class="bad">✗ not met</td>'
        rows.append(f"<tr><td>{escape(target['claim'])}</td><td>{escape(value)}</td>{verdict}</tr>")
    return (
        '<div class="scroll"><table class="targets"><tr><th>target</th><th>measured</th><th></th></tr>'
        + "".join(rows)
        + "</table></div>"
    )


def cards(scenarios, metric, unit):
    made = []
    for one in scenarios:
        rows = [(row["proxy"], row["metrics"].get(metric), row.get("missing")) for row in one["rows"]]
        rows = [row for row in rows if row[0] != "none" or row[1]]
        note = f" {escape(one['note'])}" if one.get("note") else ""
        against, base = reference(one, metric)
        told = f" {escape(title(against))} = 1." if base else ""
        made.append(
            f"<figure><h3>{escape(one['title'])}</h3><figcaption>{escape(one['load'])}.{told}{note}</figcaption>"
            f"{charts.bars(rows, unit, base)}{details(one)}</figure>"
        )
    return '<div class="cards">' + "".join(made) + "</div>"


def details(scenario):
    """The table behind a chart."""
    header, rows = table(scenario)
    body = []
    for cells in rows:
        own = ' class="own"' if cells[0].startswith("tidegate") else ""
        if len(cells) == len(header):
            body.append(f"<tr{own}>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
        else:
            body.append(
                f'<tr{own}><td>{escape(cells[0])}</td><td class="missing" colspan="{len(header) - 1}">'
                f"{escape(cells[1])}</td></tr>"
            )
    notes = [f"{title(row['proxy'])}: {row['note']}" for row in scenario["rows"] if row.get("note")]
    return (
        '<details><summary>All figures: median (minimum–maximum)</summary><div class="scroll"><table><tr>'
        + "".join(f"<th>{escape(name)}</th>" for name in header)
        + "</tr>"
        + "".join(body)
        + "</table></div>"
        + (f'<p class="soft">{escape("; ".join(notes))}.</p>' if notes else "")
        + "</details>"
    )


def curve_figure(curve):
    points = {
        name: [(point["rate"], point["p99_ms"], bool(point["void"])) for point in line]
        for name, line in curve["points"].items()
    }
    rates = sorted({x for line in points.values() for x, _, _ in line})
    rows = []
    for name, line in points.items():
        at = {x: number(y) + (" (void)" if void else "") for x, y, void in line}
        rows.append(
            "<tr><td>"
            + escape(title(name))
            + "</td>"
            + "".join(f"<td>{at.get(rate, '–')}</td>" for rate in rates)
            + "</tr>"
        )
    return (
        f'<figure class="wide"><h3>{escape(curve["title"])}</h3>{charts.lines(points, "requests a second", "p99 ms")}'
        '<details><summary>All figures: p99 in ms</summary><div class="scroll"><table><tr><th>proxy</th>'
        + "".join(f"<th>{rate:,}/s</th>" for rate in rates)
        + "</tr>"
        + "".join(rows)
        + "</table></div></details></figure>"
    )


def configuration(name, one):
    file = f"<pre>{escape(one['text'])}</pre>"
    return f"<details><summary>{escape(title(name))}: {escape(one['does'])} ({escape(one['file'])})</summary>{file}</details>"
