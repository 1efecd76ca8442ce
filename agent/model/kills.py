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
    """The one record of a kill that leaves attribute.py.

    ``kill_id`` names the kill for ever: boot id, cgroup inode and ordinal (``<boot>-<inode>-<n>``), so that whoever sees it
    again knows it. ``processes`` is how many died of it (the counters' word); ``victims`` those of them whose names the
    log told, so it may be shorter. Pod fields are None when the cgroup's pod was not known to the API, all of them and
    ``container_id`` when the kill was outside of pods. ``scope`` None: it is not known which limit was hit, or whether it was the node's
    memory. ``outcome`` None: not settled yet (within 1 s).
    """

    kill_id: str
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
