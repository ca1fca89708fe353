"""A stock pingora-proxy, built from benches/peers/pingora-proxy: two origins in turn, nothing else."""

from ..needs import PEER
from . import Proxy


def cannot(options, no_peer):
    if no_peer:
        return no_peer
    if options.routes or options.limit_by_field or options.generation:
        return "the example has no such feature: it would be written in Rust"
    if options.log:
        return "the example has no access log: it would be written in Rust"
    if options.workers > 1:
        return "the example has one thread"
    return None


def stock(no_peer):
    return Proxy(
        name="pingora-proxy",
        title="stock pingora-proxy",
        does="round robin; no features, no log",
        program=str(PEER),
        files=lambda options, place: {},
        command=lambda place, options: [
            PEER,
            f"127.0.0.1:{place.plain}",
            f"127.0.0.1:{place.tls}",
            place.shared / "cert.pem",
            place.shared / "key.pem",
            "h2c" if options.grpc else "http1",
            *(f"127.0.0.1:{port}" for port in options.origins),
        ],
        cannot=lambda options: cannot(options, no_peer),
    )
