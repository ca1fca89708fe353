"""Runs a load generator on core 0 and reads what it says.

Closed loop: wrk for HTTP/1.1, `openssl s_time` for whole handshakes, since wrk resumes its sessions; h2load for HTTP/2,
load/websocket.c for WebSocket. Open loop, at a rate that doesn't bend
when the proxy slows down: `tidegate bench`.
"""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from . import parse
from .needs import HERE, program
from .process import LOAD_CORE, Failure


OVER_TLS = ("h1s", "handshake", "resumed", "h2", "grpc")


@dataclass(frozen=True)
class Shape:
    """How a scenario is loaded. `words` are wrk.lua's, such as "paths=1000"."""

    kind: str  # h1 | h1s | handshake | resumed | h2 | grpc | websocket
    connections: int
    streams: int = 1
    path: str = "/"
    words: tuple = ()

    def told(self):
        """The load in words."""
        asks = f"GET {self.path}"
        for word in self.words:
            name, _, count = word.partition("=")
            asks = {
                "paths": f"GET of {int(count):,} paths in turn" if count != "1" else "GET of one path",
                "keys": f"GET / with {int(count):,} values of X-Key in turn"
                if count != "1"
                else "GET / with one X-Key",
                "upload": f"POST of {int(count) >> 20} MiB",
            }[name]
        at_once = f"{self.connections} connections"
        kinds = {
            "h1": f"wrk, {at_once}, {asks}",
            "h1s": f"wrk over TLS 1.3, {at_once}, {asks}",
            "handshake": f"openssl s_time over TLS 1.3, {at_once}, a new one with a whole handshake a request",
            "resumed": f"wrk over TLS 1.3, {at_once}, a new one that resumes a session a request",
            "h2": f"h2load over TLS 1.3, {at_once} of {self.streams} streams, {asks}",
            "grpc": f"h2load over TLS 1.3, {at_once} of {self.streams} streams, POST of a gRPC message of 128 bytes",
            "websocket": f"{at_once}, one message of 64 bytes in flight on each",
        }
        return kinds[self.kind]


class Generator:
    """Runs loads; keeps what it needs in `directory`."""

    def __init__(self, directory, tidegate):
        self.directory, self.tidegate = directory, tidegate

    def output(self, command, seconds):
        command = ["taskset", "-c", LOAD_CORE, *map(str, command)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, cwd=self.directory)
        except subprocess.TimeoutExpired as error:
            raise Failure(f"no end: {' '.join(command)}") from error
        return done.stdout, done.stderr

    def run(self, shape, port, seconds, tls=True):
        """One round of closed-loop load. Without `tls`: the same over plain TCP, for the row without a proxy."""
        scheme = "https" if tls and shape.kind in OVER_TLS else "http"
        url = f"{scheme}://localhost:{port}{shape.path}"
        if shape.kind == "handshake":
            return self.shake_hands(shape, port, seconds)
        if shape.kind == "websocket":
            reader, command = parse.websocket, [self.directory / "websocket", "load", port, shape.connections, seconds]
        elif shape.kind in ("h2", "grpc"):
            log = self.directory / "h2load.log"
            log.unlink(missing_ok=True)
            command = [
                program("h2load"),
                "-t1",
                f"-c{shape.connections}",
                f"-m{shape.streams}",
                f"-D{seconds}",
                f"--log-file={log}",
            ]
            if shape.kind == "grpc":
                command += [
                    "-d",
                    self.directory / "message.bin",
                    "-H",
                    "content-type: application/grpc",
                    "-H",
                    "te: trailers",
                ]
            command.append(url)

            def reader(text):
                lines = log.read_text().splitlines() if log.exists() else ()
                return parse.h2load(text, seconds, lines)
        else:
            command = [program("wrk"), "-t1", f"-c{shape.connections}", f"-d{seconds}", "-s", HERE / "load" / "wrk.lua"]
            if shape.kind == "resumed":
                command += ["-H", "Connection: close"]
            reader, command = parse.wrk, [*command, url, "--", *shape.words]
        out, err = self.output(command, seconds)
        try:
            return reader(out)
        except parse.Unreadable as error:
            raise Failure(f"{command[0]} said: {error} {err.strip()[-300:]}") from error

    def shake_hands(self, shape, port, seconds):
        """A process a connection, each shaking hands anew for every request. It tells no latencies."""
        server, often = ["-connect", f"localhost:{port}"], ["-new", "-www", shape.path, "-time", seconds]
        command = [program("openssl"), "s_time", *server, *often]
        with ThreadPoolExecutor(shape.connections) as pool:
            said = list(pool.map(lambda _: self.output(command, seconds), range(shape.connections)))
        try:
            return parse.s_time([out for out, _ in said], seconds)
        except parse.Unreadable as error:
            raise Failure(f"openssl s_time said: {error} {said[0][1].strip()[-300:]}") from error

    def can_pace(self):
        """Whether the tidegate at hand has the verb `bench`."""
        done = subprocess.run([self.tidegate, "bench", "--help"], capture_output=True)
        return done.returncode == 0

    def paced(self, shape, port, seconds, rate):
        """One round at `rate` requests a second."""
        scheme = "https" if shape.kind in ("h1s", "h2") else "http"
        command = [
            self.tidegate,
            "bench",
            f"{scheme}://localhost:{port}{shape.path}",
            "--rate",
            round(rate),
            "--duration",
            f"{seconds}s",
            "--connections",
            shape.connections,
            "--json",
        ]
        if scheme == "https":
            command.append("--insecure")
        if shape.kind == "h2":
            command += ["--http2", "--streams", shape.streams]
        out, err = self.output(command, seconds)
        try:
            return parse.tidegate_bench(out)
        except (parse.Unreadable, KeyError, ValueError) as error:
            raise Failure(f"tidegate bench said: {error!r} {err.strip()[-300:]}") from error
