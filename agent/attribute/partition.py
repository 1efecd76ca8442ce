"""Splits a rise of one cgroup's raw ``oom_kill`` counter into kills, with the kernel's reports as witnesses.

Pure arithmetic: takes a rise and reports, gives shares whose raw costs add up to the rise. The counters say how many,
the reports say who. Knows nothing of paths, pods or time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agent.model import OomReport


@dataclass(frozen=True, slots=True)
class Share:
    """One kill: ``raw`` is what it cost of the counter, ``processes`` how many died of it, ``report`` None: no witness."""

    processes: int
    raw: int
    group: bool
    report: OomReport | None


def is_group(report: OomReport) -> bool:
    """Whether the kernel said that it kills a whole cgroup (line ``Tasks in … are going to be killed``)."""
    return report.group_memcg is not None


def partition(raw: int, groups: int | None, reports: Sequence[OomReport], *, of_one: bool = True) -> tuple[Share, ...]:
    """Shares for a rise of ``raw`` in ``oom_kill`` and ``groups`` in ``oom_group_kill`` (None: kernel before 5.17).

    ``reports`` are this cgroup's, oldest first; those that the rise has no room for are left unused. A group kill counts
    its first victim twice (kernel 6.1, mm/oom_kill.c: ``__oom_kill_process`` runs for the chosen task and then again for it
    as a member of the group), unless that victim had gone by then. Victims whose lines were lost count for
    the group when there is one: a kill of its own beside a group kill of the same container at the same time is
    far rarer than a lost line. ``of_one`` False: the rise may be that of several containers, so they are kills of their own.
    """
    shares: list[Share] = []
    left = raw
    for report in reports:
        if left <= 0:
            break
        cost = min(left, len(report.victims) + 1) if is_group(report) else 1
        shares.append(Share(min(cost, max(1, len(report.victims))), cost, is_group(report), report))
        left -= cost
    if left > 0:
        shares = _give_rest(shares, left, groups, of_one=of_one)
    return tuple(shares)


def _give_rest(shares: list[Share], left: int, groups: int | None, *, of_one: bool) -> list[Share]:
    told = [i for i, share in enumerate(shares) if share.group]
    untold_groups = max(0, (groups or 0) - len(told))
    if untold_groups:
        return [*shares, Share(max(1, left - untold_groups), left, group=True, report=None)]
    if told and of_one:
        last = shares[told[-1]]
        shares[told[-1]] = Share(last.processes + left, last.raw + left, group=True, report=last.report)
        return shares
    return [*shares, *(Share(1, 1, group=False, report=None) for _ in range(left))]
