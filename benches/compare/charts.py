"""Charts as SVG, made of text and numbers alone. Colors are classes: the page has them for light and dark."""

import math
import statistics
from html import escape

from .metrics import number, title

FAR_OFF = 5  # times the median of the bars
BAR, GAP, LABEL, WIDTH, VALUE = 18, 8, 132, 540, 150


def bars(rows, unit, base=None, highlight="tidegate"):
    """Horizontal bars: (name, {median, min, max} or None, why not). A thin line shows the range; with a `base`, each
    value is told as a share of it, too."""
    shown = [value for _, value, _ in rows if value]
    # One that is far off would leave no room for the others: its bar is cut short, and marked.
    most = FAR_OFF * statistics.median(value["median"] for value in shown) if shown else 1
    largest = min(max((value["max"] for value in shown), default=1), most) or 1
    room = WIDTH - LABEL - VALUE
    height = len(rows) * (BAR + GAP) + 4
    parts = []
    for n, (name, value, why) in enumerate(rows):
        top = n * (BAR + GAP) + 4
        own = " own" if name.split(",")[0] == highlight else ""
        middle = top + BAR / 2 + 4
        parts.append(
            f'<text class="label{own}" x="{LABEL - 10}" y="{middle}" text-anchor="end">{escape(title(name))}</text>'
        )
        if not value:
            parts.append(
                f'<text class="missing" x="{LABEL}" y="{middle}">{escape(shortened(why or "not measured", 60))}</text>'
            )
            continue
        length = max(1.0, room * min(1, value["median"] / largest))
        parts.append(f'<rect class="bar{own}" x="{LABEL}" y="{top}" width="{length:.1f}" height="{BAR}" rx="2"/>')
        if value["median"] > largest:
            parts.append(f'<path class="cut" d="M{LABEL + room - 26} {top + BAR + 2}l6 -{BAR + 4}m6 0l-6 {BAR + 4}"/>')
        ends = [LABEL + room * min(1, value[end] / largest) for end in ("min", "max")]
        if ends[1] - ends[0] > 2:
            y = top + BAR / 2
            parts.append(f'<path class="range" d="M{ends[0]:.1f} {y - 4}v8m0 -4H{ends[1]:.1f}m0 -4v8"/>')
        at = LABEL + max(length, room * min(1, value["max"] / largest)) + 8
        parts.append(
            f'<text class="value{own}" x="{at:.1f}" y="{middle}">{number(value["median"])} {escape(unit)}'
            + (f" · {value['median'] / base:.2f}" if base else "")
            + "</text>"
        )
    told = ", ".join(f"{title(name)} {number(value['median'])}" for name, value, _ in rows if value)
    return svg(WIDTH, height, parts, f"{told} ({unit})")


def lines(points, x_unit, y_unit):
    """One line a proxy over a linear x and a logarithmic y. Points: {name: [(x, y, void)]}; void ones are hollow."""
    left, right, top, bottom, width, height = 56, 150, 14, 44, 900, 400
    every = [(x, y) for line in points.values() for x, y, _ in line if y > 0]
    if not every:
        return ""
    x_most = nice_ceiling(max(x for x, _ in every))
    low, high = (math.floor(math.log10(min(y for _, y in every))), math.ceil(math.log10(max(y for _, y in every))))
    high = max(high, low + 1)

    def at(x, y):
        share = (math.log10(y) - low) / (high - low)
        return left + (width - left - right) * x / x_most, height - bottom - (height - top - bottom) * share

    parts = axes(at, x_most, low, high, left, width - right, height - bottom, x_unit, y_unit, top)
    labels = []
    for n, (name, line) in enumerate(points.items()):
        drawn = [(*at(x, y), void) for x, y, void in line if y > 0]
        if not drawn:
            continue
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y, _ in drawn)
        own = " own" if name == "tidegate" else ""
        parts.append(f'<path class="line s{n}{own}" d="{path}"/>')
        for x, y, void in drawn:
            parts.append(f'<circle class="dot s{n}{" void" if void else ""}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>')
        labels.append([drawn[-1][1], drawn[-1][0], n, name, own])
    parts += end_labels(labels, width - right + 14, top, height - bottom)
    return svg(width, height, parts, f"{y_unit} against {x_unit}: " + ", ".join(title(name) for name in points))


def end_labels(labels, x, top, bottom):
    """Names beside the ends of their lines, pushed apart where they would overlap, with a thin line to the end."""
    labels.sort()
    apart, places = 17, []
    for y, *_ in labels:
        places.append(max(y, places[-1] + apart if places else top))
    overflow = places[-1] - bottom if places else 0
    for n in reversed(range(len(places))):
        limit = bottom if n == len(places) - 1 else places[n + 1] - apart
        places[n] = min(places[n], limit) if overflow > 0 else places[n]
    parts = []
    for place, (y, end, series, name, own) in zip(places, labels):
        parts.append(f'<path class="leader" d="M{end + 6:.1f} {y:.1f}L{x - 4} {place:.1f}"/>')
        parts.append(f'<rect class="key s{series}" x="{x}" y="{place - 5:.1f}" width="10" height="10" rx="2"/>')
        parts.append(f'<text class="label{own}" x="{x + 16}" y="{place + 4:.1f}">{escape(title(name))}</text>')
    return parts


def axes(at, x_most, low, high, left, right, bottom, x_unit, y_unit, top):
    parts = []
    for power in range(low, high + 1):
        _, y = at(0, 10**power)
        parts.append(f'<path class="grid" d="M{left} {y:.1f}H{right}"/>')
        parts.append(
            f'<text class="tick" x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{number(10.0**power)}</text>'
        )
    for n in range(6):
        x, _ = at(x_most * n / 5, 10**low)
        parts.append(
            f'<text class="tick" x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{x_most * n / 5:,.0f}</text>'
        )
    parts.append(
        f'<text class="axis" x="{(left + right) / 2}" y="{bottom + 38}" text-anchor="middle">{escape(x_unit)}</text>'
    )
    parts.append(
        f'<text class="axis" transform="translate(13 {(top + bottom) / 2}) rotate(-90)" text-anchor="middle">'
        f"{escape(y_unit)}</text>"
    )
    return parts


def nice_ceiling(value):
    """The next of 1, 2, 2.5, 5 times a power of ten.

    >>> [nice_ceiling(v) for v in (9, 1100, 24000, 51000)]
    [10.0, 2000.0, 25000.0, 100000.0]
    """
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= value)


def shortened(text, most):
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def svg(width, height, parts, told):
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(told)}">' + "".join(parts) + "</svg>"
