"""Which limit a kill hit: by the kernel's log, else by what the counters of hits can prove.

A kill at a memory limit is always preceded by a hit of that limit (mm/memcontrol.c, mem_cgroup_oom): ``oom`` in memory.events,
counted where the limit is and in every level above. So a hit without a kill of its own names the level. No such hit
proves nothing: another kill may have taken it, or it expired. The node is named by the log, or without one by ``node_was_short``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from agent.cgroup.layout import classify
from agent.kills.counter import Counter, Dropped, upwards
from agent.kills.facts import Facts
from agent.model import CgroupKind, OomReport, Scope, Vanished, is_inside, levels_above, parent_of

NO_HIT_S = 120.0  # a node without a hit for that long before a kill has none whose kill is yet to come
LEVELS = {CgroupKind.CONTAINER: Scope.CONTAINER, CgroupKind.POD: Scope.POD, CgroupKind.KUBEPODS: Scope.KUBEPODS}
_ORDER = tuple(LEVELS.values())
ONE_NUMA_NODE = ("CONSTRAINT_CPUSET", "CONSTRAINT_MEMORY_POLICY")  # mm/oom_kill.c, constrained_alloc


class Claimed(Protocol):
    """As PendingReports.at_limit: how many hits of a limit are those of kills that wait for their counter, by the log."""

    def __call__(self, path: str, *, below: bool = False) -> int: ...


def nothing_claimed(path: str, *, below: bool = False) -> int:  # noqa: ARG001
    return 0


def by_report(report: OomReport, path: str) -> Scope | None:
    """The level of the limit that was hit, by the OOM domain that the report of a kill in ``path`` names; None: that line was lost."""
    if report.global_oom:
        return _without_limit(report)
    domain = report.oom_memcg
    if domain is None:
        return None
    pod = own_pod(path)
    if pod is None and is_inside(domain, path):
        return Scope.CONTAINER
    if pod is not None and is_inside(domain, pod):
        return Scope.POD
    pod = pod or parent_of(path)
    if domain == pod:
        return Scope.POD
    return Scope.KUBEPODS if is_inside(pod, domain) else None


def _without_limit(report: OomReport) -> Scope:
    if report.sysrq:
        return Scope.SYSRQ
    return Scope.NUMA if report.constraint in ONE_NUMA_NODE else Scope.NODE


def own_pod(path: str) -> str | None:
    """Path of the pod that the processes right at this path are of, if they are in none of its containers' cgroups: in the pod's own, or
    in one that its runtime made (Kata's kata_<id>, a conmon's). Else None.
    """
    if (place := classify(path)).pod_key is None or place.kind not in (CgroupKind.POD, CgroupKind.OTHER):
        return None
    return next((at for at in (path, *levels_above(path)) if classify(at).kind is CgroupKind.POD), None)


def as_users_say(level: Scope | None, path: str, facts: Facts) -> Scope | None:
    """A pod with one container carries the container's limit at both levels, and the kernel then names the pod (measured):
    to a user that is the container's limit. Several containers carry their pod's limit where it is set for the pod (KEP-2837): that
    is the pod's.
    """
    if level is not Scope.POD or own_pod(path) is not None:
        return level
    limit = facts.limit_bytes(path)
    same = limit is not None and limit == facts.limit_bytes(parent_of(path))
    return Scope.CONTAINER if same and facts.alone(path) else level


def level_of(counter: Counter, scope: Scope | None) -> Counter | None:
    """The counter, or that above it, whose limit a kill of this scope has hit; None: it is not known, removed, or the node."""
    found = (level for level in upwards(counter) if scope is not None and LEVELS.get(level.kind) is scope)
    return next(found, None)


class Hits(NamedTuple):
    """``number`` hits of limits that have led to no recorded kill, seen at ``level``; each proves ``scope``."""

    level: Counter
    scope: Scope
    number: int


def by_hits(counter: Counter, claimed: Claimed = nothing_claimed) -> Scope | None:
    """The lowest level with a hit that no recorded kill has taken; None: there is none, which says nothing, or it is ``ambiguous``.

    ``claimed``: hits that are not to be taken.
    """
    found = free_hits(counter, claimed)
    return None if not found or ambiguous(counter, found) else found[0].scope


def ambiguous(counter: Counter, found: list[Hits]) -> bool:
    """Whether the next kill may be of either of several levels' hits: there are more hits than kills, so one's kill is yet to come; or
    hits of another level were dropped a moment ago, and only one of them had led to a kill.
    """
    doubted = {LEVELS.get(level.kind) for level in upwards(counter) if level.doubtful}
    if doubted - {hits.scope for hits in found}:
        return True
    highest = found[-1].level
    kills_at_least = highest.unrecorded_groups or highest.unrecorded_kills  # all counts may be of the group kills
    return len({hits.scope for hits in found}) > 1 and highest.unrecorded_hits > kills_at_least


def free_hits(counter: Counter, claimed: Claimed = nothing_claimed) -> list[Hits]:
    """Hits that a kill in this cgroup can be of, the lowest level first; those of a QoS class's limit are seen nowhere.

    A container that can't be read any more is known by its pod: a hit below the pod and of no child that can be read was the container's.
    """
    found: list[Hits] = []
    below_unread = counter.kind is not CgroupKind.CONTAINER
    for level in upwards(counter):
        path, scope = level.cgroup.path, LEVELS.get(level.kind)
        if level.kind is CgroupKind.CONTAINER:
            found.append(Hits(level, Scope.CONTAINER, level.unrecorded_hits - claimed(path)))
            below_unread = level.removed or level.unread
        elif level.counts_hits and scope is not None:
            if level.kind is CgroupKind.POD and below_unread:
                found.append(Hits(level, Scope.CONTAINER, level.unexplained_hits() - claimed(path, below=True)))
            found.append(Hits(level, scope, level.unrecorded_own_hits - claimed(path)))
    return [hits for hits in found if hits.number > 0]


def drop_hits(counter: Counter, found: Sequence[Hits]) -> None:
    """A kill took one of these, and nobody knows which: none of them proves anything any more."""
    doubtful = [level.dropped for level in upwards(counter) if level.doubtful and level.dropped is not None]
    shared = doubtful[0] if doubtful else Dropped(0, found[-1].level.changed_s)
    shared.left += sum(hits.number for hits in found) - 1
    for hits in found:
        hits.level.dropped = shared
    dropped = 0
    for level in upwards(counter):
        own = [hits.number for hits in found if hits.level is level and hits.scope is LEVELS.get(level.kind)]
        dropped += sum(hits.number for hits in found if hits.level is level)
        level.take_hits(dropped, own=sum(own))


def take_hit(counter: Counter, level: Scope | None) -> None:
    """One hit of this level's limit has led to a kill: it is taken there and above; none where it was no limit's, or that is not known."""
    if level not in _ORDER:
        return
    for each in upwards(counter):
        scope = LEVELS.get(each.kind)
        if scope is level and each.unrecorded_hits <= 0:
            take_dropped(each)
        if scope is not None and _ORDER.index(scope) >= _ORDER.index(level):
            each.take_hits(1, own=int(scope is level))


def take_dropped(counter: Counter) -> None:
    """A kill without a hit of its own was of one of those that were dropped, if there are any."""
    level = next((level for level in upwards(counter) if level.doubtful), None)
    if level is not None and level.dropped is not None:
        level.dropped.left -= 1


def node_was_short(counter: Counter, facts: Facts) -> bool:
    """Whether by the counters alone a kill in this cgroup hit no limit, so that the node was out of memory. False: it did, or may have.

    The kubepods root has never counted a hit, its own or below, or none from NO_HIT_S before its last reading without this kill
    until now; and no level above the root has a limit. Only the log can distinguish the shortage of one NUMA node from that of all.
    """
    root = next((level for level in upwards(counter) if level.kind is CgroupKind.KUBEPODS), None)
    if root is None:
        return False
    now = facts.counters(root.cgroup)
    if isinstance(now, Vanished) or now.local_oom is None or now.oom != root.reading.oom:
        return False
    quiet = now.oom == 0 or root.without_kill_s - root.last_hit_s >= NO_HIT_S
    return quiet and not facts.limited_above(root.cgroup.path)
