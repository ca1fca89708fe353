"""Starting processes on a core, waiting until they serve, and ending every one of them on whatever way out."""

import http.client
import os
import signal
import socket
import subprocess
import time

LOAD_CORE = "0"
PROXY_CORE = "1"


class Failure(Exception):
    """What the user has to be told. Without a traceback."""

    def short(self):
        """The first line and, of what was quoted, the last: for a cell of a table."""
        lines = str(self).splitlines()
        return lines[0] if len(lines) == 1 else f"{lines[0]} {lines[-1][:160]}"


class Processes:
    """Every process that was started. Leaving the `with` block ends them all."""

    def __init__(self, directory):
        self.directory, self.running = directory, []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in list(self.running):
            self.end(process)

    def start(self, name, command, cores, directory=None):
        """Starts `command` on `cores` in a session of its own; what it says goes to NAME.log."""
        log_path = self.directory / f"{name}.log"
        with open(log_path, "ab") as log:
            process = subprocess.Popen(
                ["taskset", "-c", cores, *map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=directory or self.directory,
                start_new_session=True,
            )
        process.name, process.log_path = name, log_path
        self.running.append(process)
        return process

    def end(self, process):
        """Ends it and its children: asked first, and a second later made to."""
        self.running.remove(process)
        for sign in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, sign)
            except ProcessLookupError:
                break
            try:
                process.wait(1)
            except subprocess.TimeoutExpired:
                continue
        process.wait()


def said(process):
    """The last words of a process, for an error message."""
    lines = process.log_path.read_text(errors="replace").strip().splitlines()
    return "\n".join(lines[-15:]) or "(it said nothing)"


def fetch(port, path="/", timeout=2.0):
    """Status and header fields of a GET over plain HTTP/1.1, on a connection of its own. OSError if there is none."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", path, headers={"Host": "localhost"})
        response = connection.getresponse()
        response.read()
        return response.status, response.headers
    except http.client.HTTPException as error:
        raise OSError(f"no HTTP: {error!r}") from error
    finally:
        connection.close()


def wait_until(ready, process, seconds, what):
    """Waits until `ready()`. A process that ends, or takes longer, is a failure that quotes it."""
    deadline = time.monotonic() + seconds
    while True:
        if ready():
            return
        if process.poll() is not None:
            raise Failure(f"{process.name} ended with {process.returncode} before {what}:\n{said(process)}")
        if time.monotonic() > deadline:
            raise Failure(f"{process.name}: not {what} after {seconds} s:\n{said(process)}")
        time.sleep(0.02)


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def answers(port, path="/"):
    """Whether a GET is answered with 200."""
    try:
        return fetch(port, path)[0] == 200
    except OSError:
        return False


def require_free(ports):
    """Fails if one of the ports is taken, and says how to choose others."""
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                raise Failure(
                    f"port {port} can't be had ({error.strerror}): choose others with --ports BASE"
                ) from error
