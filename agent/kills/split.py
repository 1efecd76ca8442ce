"""Splits an increase of one cgroup's raw ``oom_kill`` counter into kills: the counters say how many, the reports say of which processes.

Pure arithmetic: the shares' raw costs add up to the increase.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from agent.model import OomReport


@dataclass(frozen=True, slots=True)
class Share:
    """One kill: ``raw`` is what it cost of the counter, ``processes`` how many died of it, ``report`` None: the log has none."""

    processes: int
    raw: int
    group: bool
    report: OomReport | None


def is_group(report: OomReport) -> bool:
    """Whether the kernel said that it kills a whole cgroup (line ``Tasks in … are going to be killed``)."""
    return report.group_memcg is not None


def raw_of(report: OomReport) -> int:
    """What the report's kill cost of the counter, at most: one per victim, and in a group kill the first victim twice."""
    return len(report.victims) + is_group(report)


def split_increase(raw: int, groups: int, reports: Sequence[OomReport], *, of_one: bool = True) -> list[Share]:
    """Shares for an increase of ``raw`` in ``oom_kill`` and ``groups`` in ``oom_group_kill`` (0 where that is not counted).

    ``reports`` are this cgroup's, oldest first; those that the increase has no room for are left unused. A group kill counts
    its first victim twice (kernel 6.1, mm/oom_kill.c: ``__oom_kill_process`` runs for the chosen task and then again for it
    as a member of the group), unless that victim had gone by then. Victims whose lines were lost count for
    the group when there is one: a kill of its own beside a group kill of the same container at the same time is
    far rarer than a lost line. ``of_one`` False: the increase may be that of several containers, so they are kills of their own.
    """
    shares: list[Share] = []
    left = raw
    for report in reports:
        if left <= 0:
            break
        cost = min(left, raw_of(report)) if is_group(report) else 1
        shares.append(Share(min(cost, max(1, len(report.victims))), cost, is_group(report), report))
        left -= cost
    if left <= 0:
        return shares
    reported = [i for i, share in enumerate(shares) if share.group]
    unreported = max(0, groups - len(reported))
    if unreported:
        return [*shares, Share(max(1, left - unreported), left, group=True, report=None)]
    if reported and of_one:
        last = shares[reported[-1]]
        shares[reported[-1]] = replace(last, processes=last.processes + left, raw=last.raw + left)
        return shares
    return shares + [Share(1, 1, group=False, report=None)] * left
