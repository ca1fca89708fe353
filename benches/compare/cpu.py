"""What /proc says of a group of processes: CPU time and memory.

CPU time is user + system time of every living process of the group plus that of their children that ended and were
waited for (a worker of nginx before a reload), from /proc/PID/stat. Its process-wide fields count threads that ended.
The kernel scales user + system to the scheduler's exact run time and rounds it to ticks of 10 ms; only how the sum is
split into the two is sampled. A round of 3 s keeps a proxy busy for about as long, so that rounding is below 0.7 %.
/proc/PID/task/*/schedstat is in nanoseconds, but forgets threads that ended: Go's and pingora's come and go.
"""

import os
import re
import threading

TICK = os.sysconf("SC_CLK_TCK")


def family(pid):
    """The process and all its descendants, those that ended left out."""
    found = [pid]
    for parent in found:
        try:
            for task in os.listdir(f"/proc/{parent}/task"):
                with open(f"/proc/{parent}/task/{task}/children") as file:
                    found.extend(int(child) for child in file.read().split())
        except OSError:
            pass
    return found


def parse_stat(text):
    """User and system seconds from the text of /proc/PID/stat, ended children's among them.

    >>> parse_stat("7 (a) b) S 1 7 7 0 -1 0 0 0 0 0 150 50 10 5 20 0 1 0 9 0 0") == (160 / TICK, 55 / TICK)
    True
    """
    fields = text.rsplit(")", 1)[1].split()
    user, system, ended_user, ended_system = (int(field) for field in fields[11:15])
    return (user + ended_user) / TICK, (system + ended_system) / TICK


def cpu_seconds(pid):
    """User and system seconds of the family."""
    user = system = 0.0
    for member in family(pid):
        try:
            with open(f"/proc/{member}/stat") as file:
                own_user, own_system = parse_stat(file.read())
        except OSError:
            continue
        user, system = user + own_user, system + own_system
    return user, system


def parse_pss(text):
    """KiB from the text of /proc/PID/smaps_rollup.

    >>> parse_pss("5-7 ---p 0 00:00 0 [rollup]\\nRss:  90 kB\\nPss:  42 kB\\nPss_Dirty: 7 kB\\n")
    42
    """
    match = re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE)
    return int(match[1]) if match else 0


def pss_kib(pid):
    """The family's memory in KiB, a page that several share counted once."""
    total = 0
    for member in family(pid):
        try:
            with open(f"/proc/{member}/smaps_rollup") as file:
                total += parse_pss(file.read())
        except OSError:
            continue
    return total


class PeakMemory:
    """The highest memory seen while a block runs, looked at twice a second: `with PeakMemory(pid) as peak: ...`."""

    def __init__(self, pid):
        self.pid, self.kib, self.stop = pid, 0, threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def watch(self):
        while not self.stop.wait(0.5):
            self.look()

    def look(self):
        self.kib = max(self.kib, pss_kib(self.pid))

    def __enter__(self):
        self.look()
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()
        self.look()
