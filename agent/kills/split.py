"""Splits an increase of one cgroup's raw ``oom_kill`` counter into kills, with the help of the kernel's reports.

Pure arithmetic: takes an increase and reports, gives shares whose raw costs add up to the increase. The counters say how many,
the reports say who. Knows nothing of paths, pods or time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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


def split_increase(
    raw: int, groups: int | None, reports: Sequence[OomReport], *, of_one: bool = True
) -> tuple[Share, ...]:
    """Shares for an increase of ``raw`` in ``oom_kill`` and ``groups`` in ``oom_group_kill`` (None: kernel before 5.17).

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
    if left > 0:
        shares = _give_rest(shares, left, groups, of_one=of_one)
    return tuple(shares)


def shortfall(
    shown: tuple[int, int | None], spare: tuple[int, int | None], reports: Sequence[OomReport]
) -> tuple[int, int]:
    """Raw kills and group kills that a cgroup's last reading lacks of those that its ``reports`` have.

    ``shown``: what that reading has unrecorded, as ``split_increase`` takes it; ``spare``: what the levels above show and nobody's reading
    explains. Of a group kill that isn't counted as one yet at most the first victim is counted.
    """
    reported_groups = [raw_of(report) for report in reports if is_group(report)]
    missing = max(0, len(reported_groups) - (shown[1] or 0))
    at_least = sum(raw - 1 for raw in reported_groups[len(reported_groups) - missing :]) if shown[1] is not None else 0
    raw = min(spare[0], max(at_least, sum(raw_of(report) for report in reports) - shown[0]))
    return raw, min(missing, missing if spare[1] is None else spare[1]) if raw else 0


def _give_rest(shares: list[Share], left: int, groups: int | None, *, of_one: bool) -> list[Share]:
    reported = [i for i, share in enumerate(shares) if share.group]
    unreported = max(0, (groups or 0) - len(reported))
    if unreported:
        return [*shares, Share(max(1, left - unreported), left, group=True, report=None)]
    if reported and of_one:
        last = shares[reported[-1]]
        shares[reported[-1]] = Share(last.processes + left, last.raw + left, group=True, report=last.report)
        return shares
    return [*shares, *(Share(1, 1, group=False, report=None) for _ in range(left))]
