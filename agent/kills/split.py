"""Splits an increase of one cgroup's raw ``oom_kill`` counter into kills: the counters say how many, the reports of which processes.

Pure arithmetic. A group kill counts its first victim twice (mm/oom_kill.c, oom_kill_process: for the chosen task, and again for it as a
member of the group), unless that victim had ended by then.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import reduce

from agent.kills.counter import Counter, upwards
from agent.kills.pending_reports import with_victims_of
from agent.model import OomReport

SECOND_COUNT_S = 5.0  # a container is ended by its group kill: within this time no kill of its own follows


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

    ``reports`` are this cgroup's, oldest first; those that the increase has no room for are left unused. Victims without a line
    count for the group when there is one: a kill of its own beside a group kill of the same container at the same time is
    far rarer than a lost line. ``of_one`` False: the increase may be that of several containers, so they are kills of their own.
    Nor is a line of a victim alone a kill of its own beside a group kill that has no report: the group's line was lost.
    """
    shares: list[Share] = []
    left = raw
    lacking = groups - sum(map(is_group, reports))
    lines = [report for report in reports if of_one and lacking > 0 and _names_victims_only(report)]
    for report in (report for report in reports if report not in lines):
        if left <= 0:
            return shares
        cost = min(left, raw_of(report)) if is_group(report) else 1
        shares.append(Share(min(cost, max(1, len(report.victims))), cost, is_group(report), report))
        left -= cost
    reported = [i for i, share in enumerate(shares) if share.group]
    if left > 0 and (unreported := min(left, groups - len(reported))) > 0:
        found = _unreported_groups(left, unreported)
        if lines and len(found) == 1:
            found = [replace(found[0], report=reduce(with_victims_of, lines))]
        return shares + found
    if left > 0 and reported and of_one:
        last = shares[reported[-1]]
        shares[reported[-1]] = replace(last, processes=last.processes + left, raw=last.raw + left)
        return shares
    return shares + [Share(1, 1, group=False, report=None)] * left


def _names_victims_only(report: OomReport) -> bool:
    return report.group_memcg is None and report.oom_memcg is None and not report.global_oom


def _unreported_groups(raw: int, groups: int) -> list[Share]:
    """That many group kills, as when the agent was stopped for a while. Nobody knows which process died in which: they are shared out."""
    each, more = divmod(raw, groups)
    raws = [each + (number < more) for number in range(groups)]
    return [Share(max(1, one - 1), one, group=True, report=None) for one in raws]


class SecondCounts:
    """Second counts of the first victims of recorded group kills that may be yet to come: the counter of each, and until when.

    On a busy node it came more than 0.3 s after the kill was recorded (7.2): by itself it looks like one more kill.
    """

    def __init__(self) -> None:
        self._expected: list[tuple[Counter, float]] = []

    def note(self, counter: Counter, shares: Iterable[Share], now_s: float) -> None:
        """These shares of ``counter`` are being recorded: what the counter lacks of a group's report may follow."""
        reported = [(raw_of(share.report), share.raw) for share in shares if share.group and share.report is not None]
        lacking_one = sum(printed - counted == 1 for printed, counted in reported)
        self._expected += [(counter, now_s + SECOND_COUNT_S)] * lacking_one  # more are lacking: victims of their own

    def take(self, at: Counter, raw: int, now_s: float) -> int:
        """How many of ``raw`` new counts of ``at``, the group's own counter or, once that was removed, a level above, are second ones."""
        taken, still = 0, []
        for counter, until_s in (each for each in self._expected if each[1] >= now_s):
            if taken < raw and (counter is at or (counter.removed and at in upwards(counter))):
                taken += 1
            else:
                still.append((counter, until_s))
        self._expected = still
        return taken
