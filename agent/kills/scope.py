"""Which limit a kill hit: by the kernel's log, else by what the counters of hits can prove.

A kill at a memory limit is always preceded by a hit of that limit (mm/memcontrol.c, mem_cgroup_oom): ``oom`` in memory.events,
counted where the limit is and in every level above. So a hit without a kill of its own names the level. No such hit
proves nothing: another kill may have taken it, or it expired. The node is named by the log, or without one by ``node_was_short``.
"""

from __future__ import annotations

from math import inf
from typing import Protocol

from agent.kills.counter import Counter, upwards
from agent.kills.facts import Facts
from agent.model import CgroupKind, OomReport, Scope, Vanished, is_inside

NO_HIT_S = 120.0  # a node without a hit for that long before a kill has none whose kill is yet to come
LEVELS = {CgroupKind.CONTAINER: Scope.CONTAINER, CgroupKind.POD: Scope.POD, CgroupKind.KUBEPODS: Scope.KUBEPODS}
_ORDER = tuple(LEVELS.values())


class Claimed(Protocol):
    """As PendingReports.at_limit: how many hits of a limit are those of kills that wait for their counter, by the log."""

    def __call__(self, path: str, *, below: bool = False) -> int: ...


def nothing_claimed(path: str, *, below: bool = False) -> int:  # noqa: ARG001
    return 0


def by_report(report: OomReport, path: str) -> Scope | None:
    """The level of the limit that was hit, by the OOM domain that the report of a kill in ``path`` names; None: that line was lost."""
    if report.global_oom:
        return Scope.NODE
    domain = report.oom_memcg
    if domain is None:
        return None
    if is_inside(domain, path):
        return Scope.CONTAINER
    pod = path.rpartition("/")[0]
    if domain == pod:
        return Scope.POD
    return Scope.KUBEPODS if is_inside(pod, domain) else None


def as_users_say(level: Scope | None, path: str, facts: Facts) -> Scope | None:
    """A pod with one container carries the container's limit at both levels, and the kernel then names the pod (measured):
    to a user that is the container's limit. Several containers carry their pod's limit where it is set for the pod (KEP-2837): that
    is the pod's.
    """
    if level is not Scope.POD:
        return level
    limit = facts.limit_bytes(path)
    same = limit is not None and limit == facts.limit_bytes(path.rpartition("/")[0])
    return Scope.CONTAINER if same and facts.alone(path) else level


def by_hits(counter: Counter, claimed: Claimed = nothing_claimed) -> Scope | None:
    """The lowest level with a hit that no recorded kill has taken; None: there is none, which says nothing.

    ``claimed``: hits that are not to be taken.
    A container that can't be read any more is known by its pod: a hit below the pod and of no child that can be read was the container's.
    """
    below_unread = counter.kind is not CgroupKind.CONTAINER
    for level in upwards(counter):
        if level.kind is CgroupKind.CONTAINER:
            if level.unrecorded_hits > claimed(level.cgroup.path):
                return Scope.CONTAINER
            below_unread = level.removed or level.unread
        elif level.counts_hits:
            if level.unrecorded_own_hits > claimed(level.cgroup.path):
                return LEVELS.get(level.kind)
            below = claimed(level.cgroup.path, below=True) if level.kind is CgroupKind.POD and below_unread else inf
            if level.unexplained_hits() > below:
                return Scope.CONTAINER
    return None


def take_hit(counter: Counter, level: Scope | None) -> None:
    """One hit of this level's limit has led to a kill: it is taken there and above; none where it was no limit's, or that is not known."""
    if level not in _ORDER:
        return
    for each in upwards(counter):
        scope = LEVELS.get(each.kind)
        if scope is not None and _ORDER.index(scope) >= _ORDER.index(level):
            each.take_hit(own=scope is level)


def node_was_short(counter: Counter, facts: Facts) -> bool:
    """Whether by the counters alone a kill in this cgroup hit no limit, so that the node was out of memory. False: it did, or may have.

    The kubepods root has never counted a hit, its own or below, or none from NO_HIT_S before its last reading without this kill
    until now; and no level above the root has a limit.
    """
    root = next((level for level in upwards(counter) if level.kind is CgroupKind.KUBEPODS), None)
    if root is None:
        return False
    now = facts.counters(root.cgroup)
    if isinstance(now, Vanished) or now.local_oom is None or now.oom != root.reading.oom:
        return False
    quiet = now.oom == 0 or root.without_kill_s - root.last_hit_s >= NO_HIT_S
    return quiet and not facts.limited_above(root.cgroup.path)
