"""Serving a load under callgrind, and counting."""

import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from .client import connect
from .load import configure

WARM_UP, COUNTED = 200, 2000


def make_certificate(work):
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out cert.pem -days 2"
    make += " -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE"
    subprocess.run(make.split(), cwd=work, check=True, stderr=subprocess.DEVNULL)
    (work / "key.pem").chmod(0o600)


def tell(server, command):
    """Callgrind takes commands at any time, also while the program waits for a request."""
    vgdb = ["vgdb", f"--pid={server.pid}", "--wait=60", command]
    subprocess.run(vgdb, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120)


def serve(program, load, work):
    """Serves the load under callgrind; returns the profile of the thread that did the work."""
    make_certificate(work)
    port = configure(work, load)
    callgrind = ["valgrind", "--tool=callgrind", "--separate-threads=yes", "--callgrind-out-file=profile"]
    with open(work / "log", "wb") as log:
        server = subprocess.Popen([*callgrind, program, "run", "-c", "tidegate.toml"], cwd=work, stdout=log, stderr=log)
    try:
        client = connect(work, port, load, server)
        for _ in range(WARM_UP):
            client.ask()
        tell(server, "zero")
        for _ in range(COUNTED):
            client.ask()
        tell(server, "dump")
    except Exception:
        sys.stderr.write((work / "log").read_text(errors="replace"))
        raise
    finally:
        server.kill()
        server.wait()
    return max(work.glob("profile.1-*"), key=instructions)


def instructions(profile):
    return int(re.search(rb"^totals: (\d+)", profile.read_bytes(), re.MULTILINE)[1])


def count(program, name, load, keep):
    with tempfile.TemporaryDirectory() as directory:
        profile = serve(program, load, pathlib.Path(directory))
        if keep:
            shutil.copyfile(profile, pathlib.Path(keep) / f"callgrind.out.{name}")
        return round(instructions(profile) / COUNTED)


def count_all(program, loads, keep=None):
    """Name and instructions a request of each load, in order, as soon as they are counted."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from zip(loads, pool.map(lambda name: count(program, name, loads[name], keep), loads))
