"""The table of what is measured: each row names its load, and what it asks of a proxy's configuration."""

from dataclasses import dataclass, field

from .load import Shape

FULL = ("none", "nginx-full", "haproxy-full", "caddy", "pingora-proxy", "tidegate")
EVERY = ("none", "nginx", "nginx-full", "haproxy", "haproxy-full", "caddy", "pingora-proxy", "tidegate")
STEADY_RATE = 2000  # requests a second while something is reloaded or killed
RELOADS = 3  # in one load


@dataclass(frozen=True)
class Scenario:
    """A row of the report. `how` names the function of `measure` that fills it."""

    name: str
    title: str
    shape: Shape
    how: str = "rounds"
    rows: tuple = EVERY
    options: dict = field(default_factory=dict)
    # Rows beside these, so that what is compared with itself is interleaved, too: (row, proxy, options, words).
    also: tuple = ()
    origin: str = "http"  # http | websocket | h2c
    note: str = ""


H1 = Shape("h1", 64)
H1S = Shape("h1s", 64)
H2 = Shape("h2", 8, 16)

SCENARIOS = (
    Scenario("h1", "HTTP/1.1, 128 bytes", H1),
    Scenario("h1s", "HTTP/1.1 over TLS, 128 bytes", H1S),
    Scenario(
        "h2", "HTTP/2 over TLS, 128 bytes", H2, note="The row without a proxy is nghttpd over HTTP/2 without TLS."
    ),
    Scenario("handshake", "TLS handshake and one request", Shape("handshake", 4), rows=EVERY[1:]),
    Scenario("resumed", "TLS session resumed, and one request", Shape("resumed", 16)),
    Scenario("16k", "HTTP/1.1, 16 KiB", Shape("h1", 64, path="/bytes/16384")),
    Scenario("1m", "HTTP/1.1, 1 MiB", Shape("h1", 16, path="/bytes/1048576")),
    Scenario("1m-tls", "HTTP/1.1 over TLS, 1 MiB", Shape("h1s", 16, path="/bytes/1048576")),
    Scenario(
        "routes-1", "One route, asked by path", Shape("h1", 64, words=("paths=1",)), rows=FULL, options={"routes": 1}
    ),
    Scenario(
        "routes-1000", "1,000 routes", Shape("h1", 64, words=("paths=1000",)), rows=FULL, options={"routes": 1000}
    ),
    Scenario(
        "routes-10000",
        "10,000 routes",
        Shape("h1", 64, words=("paths=10000",)),
        rows=FULL,
        options={"routes": 10_000},
        also=(("tidegate, one route", "tidegate", {"routes": 1}, ("paths=1",)),),
    ),
    Scenario(
        "limiter-1",
        "Limiter, one key",
        Shape("h1", 64, words=("keys=1",)),
        rows=FULL,
        options={"limit_by_field": True, "keys": 1_000_000},
    ),
    Scenario(
        "limiter-10000",
        "Limiter, 10,000 keys",
        Shape("h1", 64, words=("keys=10000",)),
        rows=FULL,
        options={"limit_by_field": True, "keys": 1_000_000},
    ),
    Scenario(
        "limiter-1000000",
        "Limiter, 1,000,000 keys",
        Shape("h1", 64, words=("keys=1000000",)),
        rows=FULL,
        options={"limit_by_field": True, "keys": 1_000_000},
        note="The limiter holds 1,000,000 keys in all three; idle memory is before the first key, peak memory with those "
        "that the rounds reached.",
    ),
    Scenario("slow", "A backend of 100 ms, 5,000 in flight", Shape("h1", 5000, path="/slow")),
    Scenario("websocket", "WebSocket echo, 64 bytes", Shape("websocket", 64, path="/ws"), origin="websocket"),
    Scenario(
        "grpc",
        "gRPC unary, 128 bytes each way",
        Shape("grpc", 8, 16, path="/unary.grpc"),
        options={"grpc": True},
        origin="h2c",
    ),
    Scenario(
        "upload",
        "Upload of 10 MiB",
        Shape("h1", 8, path="/upload", words=("upload=10485760",)),
        options={"large_bodies": True},
        note="nginx takes the whole body, into a file, before it asks a backend: its default.",
    ),
    Scenario(
        "log",
        "Access log on",
        H1,
        rows=FULL,
        options={"log": True},
        note="nginx and Tidegate write the same line as in the first row; HAProxy its own, a write a request; Caddy JSON.",
    ),
    Scenario(
        "workers-2",
        "Two workers on two cores",
        H1,
        how="workers",
        rows=("nginx-full", "haproxy-full", "tidegate"),
        note="Load and origins share both cores with the proxy, so that requests a second can't double: CPU a request is "
        "the figure here.",
    ),
    Scenario(
        "reload",
        "Reloads under load, 10,000 routes",
        Shape("h1", 16),
        how="reload",
        rows=FULL,
        options={"routes": 10_000, "generation": 1},
    ),
    Scenario("kill", "A backend killed under load", Shape("h1", 16), how="kill"),
    Scenario("idle", "Idle connections, plain", Shape("h1", 3000), how="idle"),
    Scenario("idle-tls", "Idle connections, TLS", Shape("h1s", 3000), how="idle"),
    Scenario("curve-h1", "Latency at a steady rate, HTTP/1.1", H1, how="curve"),
    Scenario("curve-h1s", "Latency at a steady rate, HTTP/1.1 over TLS", H1S, how="curve"),
    Scenario("curve-h2", "Latency at a steady rate, HTTP/2 over TLS", H2, how="curve"),
)

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
# The closed-loop scenario that says how fast a proxy can be in a curve.
CURVE_BASE = {"curve-h1": "h1", "curve-h1s": "h1s", "curve-h2": "h2"}


def told(scenario, paced):
    """The load in words. `paced`: whether there is a generator that keeps a rate."""
    shape = scenario.shape
    steady = (
        f"tidegate bench at {STEADY_RATE:,} requests a second"
        if paced
        else f"wrk, {shape.connections} connections, closed loop"
    )
    return {
        "reload": f"{steady}, once in peace and once while the file is changed and reloaded {RELOADS} times",
        "kill": f"{steady}, once in peace and once while one of two backends is killed",
        "idle": f"{shape.connections:,} connections held open after one request each: cold is a fresh proxy, warm one that "
        "served 64 connections for two seconds before",
        "curve": f"tidegate bench at steady rates, {shape.connections} connections"
        + (f" of {shape.streams} streams" if shape.streams > 1 else "")
        + "; the row is at half of what the slowest proxy can do",
    }.get(scenario.how, shape.told())
