"""The report as one self-contained page: inline SVG, no script, light and dark as the reader's system has it."""

from html import escape

from . import charts
from .metrics import number, reference, table, title
from .report_markdown import environment

IDLE = ("idle", "idle-tls")
STYLE = """
:root { color-scheme: light dark; --page: #fbfbfa; --card: #ffffff; --ink: #1b1f24; --soft: #59626d; --rule: #d9dde2;
  --bar: #a9b4c0; --own: #0a6b7c; --good: #0b6b3a; --bad: #a8281b; --range: #1b1f24;
  --s0: #767d86; --s1: #b35900; --s2: #8a5a00; --s3: #5b4bb5; --s4: #a02c86; --s5: #2b62b8; --s6: #4d7a1f; --s7: #0a6b7c; }
@media (prefers-color-scheme: dark) { :root { --page: #14171a; --card: #1c2024; --ink: #e8eaed; --soft: #a5adb7; --rule: #373d45;
  --bar: #5d6976; --own: #4cc3d9; --good: #6fd39b; --bad: #ff8f80; --range: #ffffff;
  --s0: #a5adb7; --s1: #f2a65a; --s2: #e0c060; --s3: #a99df5; --s4: #ef86d3; --s5: #7fb0ff; --s6: #a3d16f; --s7: #4cc3d9; } }
* { box-sizing: border-box }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, sans-serif }
main { max-width: 1180px; margin: 0 auto; padding: 32px 20px 80px }
h1 { font-size: 28px; margin: 0 0 4px } h2 { font-size: 21px; margin: 44px 0 6px } h3 { font-size: 16px; margin: 0 0 2px }
p { margin: 4px 0 12px; max-width: 76ch } .soft, figcaption, summary, td.missing { color: var(--soft) }
.soft, figcaption { font-size: 14px }
.cards { display: grid; gap: 16px; grid-template-columns: repeat(auto-fill, minmax(min(500px, 100%), 1fr)) }
figure { background: var(--card); border: 1px solid var(--rule); border-radius: 8px; margin: 0; padding: 14px 16px; min-width: 0 }
figure.wide { margin-bottom: 16px } figcaption { margin-bottom: 8px }
svg { display: block; width: 100%; height: auto; font: 14px system-ui, sans-serif }
svg text { fill: var(--ink) } svg .tick, svg .axis, svg .missing { fill: var(--soft); font-size: 12px } svg .missing { font-style: italic }
svg .own { font-weight: 700 } .bar { fill: var(--bar) } .bar.own { fill: var(--own) }
.range { stroke: var(--range); stroke-width: 1.2; fill: none; opacity: .75 } .grid { stroke: var(--rule); fill: none }
.leader { stroke: var(--soft); fill: none; opacity: .4; stroke-dasharray: 2 3 } .line { fill: none; stroke-width: 2 } .line.own { stroke-width: 3.5 }
.dot { stroke-width: 2 } .dot.void { fill: var(--card) }
.scroll { overflow-x: auto } table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; margin: 8px 0 }
th, td { text-align: right; padding: 4px 10px; border-bottom: 1px solid var(--rule); white-space: nowrap }
th:first-child, td:first-child { text-align: left } td.missing { text-align: left; white-space: normal } th { font-weight: 600 }
tr.own td { font-weight: 700 } .targets td:first-child { white-space: normal } .good { color: var(--good) } .bad { color: var(--bad) }
summary { cursor: pointer; font-size: 14px; margin-top: 8px } pre { overflow-x: auto; font-size: 13px; background: var(--page);
  border: 1px solid var(--rule); border-radius: 6px; padding: 12px }
""" + "".join(f".line.s{n}{{stroke:var(--s{n})}}.dot.s{n}{{fill:var(--s{n});stroke:var(--s{n})}}.dot.void.s{n}{{fill:var(--card)}}"
              f".key.s{n}{{fill:var(--s{n})}}" for n in range(8))


def page(report, configurations):
    told = report["environment"]
    flags = "; ".join(f"{name}: {text}" for name, text in told["flags"].items())
    parts = [
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
        f"<title>Tidegate beside its peers</title><style>{STYLE}</style></head><body><main>",
        "<h1>Tidegate beside its peers</h1>",
        f"<p class=\"soft\">{escape(environment(report))} {escape(flags)}.</p>",
        "<p>One worker each, pinned to core 1, with the load generator and the origins on core 0. Machines are noisy: only "
        "ratios within one run mean anything. Bars are medians over the rounds, the thin line is their "
        "range; the number behind the dot is the share of the row that is named as 1.</p>",
        "<h2>Targets</h2>", targets(report),
    ]
    by_cpu = [one for one in report["scenarios"] if any("cpu_us" in row["metrics"] for row in one["rows"])]
    if by_cpu:
        parts += ["<h2>CPU a request</h2><p>User and system time of all of a proxy's processes, divided by the requests it "
                  "answered. Shorter is better.</p>", cards(by_cpu, "cpu_us", "us")]
    if report["curves"]:
        parts += ["<h2>Latency against load</h2><p>p99 at a steady rate of requests, whatever the proxy does. Lower is better; "
                  "hollow points are those where the generator couldn't keep the rate.</p>"]
        parts += [curve_figure(curve) for curve in report["curves"]]
    idle = [one for one in report["scenarios"] if one["name"] in IDLE]
    if idle:
        parts += ["<h2>Memory a connection</h2><p>What an idle keep-alive connection holds in a proxy that has worked. Shorter "
                  "is better.</p>", cards(idle, "warm_kib", "KiB")]
    rest = [one for one in report["scenarios"] if one not in by_cpu and one not in idle and not one["name"].startswith("curve")]
    if rest:
        parts += ["<h2>While something happens</h2><p>p99 during reloads, and while a backend dies; the tables count what was "
                  "lost.</p>", cards(rest, "p99_ms", "ms")]
    parts += [configuration(name, one) for name, one in configurations.items()]
    if configurations:
        parts.insert(len(parts) - len(configurations), "<h2>Configurations</h2><p>As measured in the first scenario.</p>")
    parts.append("</main></body></html>\n")
    return "\n".join(parts)


def targets(report):
    rows = []
    for target in report["targets"]:
        if target["met"] is None:
            value, verdict = "–", f"<td class=\"missing\">can't be told: {escape(target['missing'])}</td>"
        else:
            against = f" ({title(target['against'])})" if target.get("against") else ""
            value = number(target["ratio"]) + against
            verdict = "<td class=\"good\">✓ met</td>" if target["met"] else "<td class=\"bad\">✗ not met</td>"
        rows.append(f"<tr><td>{escape(target['claim'])}</td><td>{escape(value)}</td>{verdict}</tr>")
    return ("<div class=\"scroll\"><table class=\"targets\"><tr><th>target</th><th>measured</th><th></th></tr>"
            + "".join(rows) + "</table></div>")


def cards(scenarios, metric, unit):
    made = []
    for one in scenarios:
        rows = [(row["proxy"], row["metrics"].get(metric), row.get("missing")) for row in one["rows"]]
        rows = [row for row in rows if row[0] != "none" or row[1]]
        note = f" {escape(one['note'])}" if one.get("note") else ""
        against, base = reference(one, metric)
        told = f" {escape(title(against))} = 1." if base else ""
        made.append(f"<figure><h3>{escape(one['title'])}</h3><figcaption>{escape(one['load'])}.{told}{note}</figcaption>"
                    f"{charts.bars(rows, unit, base)}{details(one)}</figure>")
    return "<div class=\"cards\">" + "".join(made) + "</div>"


def details(scenario):
    """The table behind a chart."""
    header, rows = table(scenario)
    body = []
    for cells in rows:
        own = " class=\"own\"" if cells[0].startswith("tidegate") else ""
        if len(cells) == len(header):
            body.append(f"<tr{own}>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
        else:
            body.append(f"<tr{own}><td>{escape(cells[0])}</td><td class=\"missing\" colspan=\"{len(header) - 1}\">"
                        f"{escape(cells[1])}</td></tr>")
    notes = [f"{title(row['proxy'])}: {row['note']}" for row in scenario["rows"] if row.get("note")]
    return ("<details><summary>All figures: median (minimum–maximum)</summary><div class=\"scroll\"><table><tr>"
            + "".join(f"<th>{escape(name)}</th>" for name in header) + "</tr>" + "".join(body) + "</table></div>"
            + (f"<p class=\"soft\">{escape('; '.join(notes))}.</p>" if notes else "") + "</details>")


def curve_figure(curve):
    points = {name: [(point["rate"], point["p99_ms"], bool(point["void"])) for point in line]
              for name, line in curve["points"].items()}
    rates = sorted({x for line in points.values() for x, _, _ in line})
    rows = []
    for name, line in points.items():
        at = {x: number(y) + (" (void)" if void else "") for x, y, void in line}
        rows.append("<tr><td>" + escape(title(name)) + "</td>"
                    + "".join(f"<td>{at.get(rate, '–')}</td>" for rate in rates) + "</tr>")
    return (f"<figure class=\"wide\"><h3>{escape(curve['title'])}</h3>{charts.lines(points, 'requests a second', 'p99 ms')}"
            "<details><summary>All figures: p99 in ms</summary><div class=\"scroll\"><table><tr><th>proxy</th>"
            + "".join(f"<th>{rate:,}/s</th>" for rate in rates) + "</tr>" + "".join(rows) + "</table></div></details></figure>")


def configuration(name, one):
    file = f"<pre>{escape(one['text'])}</pre>"
    return (f"<details><summary>{escape(title(name))}: {escape(one['does'])} ({escape(one['file'])})</summary>{file}</details>")
