"""The metrics of the tables: how each is called and written. Less is better of all but requests a second."""

METRICS = {
    "cpu_us": "CPU us/request",
    "user_us": "user",
    "system_us": "system",
    "rps": "requests/s",
    "p50_ms": "p50 ms",
    "p99_before_ms": "p99 ms in peace",
    "p99_ms": "p99 ms",
    "p99_9_ms": "p99.9 ms",
    "max_ms": "longest ms",
    "lost_before": "lost in peace",
    "lost": "lost",
    "failed": "failed",
    "reload_ms": "reload ms",
    "peak_mib": "peak MiB",
    "idle_mib": "idle MiB",
    "cold_kib": "KiB each, cold",
    "warm_kib": "KiB each, warm",
    "cold_1000_kib": "of 1,000, cold",
    "warm_1000_kib": "of 1,000, warm",
}
# Told by the median alone, to keep tables narrow.
MEDIAN_ONLY = {
    "user_us",
    "system_us",
    "peak_mib",
    "idle_mib",
    "cold_1000_kib",
    "warm_1000_kib",
    "p99_before_ms",
    "lost_before",
}
ROW_TITLES = {"none": "no proxy", "nginx-full": "nginx, full", "haproxy-full": "haproxy, full"}
REFERENCES = ("nginx-full", "nginx")


def title(row):
    """A row's name in tables and charts."""
    for name, shown in ROW_TITLES.items():
        if row == name or row.startswith(name + ", "):
            return shown + row[len(name) :]
    return row


def number(value):
    """A value with three significant digits, or whole from 100 on.

    >>> [number(v) for v in (0, 0.01234, 5.678, 45.67, 1234.5)]
    ['0', '0.0123', '5.68', '45.7', '1,234']
    """
    if value == 0:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def cell(name, metric):
    """Median, and the range where there was one.

    >>> cell("rps", {"median": 5.0, "min": 4.0, "max": 6.0}), cell("rps", {"median": 5.0, "min": 5.0, "max": 5.0})
    ('5 (4–6)', '5')
    """
    if metric is None:
        return "–"
    text = number(metric["median"])
    if name in MEDIAN_ONLY or metric["min"] == metric["max"]:
        return text
    return f"{text} ({number(metric['min'])}–{number(metric['max'])})"


def columns(scenario):
    """The metrics that any row has, in order. Failures only where there were some."""
    present = {
        name
        for row in scenario["rows"]
        for name, metric in row["metrics"].items()
        if name != "failed" or metric["max"] > 0
    }
    return [name for name in METRICS if name in present]


def reference(scenario, metric="cpu_us"):
    """The row that ratios are told of, and its value."""
    by_name = {row["proxy"]: row["metrics"] for row in scenario["rows"]}
    for name in REFERENCES:
        if by_name.get(name, {}).get(metric, {}).get("median"):
            return name, by_name[name][metric]["median"]
    return None, None


def table(scenario):
    """Header and rows as text: the proxy, its metrics, and CPU as a ratio."""
    names = columns(scenario)
    against, base = reference(scenario)
    header = ["proxy", *(METRICS[name] for name in names)]
    if against:
        header.append(f"CPU, {title(against)} = 1")
    rows = []
    for row in scenario["rows"]:
        if row.get("missing"):
            rows.append([title(row["proxy"]), row["missing"]])
            continue
        cells = [title(row["proxy"]), *(cell(name, row["metrics"].get(name)) for name in names)]
        if against:
            own = row["metrics"].get("cpu_us")
            cells.append(f"{own['median'] / base:.2f}" if own else "–")
        rows.append(cells)
    return header, rows
