"""How much of the processor the host gives to the machine: sampled on the host, read in the machine.

A machine that is always runnable and gets a fifth of a processor is not late when it wakes; it is slow. So what it got is compared with
what it wanted: the time in which it was not idle.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from pathlib import Path

EVERY_S = 0.25
FILE = "soak-host"
TICKS = os.sysconf("SC_CLK_TCK")


class Host(threading.Thread):
    """On the host: four times per second the wall clock and the processor time of User-Mode Linux, in seconds, into a file in ``out``."""

    def __init__(self, out: Path) -> None:
        super().__init__(name="host", daemon=True)
        out.mkdir(parents=True, exist_ok=True)
        self._file = out / FILE
        self._file.write_text("")
        self._over = threading.Event()

    def run(self) -> None:
        with self._file.open("a", buffering=1) as file:
            while not self._over.wait(EVERY_S):
                if (used_s := used()) is not None:
                    file.write(f"{time.time()} {used_s}\n")

    def end(self) -> None:
        """No more samples."""
        self._over.set()
        self.join()


def used() -> float | None:
    """Of the machine that this process has booted, and its processes, those that ended included; None: there is none."""
    processes = [
        (int(entry.name), stat) for entry in Path("/proc").iterdir() if entry.name.isdigit() and (stat := _stat(entry))
    ]
    for pid, (name, parent, own, of_ended) in processes:
        if name == "linux.uml" and parent == os.getpid():
            return (own + of_ended + sum(s[2] for _, s in processes if s[1] == pid)) / TICKS
    return None


def _stat(entry: Path) -> tuple[str, int, int, int] | None:
    """Name, parent, ticks of its own and of those of its children that have ended (proc(5), fields 2, 4, 14 to 17)."""
    with suppress(OSError):
        name, _, rest = (entry / "stat").read_text().partition("(")[2].rpartition(")")
        fields = rest.split()
        return name, int(fields[1]), int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])
    return None


def idle_s() -> float:
    """Of the machine since it booted (proc(5), /proc/stat: idle and iowait)."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    return (int(fields[4]) + int(fields[5])) / TICKS


def ahead_s(out: Path) -> float:
    """By how much this machine's CLOCK_MONOTONIC is ahead of the host's wall clock, which stamps files in ``out``."""
    file = out / f"{FILE}-clock"
    file.write_text("")
    return time.monotonic() - file.stat().st_mtime


def read(out: Path) -> list[tuple[float, float]]:
    """The samples so far; none where there is no machine but the host."""
    with suppress(OSError):
        rows = [line.split() for line in (out / FILE).read_text().splitlines()]
        return [(float(row[0]), float(row[1])) for row in rows if len(row) == 2]
    return []
