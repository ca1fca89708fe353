"""The report as text: a table on the terminal, and the figures inside docs/performance.md.

The paper is its own template: what stands outside of the two markers is written by hand and never touched.
"""

import json
import re

from .metrics import number, table, title
from .process import Failure

BEGIN, END = "<!-- figures: made by make bench -->", "<!-- end of figures -->"


def text_table(scenario):
    """A scenario's table for the terminal."""
    header, rows = table(scenario)
    whole = [row for row in rows if len(row) == len(header)]
    widths = [max(len(row[n]) for row in [header, *whole]) for n in range(len(header))]
    lines = []
    for row in [header, *rows]:
        if len(row) == len(header):
            lines.append(
                "  "
                + "  ".join(
                    cell.rjust(width) if n else cell.ljust(width) for n, (cell, width) in enumerate(zip(row, widths))
                )
            )
        else:
            lines.append(f"  {row[0].ljust(widths[0])}  {row[1]}")
    return "\n".join(lines)


def markdown_table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    for row in rows:
        lines.append("| " + " | ".join(row + [""] * (len(header) - len(row))) + " |")
    return "\n".join(lines)


def environment(report):
    told = report["environment"]
    versions = ", ".join(f"{name} {version}" for name, version in told["versions"].items())
    return (
        f"{told['date']}, commit {told['commit']}, Linux {told['kernel']}, {told['cpu']}, {told['cores']} cores; "
        f"{told['rounds']} interleaved rounds of {told['seconds']} s. {versions}."
    )


def targets(report):
    rows = []
    for target in report["targets"]:
        if target["met"] is None:
            rows.append([target["claim"], "–", f"can't be told: {target['missing']}"])
            continue
        against = f" ({title(target['against'])})" if target.get("against") else ""
        rows.append([target["claim"], number(target["ratio"]) + against, "met" if target["met"] else "**not met**"])
    return markdown_table(["target", "measured", ""], rows)


def curves(report):
    parts = []
    for curve in report["curves"]:
        rates = sorted({point["rate"] for points in curve["points"].values() for point in points})
        rows = []
        for name, points in curve["points"].items():
            at = {point["rate"]: point for point in points}
            rows.append(
                [
                    title(name),
                    *(
                        number(at[rate]["p99_ms"]) + (" (void)" if at[rate]["void"] else "") if rate in at else "–"
                        for rate in rates
                    ),
                ]
            )
        parts.append(
            f"### {curve['title']}\n\np99 in ms at so many requests a second; – where the proxy can't do as many.\n\n"
            + markdown_table(["proxy", *(f"{rate:,}/s" for rate in rates)], rows)
        )
    return parts


def figures(report):
    """All that stands between the markers."""
    parts = [
        environment(report),
        "## Targets",
        targets(report),
        "## Scenarios",
        "Medians, with minimum and maximum in parentheses.",
    ]
    for scenario in report["scenarios"]:
        parts += [f"### {scenario['title']}", scenario["load"].rstrip(".") + "."]
        if scenario.get("note"):
            parts.append(scenario["note"])
        parts.append(markdown_table(*table(scenario)))
        notes = [f"{title(row['proxy'])}: {row['note']}" for row in scenario["rows"] if row.get("note")]
        if notes:
            parts.append("; ".join(notes) + ".")
    if report["curves"]:
        parts += ["## Latency against load", *curves(report)]
    return "\n\n".join(parts)


def replace_figures(page, report):
    """The paper with the figures of this report in the place of those that it had."""
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        raise Failure(f"docs/performance.md must have the lines {BEGIN} and {END} once each")
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n\n{figures(report)}\n\n{END}{after}"


def compact_json(report):
    """JSON that can be read and compared by line, with the innermost objects on one line each."""
    text = json.dumps(report, indent=1, ensure_ascii=False)
    return re.sub(r"\{[^{}\[\]]*\}", lambda flat: " ".join(flat[0].split()), text) + "\n"
