"""From the kills in a container, or at a pod's limit, to the next memory limit and the reason for it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agent.diagnose.memory import TOLERANCE, next_limit, quantity
from agent.model import Filled, KillSum, MemoryVolume, OomKill, Scope
from agent.wording.filled import filled_advice, filled_by, unbounded
from agent.wording.scopes import SHORTAGE
from agent.wording.text import count
from agent.wording.times import rfc3339

REMOVED = "; the newest pod has no container of this name"
SHARED = "; the pod's containers share it"


@dataclass(frozen=True, slots=True)
class NextLimit:
    """``next_bytes`` None: the kills are no reason for another limit. ``filled_by`` None: not known."""

    next_bytes: int | None
    reason: str
    filled_by: Filled | None = None


def of_container(
    limit_bytes: int | None, sums: Sequence[KillSum], peak_bytes: int | None, volumes: Sequence[MemoryVolume] = ()
) -> NextLimit:
    """``limit_bytes`` is its limit now, None for none; ``sums`` are its own kills at any limit; ``volumes``: its emptyDirs in memory."""
    own = [one for one in sums if one.last.scope in (Scope.CONTAINER, None)]
    at_limit = _at_limit(limit_bytes, own, volumes) if own else NextLimit(None, "")
    reasons = [at_limit.reason] if own else []
    if of_pod := [one for one in sums if one.last.scope is Scope.POD]:
        reasons.append(_kills(of_pod, "at its pod's limit"))
    if of_node := [one for one in sums if one.last.scope in (Scope.KUBEPODS, Scope.NODE)]:
        request = f": set its memory request to what it uses, {quantity(peak_bytes)}" if peak_bytes else ""
        reasons.append(_kills(of_node, "because the node, or all pods together, ran out of memory") + request)
    for scope in (Scope.NUMA, Scope.SYSRQ):
        others = [one for one in sums if one.last.scope is scope]
        reasons += [_kills(others, f"because {SHORTAGE[scope]}")] if others else []
    return NextLimit(at_limit.next_bytes, "; ".join(reasons) or "no OOM kill is known", at_limit.filled_by)


def of_removed(limit_bytes: int | None, sums: Sequence[KillSum]) -> NextLimit:
    """Of a container that the workload has no more: no next limit. ``limit_bytes``: at its newest kill."""
    found = of_container(limit_bytes, sums, None)
    return NextLimit(None, found.reason + REMOVED, found.filled_by)


def of_pod(limit_bytes: int | None, sums: Sequence[KillSum], volumes: Sequence[MemoryVolume] = ()) -> NextLimit:
    """``limit_bytes`` is the pod's limit now; ``sums`` are kills at it, in any of its containers; ``volumes``: of all of them."""
    found = _at_limit(limit_bytes, sums, volumes)
    return NextLimit(found.next_bytes, found.reason + SHARED, found.filled_by)


def _at_limit(limit_bytes: int | None, sums: Sequence[KillSum], volumes: Sequence[MemoryVolume]) -> NextLimit:
    """By the kills at the limit of now, if there are any, else by those at earlier limits. What fills any limit gets no higher one."""
    now = [
        one for one in sums if limit_bytes is None or (one.last.limit_bytes or limit_bytes) >= limit_bytes * TOLERANCE
    ]
    newest = max(now or sums, key=lambda one: one.last.at_unix_s).last
    earlier = f"at the earlier limit of {quantity(newest.limit_bytes)}"
    if limit_bytes is None:
        return NextLimit(None, _kills(sums, earlier if newest.limit_bytes else "") + "; there is no limit now")
    if not now:
        return NextLimit(None, f"{_kills(sums, earlier)}; none since at {quantity(limit_bytes)}")
    highest = max(one.last.limit_bytes or limit_bytes for one in now)
    lowered = highest * TOLERANCE > limit_bytes
    if all(one.last.scope is None for one in now):
        where = "(which limit was reached is not known)"
    elif lowered:
        where = f"at the earlier limit of {quantity(highest)}, which was lowered,"
    else:
        where = f"at the limit of {quantity(limit_bytes)}"
    filled = filled_by(newest)
    raised = None if unbounded(filled, volumes) else next_limit(highest if lowered else limit_bytes)
    return NextLimit(raised, _kills(now, where) + _filled(newest, volumes), filled)


def _filled(kill: OomKill, volumes: Sequence[MemoryVolume]) -> str:
    if (advice := filled_advice(kill, volumes)) is not None:
        return f"; {advice}"
    if filled_by(kill) is not Filled.NOT_PROCESSES:
        return ""
    return "; most of it was page cache, tmpfs or kernel memory, so also see what the container writes"


def _kills(sums: Sequence[KillSum], where: str) -> str:
    kills, survived = sum(one.kills for one in sums), sum(one.survived for one in sums)
    last = rfc3339(max(one.last.at_unix_s for one in sums))
    how = [f"the last {last}" if kills > 1 else last]
    if survived:
        how.append("the container survived" + (f" {survived}" if survived < kills else ""))
    return " ".join(filter(None, (count(kills, "OOM kill"), where, f"({', '.join(how)})")))
