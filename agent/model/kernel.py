"""The kernel's log: its records, and OOM reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from agent.model.memory import MemoryUse


class KmsgRecord(NamedTuple):
    """One record of /dev/kmsg (Documentation/ABI/testing/dev-kmsg). ``text`` has the escapes ``\\xNN`` still in it.

    A tuple: a report has a hundred records, and a dataclass would take twice the time.
    """

    sequence: int
    at_us: int  # CLOCK_MONOTONIC of the kernel's log
    facility: int  # 0 is the kernel's own; writers of /dev/kmsg get another
    level: int
    fragment: bool  # flag c: continues the record before
    text: str


@dataclass(frozen=True, slots=True)
class KmsgGap:
    """``lost`` records were overwritten before we read them, right before ``next_sequence``."""

    lost: int
    next_sequence: int


@dataclass(frozen=True, slots=True)
class Victim:
    """One process that the OOM killer killed. Sizes are resident bytes by kind; None where the line was lost or lacks it."""

    pid: int
    comm: str  # unescaped, not made safe: up to 15 bytes of anything
    uid: int | None = None
    total_vm_bytes: int | None = None
    anon_bytes: int | None = None
    file_bytes: int | None = None
    shmem_bytes: int | None = None
    oom_score_adj: int | None = None

    @property
    def resident_bytes(self) -> int | None:
        """anon + file + shmem; None when none of them is known."""
        parts = [p for p in (self.anon_bytes, self.file_bytes, self.shmem_bytes) if p is not None]
        return sum(parts) if parts else None


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A row of the report's task table: the memory of a process at that time."""

    pid: int
    comm: str
    rss_bytes: int
    uid: int | None = None
    oom_score_adj: int | None = None


@dataclass(frozen=True, slots=True)
class OomReport:
    """One kill by the kernel's log, from those of its lines that were not lost.

    ``victims`` has each process once, first the one that the kernel chose. ``joined``: first sequences of later reports about the same
    victims. ``global_oom`` None: its line was lost. ``oom_memcg`` and ``task_memcg`` are paths from the hierarchy's
    real root with a leading slash, unescaped; None when lost (rate limit: 10 reports in 5 s) or, for ``oom_memcg``, when global.
    ``constraint``: CONSTRAINT_NONE, _CPUSET, _MEMORY_POLICY or _MEMCG (mm/oom_kill.c); None before 5.0 or when lost. ``sysrq``: somebody
    asked for a kill by hand (order=-1); False also when that line was lost.
    """

    first_sequence: int
    last_sequence: int
    at_us: int
    victims: tuple[Victim, ...]
    global_oom: bool | None = None
    oom_memcg: str | None = None
    task_memcg: str | None = None
    group_memcg: str | None = None  # "Tasks in … are going to be killed": the cgroup killed as a group
    limit_bytes: int | None = None
    usage_bytes: int | None = None
    tasks: tuple[TaskRow, ...] = ()
    constraint: str | None = None
    sysrq: bool = False
    joined: tuple[int, ...] = ()
    use: MemoryUse | None = None  # of the cgroup whose limit was hit; None: not in the report, or it is the node's
