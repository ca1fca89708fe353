"""What was promised, held against the figures of one report."""

PEERS = ("nginx", "nginx-full", "haproxy", "haproxy-full", "caddy", "pingora-proxy")
OWN = "tidegate"
LIMITER_MIB = 16  # 2^20 keys of 16 bytes


class Absent(Exception):
    """A figure that a target needs wasn't measured."""


class Figures:
    """Medians of a report by scenario, row and metric."""

    def __init__(self, report):
        self.by_name = {
            one["name"]: {row["proxy"]: row["metrics"] for row in one["rows"]} for one in report["scenarios"]
        }

    def get(self, scenario, proxy, metric):
        try:
            return self.by_name[scenario][proxy][metric]["median"]
        except KeyError as error:
            raise Absent(f"{scenario}: no {metric} of {proxy}") from error

    def best(self, scenario, metric):
        """The peer with the lowest value, and the value."""
        rows = self.by_name.get(scenario, {})
        found = [(rows[peer][metric]["median"], peer) for peer in PEERS if metric in rows.get(peer, {})]
        if not found:
            raise Absent(f"{scenario}: no {metric} of any peer")
        value, peer = min(found)
        return peer, value

    def ratio(self, scenario, peer, metric="cpu_us"):
        """Tidegate's value as a share of a peer's, or of the best peer's; and whose it was."""
        peer, value = self.best(scenario, metric) if peer == "best" else (peer, self.get(scenario, peer, metric))
        return self.get(scenario, OWN, metric) / value, peer

    def limiter_growth(self):
        """MiB that a million keys added to what the same load takes with one key."""

        def growth(scenario):
            return self.get(scenario, OWN, "peak_mib") - self.get(scenario, OWN, "idle_mib")

        return max(0.0, growth("limiter-1000000") - growth("limiter-1")), "one key"

    def idle(self, scenario):
        """KiB a connection, on a fresh proxy or on one that has worked: whichever is more."""
        return max(self.get(scenario, OWN, "cold_kib"), self.get(scenario, OWN, "warm_kib")), ""

    def own(self, scenario, less):
        """CPU a request as a share of what another row of Tidegate's spends in the same scenario."""
        return self.get(scenario, OWN, "cpu_us") / self.get(scenario, less, "cpu_us"), "itself"

    def two_workers(self):
        more = self.get("workers-2", f"{OWN}, 2 workers", "cpu_us")
        return more / self.get("workers-2", OWN, "cpu_us"), "one worker"


# name, claim, limit, unit, how it is found
TARGETS = (
    (
        "h1",
        "HTTP/1.1: CPU a request, of nginx with the same features",
        0.85,
        "x",
        lambda f: f.ratio("h1", "nginx-full"),
    ),
    ("h1s", "HTTP/1.1 over TLS: CPU a request, of the best peer", 0.70, "x", lambda f: f.ratio("h1s", "best")),
    (
        "h2",
        "HTTP/2: CPU a request, of HAProxy with the same features",
        0.80,
        "x",
        lambda f: f.ratio("h2", "haproxy-full"),
    ),
    ("handshake", "TLS handshake and request: CPU, of nginx", 0.65, "x", lambda f: f.ratio("handshake", "nginx")),
    ("16k", "16 KiB: CPU a request, of nginx", 0.80, "x", lambda f: f.ratio("16k", "nginx")),
    ("1m", "1 MiB: CPU a request, of Caddy", 0.90, "x", lambda f: f.ratio("1m", "caddy")),
    ("1m-tls", "1 MiB over TLS: CPU a request, of the best peer", 0.90, "x", lambda f: f.ratio("1m-tls", "best")),
    ("idle", "An idle connection, plain", 2.0, "KiB", lambda f: f.idle("idle")),
    ("idle-tls", "An idle connection, TLS", 10.0, "KiB", lambda f: f.idle("idle-tls")),
    (
        "curve-h1",
        "HTTP/1.1: p99 at half load, of the best peer",
        1.0,
        "x",
        lambda f: f.ratio("curve-h1", "best", "p99_ms"),
    ),
    (
        "curve-h1s",
        "HTTP/1.1 over TLS: p99 at half load, of the best peer",
        1.0,
        "x",
        lambda f: f.ratio("curve-h1s", "best", "p99_ms"),
    ),
    (
        "curve-h2",
        "HTTP/2: p99 at half load, of the best peer",
        1.0,
        "x",
        lambda f: f.ratio("curve-h2", "best", "p99_ms"),
    ),
    (
        "routes",
        "10,000 routes: CPU a request, of one route",
        1.1,
        "x",
        lambda f: f.own("routes-10000", f"{OWN}, one route"),
    ),
    ("limiter", "A million limiter keys: memory on top, configured 16 MiB", LIMITER_MIB, "MiB", Figures.limiter_growth),
    ("workers", "Two workers: CPU a request, of one worker", 1.10, "x", Figures.two_workers),
)


def evaluate(report):
    """Every target: met, not met, or why it can't be told."""
    figures, found = Figures(report), []
    for name, claim, limit, unit, find in TARGETS:
        target = {
            "name": name,
            "claim": f"{claim}: at most {limit:g} {unit}",
            "ratio": None,
            "limit": limit,
            "met": None,
        }
        try:
            value, against = find(figures)
            target |= {"ratio": float(f"{value:.3g}"), "met": value <= limit}
            if against in PEERS and "best" in claim:
                target["against"] = against
        except Absent as absent:
            target["missing"] = str(absent)
        found.append(target)
    return found
