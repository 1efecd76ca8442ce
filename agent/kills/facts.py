"""What the attribution asks of others, and what it gives back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from agent.model import (
    Baseline,
    Cgroup,
    ContainerUse,
    Identity,
    MemoryEvents,
    MemoryUse,
    Mode,
    OomKill,
    SeenProcess,
    Vanished,
    Victim,
)


class Facts(Protocol):
    """What the attribution asks of pods/lookup.py. Nothing here may wait, and nothing here fails: unknown is None.

    ``names_at``: the pod and container that the cgroup at ``path`` is or was of. ``mode``: what its memory.oom.group said last.
    ``alone``: the container at ``path`` is the only one of its pod that runs.
    ``limit_bytes`` None: no limit, or removed. ``limited_above``: a level above the cgroup at ``path`` has a limit, or could not be read.
    ``memory_use``: of the cgroup at ``path`` now, or less than a second ago; None: removed. ``containers_use``: of the containers that
    run in the pod at ``path``, in the same way; empty: they are too many.
    ``init_pid``: the container's PID 1 as the node numbers it. ``lives``: the container is populated, and its PID 1 is the one it was.
    ``ended_by_agent``: whether it lived when the agent ended it; None: the agent didn't. ``deleted``: the API deletes or deleted its pod.
    ``populated``: a process is left in it or below. ``container_path``: that of the container that the cgroup at ``path`` is or lies in.
    ``seen``: processes of the container at ``path``, read before the kill or right after: the victims as far as they were seen, then the
    largest others. ``recorded_s``: the monotonic time at which the kill was recorded; None: it is recorded now.
    ``localize``: a path of the kernel's log as ours; None: we can't see it. ``report_unix_s``: wall-clock time of a record of that log.
    """

    def names_at(self, path: str) -> Identity: ...
    def mode(self, cgroup: Cgroup) -> Mode | None: ...
    def counters(self, cgroup: Cgroup) -> MemoryEvents | Vanished: ...
    def limit_bytes(self, path: str) -> int | None: ...
    def memory_use(self, path: str) -> MemoryUse | None: ...
    def containers_use(self, path: str) -> tuple[ContainerUse, ...]: ...
    def alone(self, path: str) -> bool: ...
    def limited_above(self, path: str) -> bool: ...
    def init_pid(self, cgroup: Cgroup) -> int | None: ...
    def lives(self, cgroup: Cgroup) -> bool: ...
    def ended_by_agent(self, inode: int) -> bool | None: ...
    def deleted(self, path: str) -> bool: ...
    def populated(self, cgroup: Cgroup) -> bool: ...
    def container_path(self, path: str) -> str | None: ...
    def seen(self, path: str, victims: Sequence[Victim], recorded_s: float | None) -> tuple[SeenProcess, ...]: ...
    def localize(self, kernel_path: str) -> str | None: ...
    def unix_s(self) -> float: ...
    def monotonic_s(self) -> float: ...
    def report_unix_s(self, at_us: int) -> float: ...


@dataclass(frozen=True, slots=True)
class Findings:
    """What is to be recorded now, in one transaction, and then reported.

    ``settled`` has each kill once, when its outcome is known and its report has had time to come. ``completed``: those of ``settled`` whose
    processes were read after the kill was recorded. ``unattributed``: those of ``kills`` that no container can be named for.
    ``unmatched_reports``: reports of kills that no counter showed in time.
    """

    kills: tuple[OomKill, ...] = ()
    amended: tuple[OomKill, ...] = ()
    settled: tuple[OomKill, ...] = ()
    completed: tuple[OomKill, ...] = ()
    baselines: tuple[Baseline, ...] = ()
    gone_inodes: tuple[int, ...] = ()
    unattributed: tuple[OomKill, ...] = ()
    unmatched_reports: int = 0
