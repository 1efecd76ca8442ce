"""The cost of a process, from /proc: CPU time, resident memory, wake-ups, descriptors."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from errno import ESRCH
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
CPUCLOCK_SCHED = 2  # linux/posix-timers.h


@dataclass(frozen=True, slots=True)
class Usage:
    """``wakeups``: how often one of its threads had slept and ran again (voluntary context switches) since its start."""

    at_s: float  # CLOCK_MONOTONIC
    cpu_s: float
    rss_bytes: int
    wakeups: int
    threads: int
    descriptors: int


def usage(pid: int) -> Usage:
    """As it is now. Threads that have ended are in ``cpu_s``, as are children that were waited for; not in ``wakeups``.

    Raises OSError if the process has ended.
    """
    root = Path(f"/proc/{pid}")
    stat = (root / "stat").read_text().rpartition(")")[2].split()
    children = sum(int(field) for field in stat[13:15])  # cutime, cstime: proc(5), fields 16 and 17
    status = memory_status(pid)
    tasks = list((root / "task").iterdir())
    return Usage(
        at_s=time.monotonic(),
        # The process's own clock, in nanoseconds and with the threads that have ended (clock_getcpuclockid(3)).
        cpu_s=time.clock_gettime(~pid << 3 | CPUCLOCK_SCHED) + children / TICKS,
        rss_bytes=int(status["VmRSS"].split()[0]) << 10,
        wakeups=sum(_switches(task) for task in tasks),
        threads=len(tasks),
        descriptors=len(list((root / "fd").iterdir())),
    )


def memory_status(pid: int) -> dict[str, str]:
    """/proc/PID/status by field. Raises OSError if the process has ended, also if nobody has waited for it yet: then it has no memory."""
    path = Path(f"/proc/{pid}/status")
    found = dict(line.split(":", 1) for line in path.read_text().splitlines())
    if "VmRSS" not in found:
        raise ProcessLookupError(ESRCH, "the process has ended", str(path))
    return found


def _switches(task: Path) -> int:
    try:
        lines = (task / "status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0  # a thread that ended just now
    return next(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))


@dataclass(frozen=True, slots=True)
class Cost:
    """Between two readings."""

    seconds: float
    cpu_s: float
    wakeups: int
    rss_bytes: int  # at the second reading

    @property
    def core_percent(self) -> float:
        """Share of one processor."""
        return 100 * self.cpu_s / self.seconds

    @property
    def wakeups_per_s(self) -> float:
        return self.wakeups / self.seconds


def between(before: Usage, after: Usage) -> Cost:
    """The cost between two readings."""
    return Cost(after.at_s - before.at_s, after.cpu_s - before.cpu_s, after.wakeups - before.wakeups, after.rss_bytes)
