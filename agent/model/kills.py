"""What happened: the one record of a kill."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from agent.model.kernel import TaskRow, Victim
from agent.model.modes import Mode


class Scope(StrEnum):
    """Which limit was hit; NODE: none, the node was out of memory, and that is known."""

    CONTAINER = "container"
    POD = "pod"
    KUBEPODS = "kubepods"
    NODE = "node"


class Outcome(StrEnum):
    SURVIVED = "survived"
    DIED = "died"


@dataclass(frozen=True, slots=True)
class OomKill:
    """The one record of a kill.

    ``cgroup_inode`` is that of the cgroup whose counter showed it, in the boot ``boot_id``, as its kill number ``ordinal``; the cgroup at
    ``cgroup_path`` is another one where a level above was the first to show it. ``processes`` is how many died of it, by the counters;
    ``victims`` those of them whose names the log has, so it may be shorter. Pod fields are None when the API did not know the cgroup's pod,
    all of them and ``container_id`` when the kill was outside of pods. ``scope`` None: it is not known which limit was hit, or whether it
    was the node's memory. ``outcome`` None: not known yet (within 1 s).
    """

    boot_id: str
    cgroup_inode: int  # 0: the whole node's counter
    ordinal: int
    at_unix_s: float
    node: str
    cgroup_path: str
    processes: int
    namespace: str | None = None
    pod: str | None = None
    pod_uid: str | None = None
    container: str | None = None
    container_id: str | None = None
    victims: tuple[Victim, ...] = ()
    mode: Mode | None = None  # in force then: what memory.oom.group said; None when unknown or v1
    group_kill: bool = False
    scope: Scope | None = None
    limit_bytes: int | None = None
    usage_bytes: int | None = None
    largest: tuple[TaskRow, ...] = ()
    outcome: Outcome | None = None
    sources: frozenset[str] = frozenset()  # of {"counters", "kmsg", "hierarchy"}
    details_missing: bool = False
    report_sequence: int | None = None  # first kmsg record of the report that was used; names it within the boot

    @property
    def kill_id(self) -> str:
        """Names the kill for ever, so that whoever sees it again knows it."""
        return f"{kills_of_cgroup(self.boot_id, self.cgroup_inode)}{self.ordinal}"


def kills_of_cgroup(boot_id: str, cgroup_inode: int) -> str:
    """What the ``kill_id`` of each kill that this cgroup's counter showed begins with, and no other's does."""
    return f"{boot_id}-{cgroup_inode}-"
