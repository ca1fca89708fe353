"""How each kind of scenario is measured. A function here takes the bench and the scenario and gives its rows."""

import threading
import time
from contextlib import contextmanager
from dataclasses import replace

from . import process
from .bench import VICTIM
from .cpu import PeakMemory, cpu_seconds, pss_kib
from .idle import hold
from .load import Shape
from .process import Failure
from .results import Samples, kept
from .scenarios import CURVE_BASE, RELOADS, STEADY_RATE

SETTLE_SECONDS = 1  # after a start, until memory is looked at
FILL_SECONDS = 60  # at most, until a limiter has seen all keys


def row(name, samples=None, missing=None, note=None):
    """A row of the report; one that is missing something has no figures."""
    made = {"proxy": name, "metrics": samples.metrics() if samples and not missing else {}}
    if missing:
        made["missing"] = missing
    if note:
        made["note"] = note
    return made


@contextmanager
def started(bench, scenario):
    """The rows that can be measured, all running, and why the others can't be."""
    running, missing = {}, {}
    try:
        for name in scenario.rows:
            if name == "none":
                running[name] = bench.direct(scenario)
                continue
            options = bench.options(scenario)
            reason = bench.cannot(scenario, name, options)
            if reason:
                missing[name] = reason
                continue
            try:
                running[name] = bench.start(scenario, name, options)
            except Failure as failure:
                missing[name] = failure.short()
                print(f"  {failure}")
        for label, name, changes, words in scenario.also:
            if name in running:
                running[label] = bench.start(scenario, name, bench.options(scenario, **changes), row=label, slot=1)
                running[label].words = words
        yield running, missing
    finally:
        for one in running.values():
            bench.end(one)


def one_round(bench, running, shape, seconds):
    """A round on one row: the metrics it gives."""
    if running.direct:
        load = bench.load(running, shape, seconds)
        found = {}
    else:
        pid = running.process.pid
        before = cpu_seconds(pid)
        with PeakMemory(pid) as peak:
            load = bench.load(running, shape, seconds)
        user, system = (b - a for a, b in zip(before, cpu_seconds(pid)))
        found = {"peak_mib": peak.kib / 1024, "idle_mib": running.idle_kib / 1024}
        if load.requests:
            found |= {
                "cpu_us": (user + system) / load.requests * 1e6,
                "user_us": user / load.requests * 1e6,
                "system_us": system / load.requests * 1e6,
            }
    return found | {
        "rps": load.rps,
        "p50_ms": load.p50_ms,
        "p99_ms": load.p99_ms,
        "p99_9_ms": load.p99_9_ms,
        "failed": load.failed,
    }


def rounds(bench, scenario):
    """Interleaved rounds of closed-loop load on every proxy."""
    shape = scenario.shape
    has_keys = any(word.startswith("keys=") for word in shape.words)
    with started(bench, scenario) as (running, missing):
        samples, notes = {name: Samples() for name in running}, {}

        def shape_for(one):
            return replace(shape, words=one.words) if one.words else shape

        def warm_up(one):
            if one.process:
                one.idle_kib = pss_kib(one.process.pid)
            bench.load(one, shape_for(one), 1)
            if bench.thorough and "keys=1000000" in shape.words and one.process:
                fill(bench, one)

        def measure(one):
            samples[one.row].add(**one_round(bench, one, shape_for(one), bench.seconds))

        time.sleep(SETTLE_SECONDS)
        for step in [warm_up, *[measure] * bench.rounds]:
            each(running, missing, step)
        if has_keys:
            keys = scenario.options["keys"]
            notes = {
                name: f"{min(one.sent, keys):,} of {keys:,} keys sent" if "keys=1000000" in shape.words else None
                for name, one in running.items()
            }
        names = [*scenario.rows, *(label for label, *_ in scenario.also)]
        rows = [row(name, samples.get(name), missing.get(name), notes.get(name)) for name in names]
    return rows, None


def each(running, missing, step):
    """`step` for every running proxy. One that fails says so in its row from then on, and the others go on."""
    for name, one in running.items():
        if name not in missing:
            try:
                step(one)
            except Failure as failure:
                missing[name] = failure.short()
                print(f"  {name}: {failure}")


def fill(bench, running):
    """Loads until every key of a million was sent once, or time is up. Few connections do: it is no measurement."""
    every_key = Shape("h1", 64, words=("keys=1000000",))
    until = time.monotonic() + FILL_SECONDS
    while running.sent < 1_000_000 and time.monotonic() < until:
        bench.load(running, every_key, 5)


def workers(bench, scenario):
    """The same proxy with one worker on core 1, and with two on both cores."""
    rows = []
    for name in scenario.rows:
        ways = [(name, 1, process.PROXY_CORE), (f"{name}, 2 workers", 2, "0,1")]
        running, samples = [], []
        try:
            for slot, (label, count, cores) in enumerate(ways):
                options = bench.options(scenario, workers=count)
                reason = bench.cannot(scenario, name, options)
                if reason:
                    rows.append(row(label, missing=reason))
                    continue
                running.append(bench.start(scenario, name, options, cores, label, slot))
                running[-1].idle_kib = pss_kib(running[-1].process.pid)
                samples.append(Samples())
            for one in running:
                bench.load(one, scenario.shape, 1)
            for _ in range(bench.rounds):
                for one, sample in zip(running, samples):
                    sample.add(**one_round(bench, one, scenario.shape, bench.seconds))
            rows += [row(one.row, sample) for one, sample in zip(running, samples)]
        finally:
            for one in running:
                bench.end(one)
    return rows, None


def steady(bench, running, shape, seconds):
    """Load at a steady rate, or in a closed loop where the tidegate at hand can't pace yet."""
    if bench.generator.can_pace():
        return bench.generator.paced(shape, running.port(shape), seconds, STEADY_RATE)
    return bench.load(running, shape, seconds)


def disturbed(bench, running, shape, seconds, disturb):
    """Two loads: one in peace, and one during which `disturb` runs in a thread. The metrics, and what it returned."""
    before = steady(bench, running, shape, seconds)
    found, problem = [], []

    def act():
        try:
            found.extend(disturb())
        except Exception as error:  # told by the measuring thread
            problem.append(error)

    thread = threading.Thread(target=act)
    thread.start()
    during = steady(bench, running, shape, seconds)
    thread.join()
    if problem:
        raise problem[0]
    return {
        "lost_before": before.failed,
        "lost": during.failed,
        "p99_before_ms": before.p99_ms,
        "p99_ms": during.p99_ms,
        "p99_9_ms": during.p99_9_ms,
        "max_ms": during.max_ms,
    }, found


def one_by_one(bench, scenario, nothing, act):
    """Each proxy alone, started anew a round. `act` gives its metrics."""
    samples, missing = {}, {"none": nothing}
    for _ in range(min(bench.rounds, 3)):
        for name in scenario.rows:
            if name in missing:
                continue
            missing_now = bench.cannot(scenario, name, bench.options(scenario))
            if missing_now:
                missing[name] = missing_now
                continue
            try:
                samples.setdefault(name, Samples()).add(**act(name))
            except (Failure, OSError) as failure:
                missing[name] = failure.short() if isinstance(failure, Failure) else str(failure)
                print(f"  {name}: {failure}")
    return [row(name, samples.get(name), missing.get(name)) for name in scenario.rows], None


def reload(bench, scenario):
    """Reloads a changed file three times under load, each until a response shows the change."""
    seconds = max(bench.seconds, 4)

    def reload_all(running):
        for generation in range(2, 2 + RELOADS):
            time.sleep(0.5)
            bench.write(running.proxy, bench.options(scenario, generation=generation), running.place)
            command = running.proxy.reload(running.place, running.process.pid)
            began = time.monotonic()
            done = bench.processes.start(f"{running.row}-reload", command, process.PROXY_CORE)
            process.wait_until(
                lambda now=generation: shows(running, now), running.process, 30, f"showing generation {generation}"
            )
            yield (time.monotonic() - began) * 1e3
            bench.processes.end(done)

    def act(name):
        with bench.serving(scenario, name, bench.options(scenario)) as running:
            metrics, took = disturbed(bench, running, scenario.shape, seconds, lambda: reload_all(running))
            return metrics | {"reload_ms": sorted(took)[len(took) // 2]}

    return one_by_one(bench, scenario, "there is nothing to reload", act)


def shows(running, generation):
    try:
        return process.fetch(running.place.plain)[1].get("X-Generation") == str(generation)
    except OSError:
        return False


def kill(bench, scenario):
    """Kills one of two origins a third into the load."""
    seconds = max(bench.seconds, 3)

    def act(name):
        victim = bench.start_origin("victim", VICTIM, [bench.work / "origin"])

        def kill_it():
            time.sleep(seconds / 3)
            victim.kill()
            return ()

        options = bench.options(scenario, origins=(bench.origin_ports(scenario)[0], bench.base + VICTIM))
        try:
            with bench.serving(scenario, name, options) as running:
                return disturbed(bench, running, scenario.shape, seconds, kill_it)[0]
        finally:
            bench.processes.end(victim)

    return one_by_one(bench, scenario, "there is nothing that could choose another", act)


def idle(bench, scenario):
    """Memory of connections that are kept open after one request each: on a fresh proxy, and on one that has worked."""
    shape = scenario.shape
    tls = shape.kind == "h1s"

    def act(name):
        found = {}
        for warmth in ("cold", "warm"):
            with bench.serving(scenario, name, bench.options(scenario)) as running:
                pid = running.process.pid
                if warmth == "warm":
                    bench.load(running, Shape(shape.kind, 64), 2)
                time.sleep(SETTLE_SECONDS)
                before = pss_kib(pid)
                at = hold(running.port(shape), tls, (1000, shape.connections), lambda pid=pid: pss_kib(pid))
                for count, kib in at.items():
                    suffix = "" if count == shape.connections else f"_{count}"
                    found[f"{warmth}{suffix}_kib"] = max(0.0, (kib - before) / count)
        return found

    return one_by_one(bench, scenario, "there is no proxy", act)


def curve(bench, scenario):
    """Latencies at steady rates: half of what the slowest proxy can do, then parts of what the fastest can."""
    base = CURVE_BASE[scenario.name]
    if not bench.generator.can_pace():
        reason = "this tidegate has no `bench --rate` to load it with"
        return [row(name, missing=reason) for name in scenario.rows], None
    found = kept(base)
    if not found:
        raise Failure(
            f"{scenario.name} takes its rates from {base}: measure that first, or with it (--only {base},{scenario.name})"
        )
    fastest = {
        one["proxy"]: one["metrics"]["rps"]["median"]
        for one in found["scenario"]["rows"]
        if one["metrics"] and one["proxy"] != "none"
    }
    half = min(fastest.values()) / 2
    rates = sorted({round(half), *(round(max(fastest.values()) * share) for share in (0.25, 0.5, 0.75, 0.9))})
    # The row is made of several rounds at half load; for the curve one round a rate is enough.
    plan = [round(half)] * (min(bench.rounds, 3) - 1) + rates
    with started(bench, scenario) as (running, missing):
        samples = {name: Samples() for name in running}
        points = {name: {} for name in running}

        def measure(one, rate):
            if rate > 1.1 * fastest.get(one.row, float("inf")) or (one.direct and scenario.shape.kind != "h1"):
                return
            load = bench.generator.paced(scenario.shape, one.port(scenario.shape), bench.seconds, rate)
            at = points[one.row].setdefault(rate, {"samples": Samples(), "void": None})
            at["samples"].add(p50_ms=load.p50_ms, p99_ms=load.p99_ms)
            at["void"] = load.void or at["void"]
            if rate == round(half) and not load.void:
                samples[one.row].add(p50_ms=load.p50_ms, p99_ms=load.p99_ms, p99_9_ms=load.p99_9_ms)

        for rate in plan:
            each(running, missing, lambda one, rate=rate: measure(one, rate))
        rows = []
        for name in scenario.rows:
            void = None
            if name in samples and not samples[name].values:
                at_half = points[name].get(round(half))
                void = (
                    f"void at half load: {at_half['void']}" if at_half else "nothing that speaks this without a proxy"
                )
            rows.append(row(name, samples.get(name), missing.get(name) or void))
    drawn = {
        name: [
            {
                "rate": rate,
                **{key: value["median"] for key, value in at["samples"].metrics().items()},
                "void": at["void"],
            }
            for rate, at in sorted(by_rate.items())
        ]
        for name, by_rate in points.items()
        if by_rate
    }
    return rows, {"name": base, "title": scenario.title, "half_load": round(half), "points": drawn}
