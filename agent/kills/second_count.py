"""The second count of a group kill's first victim, when it comes after the kill was recorded.

The kernel counts the chosen process when it kills it, and once more as a member of its group (mm/oom_kill.c, oom_kill_process), unless it
had gone by then. On a busy node the second count was more than 0.3 s late (7.2): by itself it looks like one more kill.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from agent.kills.counter import Counter, upwards
from agent.kills.split import Share, raw_of

LATE_S = 5.0  # a container is ended by its group kill: within this time no kill of its own follows


@dataclass(slots=True)
class _Expected:
    counter: Counter
    raw: int
    until_s: float

    def may_show_at(self, counter: Counter) -> bool:
        """In its own counter, and in those of the levels above when that can't be read any more."""
        return counter is self.counter or (
            self.counter.removed and any(level is counter for level in upwards(self.counter))
        )


class SecondCounts:
    """Which counts of recorded group kills may be yet to come."""

    def __init__(self) -> None:
        self._expected: list[_Expected] = []

    def note(self, counter: Counter, shares: Iterable[Share], now_s: float) -> None:
        """These shares of ``counter`` are being recorded: what the counter lacks of a group's report may follow."""
        raw = sum(
            share.group and share.report is not None and raw_of(share.report) - share.raw == 1 for share in shares
        )  # more are lacking: victims of their own
        if raw:
            self._expected.append(_Expected(counter, raw, now_s + LATE_S))

    def take(self, counter: Counter, raw: int, now_s: float) -> int:
        """How many of ``raw`` new counts of ``counter`` are such second ones; these are expected no longer."""
        self._expected = [each for each in self._expected if each.until_s >= now_s]
        taken = 0
        for each in self._expected:
            if each.may_show_at(counter):
                now = min(each.raw, raw - taken)
                each.raw -= now
                taken += now
        self._expected = [each for each in self._expected if each.raw]
        return taken
