"""What the attribution asks of others and what it gives back: the two sides of its door."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from agent.model import Baseline, Cgroup, Identity, MemoryEvents, Mode, OomKill, Vanished


class Facts(Protocol):
    """What the attribution asks of the loop. Nothing here may wait, and nothing here fails: unknown is None."""

    def names_at(self, path: str) -> Identity:
        """Namespace, pod and container that the cgroup at this path is or was of."""

    def mode(self, cgroup: Cgroup) -> Mode | None:
        """What its memory.oom.group said last; None on v1 or when never read."""

    def counters(self, cgroup: Cgroup) -> MemoryEvents | Vanished:
        """A new reading."""

    def limit_bytes(self, path: str) -> int | None:
        """The memory limit of the cgroup at this path; None: no limit, or gone."""

    def limited_above(self, path: str) -> bool:
        """Whether a level above the cgroup at this path has a memory limit, or may have: it could not be read."""

    def init_pid(self, cgroup: Cgroup) -> int | None:
        """The container's PID 1 as the node numbers it, None when not known."""

    def lives(self, cgroup: Cgroup) -> bool:
        """Whether the container goes on: its cgroup is there, populated, and its PID 1 is the one it was."""

    def populated(self, cgroup: Cgroup) -> bool:
        """Whether any process is left in it or below."""

    def container_path(self, path: str) -> str | None:
        """The path of the container that the cgroup at ``path`` is or lies in; None when it is in none."""

    def localize(self, kernel_path: str) -> str | None:
        """A path of the kernel's log as ours; None when it is none that we can see."""

    def unix_s(self) -> float:
        """Wall-clock time now."""

    def report_unix_s(self, at_us: int) -> float:
        """Wall-clock time of a kernel log record."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What is to be recorded now, in one transaction, and then reported.

    ``settled`` has each kill once, now or up to attribution.OUTCOME_S later, when its outcome is known and its report has had
    time to come. ``unattributed`` are those of ``kills`` that no container can be named for. ``unmatched_reports``: reports of kills that
    no counter showed within pending_reports.KEEP_S.
    """

    kills: tuple[OomKill, ...] = ()
    amended: tuple[OomKill, ...] = ()
    settled: tuple[OomKill, ...] = ()
    baselines: tuple[Baseline, ...] = ()
    gone_inodes: tuple[int, ...] = ()
    unattributed: tuple[OomKill, ...] = ()
    unmatched_reports: int = 0
