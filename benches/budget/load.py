"""What is asked for, and of which configuration."""

import pathlib
import re
import socket

from . import origin

HERE = pathlib.Path(__file__).resolve().parent


class Load:
    """What is asked for, over what, of a configuration with how many routes.

    `changes` are made to tidegate.toml: what is written there, and what is written instead. `origin` is what the endpoints
    speak: http, tls, h2c, h2 (over TLS), unix, proxy (a PROXY header first).
    """

    count = 0

    def __init__(self, version="h1", tls=False, body=128, routes=0, changes=(), origin="http"):
        self.version, self.tls, self.body, self.routes = version, tls, body, routes
        self.changes, self.origin = changes, origin
        # An address of its own: a port that is free for one load is not given away by another.
        Load.count += 1
        self.address = f"127.0.1.{Load.count}"


LOADS = {
    "h1": Load(),
    "h1-tls": Load(tls=True),
    "h2-tls": Load("h2", tls=True),
    "h1-16k": Load(body=16 << 10),
    "h1-10000-routes": Load(routes=10_000),
}


def free_port(load):
    with socket.create_server((load.address, 0)) as listener:
        return listener.getsockname()[1]


def changed(text, changes):
    for old, new in changes:
        if old not in text:
            raise ValueError(f"{old!r} isn't in tidegate.toml")
        text = text.replace(old, new)
    return text


def configure(work, load):
    """Starts the origins and writes tidegate.toml with ports of our own; returns the port to ask."""
    text = changed((HERE / "tidegate.toml").read_text(), load.changes)
    ports = {port: origin.start(work, load) for port in ("9001", "9002")}
    ports |= {port: free_port(load) for port in ("8311", "8312", "9910")}
    text = re.sub(r"127\.0\.0\.1:(\d+)", lambda found: f"{load.address}:{ports[found[1]]}", text)
    if load.origin == "unix":
        text = re.sub(rf"{re.escape(load.address)}:(\S+\.sock)", r"unix:\1", text)
    route = '[[site.route]]\npath = "/service/{}"\nupstream = "backend"\nlimit = "api"\n\n'
    routes = "".join(route.format(number) for number in range(load.routes))
    (work / "tidegate.toml").write_text(text.replace("[limit.api]", routes + "[limit.api]", 1))
    return ports["8312" if load.tls else "8311"]
