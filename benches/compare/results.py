"""Figures: medians with their range, kept a scenario a file until the report is made of them."""

import datetime
import json
import os
import platform
import re
import statistics
import subprocess

from .needs import ROOT, TARGET, first_line, program
from .process import Failure

SCHEMA = "tidegate-bench-report/1"
KEPT = TARGET / "compare" / "kept"


def spread(values):
    """Median, minimum and maximum, to four significant digits.

    >>> spread([3.0, 1.0, 2.00004])
    {'median': 2.0, 'min': 1.0, 'max': 3.0}
    """
    short = [float(f"{value:.4g}") for value in (statistics.median(values), min(values), max(values))]
    return dict(zip(("median", "min", "max"), short))


class Samples:
    """Values by metric, over the rounds of one row."""

    def __init__(self):
        self.values = {}

    def add(self, **metrics):
        for name, value in metrics.items():
            if value is not None:
                self.values.setdefault(name, []).append(value)

    def metrics(self):
        return {name: spread(values) for name, values in self.values.items()}


def environment(tidegate, rounds, seconds, no_peer):
    """What the figures depend on besides the code that is measured."""
    peer = (
        "not built: " + no_peer
        if no_peer
        else re.search(
            r'pingora-proxy = \{ version = "=([^"]+)"', (ROOT / "benches/peers/pingora-proxy/Cargo.toml").read_text()
        )[1]
    )
    commit = subprocess.run(
        ["git", "-C", ROOT, "describe", "--always", "--abbrev=12", "--dirty"], capture_output=True, text=True
    )
    with open("/proc/cpuinfo") as file:
        cpu = re.search(r"model name\s*: (.*)", file.read())
    nginx = first_line(program("nginx") or "nginx", "-V")
    return {
        "date": datetime.date.today().isoformat(),
        "commit": commit.stdout.strip() or "unknown",
        "kernel": platform.release(),
        "cpu": cpu[1] if cpu else platform.machine(),
        "cores": os.cpu_count(),
        "rounds": rounds,
        "seconds": seconds,
        "versions": {
            "tidegate": first_line(tidegate, "-v").removeprefix("tidegate "),
            "nginx": nginx.rpartition("nginx/")[2],
            "haproxy": (
                re.search(r"version (\S+)", first_line(program("haproxy") or "haproxy", "-v")) or ["", "not installed"]
            )[1],
            "caddy": first_line(program("caddy") or "caddy", "version"),
            "pingora-proxy": peer,
            "wrk": (re.search(r"wrk \S*?([\d.]+)", first_line("wrk", "-v")) or ["", "?"])[1],
            "h2load": first_line("h2load", "--version").removeprefix("h2load nghttp2/"),
            "openssl": (first_line("openssl", "version").split() + ["?"] * 2)[1],
            "rustc": (first_line("rustc", "--version").split() + ["?"] * 2)[1],
        },
        "flags": {
            "tidegate": "release: fat LTO, one codegen unit; mimalloc, aws-lc-rs",
            "pingora-proxy": "release: fat LTO, one codegen unit; the system's allocator, rustls",
            "nginx, haproxy, caddy": "as Debian builds them",
        },
    }


def keep(name, found):
    KEPT.mkdir(parents=True, exist_ok=True)
    (KEPT / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")


def kept(name):
    path = KEPT / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def forget():
    """Removes what earlier runs kept."""
    for path in KEPT.glob("*.json"):
        path.unlink()


def agree(new):
    """Fails if what is kept was measured on another commit or with other versions: ratios hold within one run only."""
    old = kept("environment")
    for key in ("commit", "versions", "kernel", "rounds", "seconds"):
        if old and old[key] != new[key]:
            raise Failure(
                f"what target/compare keeps was measured with another {key} ({old[key]} instead of {new[key]}):"
                " begin anew with --fresh"
            )


def report(scenarios, targets):
    """The whole report as it stands, scenarios in the order of the table."""
    found = [(scenario.name, kept(scenario.name)) for scenario in scenarios]
    made = {
        "schema": SCHEMA,
        "environment": kept("environment"),
        "scenarios": [one["scenario"] for _, one in found if one],
        "curves": [one["curve"] for _, one in found if one and one.get("curve")],
    }
    made["targets"] = targets(made)
    return made
