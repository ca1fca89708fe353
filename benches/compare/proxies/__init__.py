"""How each proxy is configured and started: one file a program, the same options for all."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Options:
    """What a scenario asks of a proxy's configuration."""

    origins: tuple = ()  # ports of the origins
    routes: int = 0  # paths /r/0 to /r/N-1 besides /, each with a route of its own
    limit_by_field: bool = False  # the limit counts values of X-Key instead of client addresses
    keys: int = 100_000  # counted values that the limiter must hold
    log: object = None  # an access log: True for all, False for none, None as the proxy's kind says
    grpc: bool = False  # the origins speak HTTP/2 without TLS
    large_bodies: bool = False  # request bodies of 10 MiB must pass
    generation: int = 0  # a response field X-Generation with this number, to see a reload by
    workers: int = 1


@dataclass(frozen=True)
class Place:
    """Where a proxy runs: its own directory, the shared one with the certificate, and its ports."""

    directory: Path
    shared: Path
    plain: int
    tls: int
    admin: int


@dataclass(frozen=True)
class Proxy:
    """One row of every table."""

    name: str
    title: str
    does: str  # what its configuration does, in words
    program: str  # the path of what is started
    files: object = field(repr=False)  # (Options, Place) -> {file name: text}
    command: object = field(repr=False)  # (Place, Options) -> arguments
    cannot: object = field(default=lambda options: None, repr=False)  # Options -> why not, or None
    reload: object = None  # (Place, pid) -> a command to run, or None without a reload


SECURITY_FIELDS = {
    "X-Frame-Options": "SAMEORIGIN",
    "X-Content-Type-Options": "nosniff",
    "X-XSS-Protection": "1; mode=block",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "Content-Security-Policy": "default-src 'self'",
}


def all_proxies(tidegate, no_peer):
    """Every proxy in the order of the tables. `no_peer`: why there is no pingora-proxy, or None."""
    from . import caddy, haproxy, nginx, pingora
    from . import tidegate as own

    return [
        nginx.bare(),
        nginx.full(),
        haproxy.bare(),
        haproxy.full(),
        caddy.full(),
        pingora.stock(no_peer),
        own.full(tidegate),
    ]
