"""The bench as it stands: origins running, proxies started in front of them as a scenario wants it."""

from contextlib import contextmanager
from dataclasses import dataclass

from . import process
from .load import OVER_TLS, Generator
from .needs import program
from .process import LOAD_CORE, PROXY_CORE, wait_until
from .proxies import Options, Place

# Ports from the base on: origins first, then ten for each proxy.
HTTP, WEBSOCKET, H2C, VICTIM, PROXIES = (1, 2), (3, 4), (5, 6), 7, 100
READY_SECONDS = 60  # Caddy takes long over 10,000 routes


@dataclass
class Running:
    """A proxy that serves, or the row without one."""

    row: str
    place: Place = None
    proxy: object = None
    process: object = None
    options: Options = None
    direct: int = None  # the origin's port, in the row without a proxy
    words: tuple = ()  # in the place of the scenario's shape's
    sent: int = 0  # requests so far, where the next key of a limiter comes from
    idle_kib: int = 0

    def port(self, shape):
        """Where the load goes."""
        if self.direct:
            return self.direct
        return self.place.tls if shape.kind in OVER_TLS else self.place.plain


class Bench:
    """What every measurement needs."""

    def __init__(self, processes, work, base, proxies, tidegate, rounds, seconds, thorough):
        self.processes, self.work, self.base = processes, work, base
        self.proxies = {proxy.name: proxy for proxy in proxies}
        self.generator = Generator(work, tidegate)
        self.rounds, self.seconds, self.thorough = rounds, seconds, thorough
        self.configurations = {}
        process.require_free(range(base, base + PROXIES + 10 * len(proxies) * 2))

    def origin_ports(self, scenario):
        offsets = {"http": HTTP, "websocket": WEBSOCKET, "h2c": H2C}[scenario.origin]
        return tuple(self.base + offset for offset in offsets)

    def start_origins(self):
        for offset in HTTP:
            self.start_origin("origin", offset, [self.work / "origin"])
        for offset in WEBSOCKET:
            self.start_origin("websocket", offset, [self.work / "websocket", "serve"])
        for offset in H2C:
            self.start_origin(
                "nghttpd",
                offset,
                [
                    program("nghttpd"),
                    "--no-tls",
                    "-a",
                    "127.0.0.1",
                    "-d",
                    self.work / "www",
                    "--trailer=grpc-status: 0",
                    f"--mime-types-file={self.work / 'mime.types'}",
                ],
            )

    def start_origin(self, name, offset, command):
        port = self.base + offset
        started = self.processes.start(f"{name}-{port}", [*command, port], LOAD_CORE)
        wait_until(lambda: process.listens(port), started, 10, "listening")
        return started

    def cannot(self, scenario, name, options):
        """Why this row stays empty, or None."""
        proxy = self.proxies[name]
        if not proxy.program:
            return "not installed"
        return proxy.cannot(options)

    def options(self, scenario, **changes):
        return Options(**{"origins": self.origin_ports(scenario), **scenario.options, **changes})

    def start(self, scenario, name, options, cores=PROXY_CORE, row=None, slot=0):
        """Starts a proxy in a directory of its own and waits until it answers."""
        proxy = self.proxies[name]
        row = row or name
        directory = self.work / f"{scenario.name}-{row}".replace(" ", "-").replace(",", "")
        directory.mkdir(exist_ok=True)
        first = self.base + PROXIES + 10 * (2 * list(self.proxies).index(name) + slot)
        place = Place(directory, self.work, first, first + 1, first + 2)
        self.write(proxy, options, place)
        if scenario.name == "h1":
            self.keep_configuration(proxy, options, place)
        started = self.processes.start(directory.name, proxy.command(place, options), cores, directory)
        ready = process.listens if scenario.origin == "websocket" else process.answers
        try:
            wait_until(lambda: ready(place.plain), started, READY_SECONDS, "answering")
        except process.Failure:
            self.processes.end(started)
            raise
        return Running(row, place, proxy, started, options)

    @contextmanager
    def serving(self, scenario, name, options):
        """A proxy for the length of a block."""
        running = self.start(scenario, name, options)
        try:
            yield running
        finally:
            self.end(running)

    def write(self, proxy, options, place):
        for file, text in proxy.files(options, place).items():
            (place.directory / file).write_text(text)

    def keep_configuration(self, proxy, options, place):
        """For the report: with names in place of this machine's paths."""
        for file, text in proxy.files(options, place).items():
            shown = text.replace(str(place.directory), "run").replace(str(place.shared), "tls")
            self.configurations[proxy.name] = {"file": file, "does": proxy.does, "text": shown}

    def direct(self, scenario):
        """The row without a proxy."""
        ports = self.origin_ports(scenario)
        if scenario.shape.kind == "h2":
            ports = tuple(self.base + offset for offset in H2C)
        return Running("none", direct=ports[0])

    def end(self, running):
        if running.process:
            self.processes.end(running.process)

    def load(self, running, shape, seconds):
        """Closed-loop load on it; keys of a limiter go on where they ended."""
        if any(word.startswith("keys=") for word in shape.words):
            shape = type(shape)(
                shape.kind, shape.connections, shape.streams, shape.path, (*shape.words, f"first={running.sent}")
            )
        result = self.generator.run(shape, running.port(shape), seconds, tls=not running.direct)
        running.sent += result.requests + result.failed
        return result
