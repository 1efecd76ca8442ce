"""The second count of a group kill's first victim, when it comes after the kill was recorded.

The kernel counts the chosen process when it kills it, and once more as a member of its group (mm/oom_kill.c, oom_kill_process), unless it
had gone by then. On a busy node the second count was more than 0.3 s late (7.2): by itself it looks like one more kill.
"""

from __future__ import annotations

from collections.abc import Iterable

from agent.kills.counter import Counter, upwards
from agent.kills.split import Share, raw_of

LATE_S = 5.0  # a container is ended by its group kill: within this time no kill of its own follows


class SecondCounts:
    """Which counts of recorded group kills may be yet to come: one entry each, the counter and until when."""

    def __init__(self) -> None:
        self._expected: list[tuple[Counter, float]] = []

    def note(self, counter: Counter, shares: Iterable[Share], now_s: float) -> None:
        """These shares of ``counter`` are being recorded: what the counter lacks of a group's report may follow."""
        for share in shares:
            if share.group and share.report is not None and raw_of(share.report) - share.raw == 1:
                self._expected.append(
                    (counter, now_s + LATE_S)
                )  # where more are lacking, they are victims of their own

    def take(self, at: Counter, raw: int, now_s: float) -> int:
        """How many of ``raw`` new counts of ``at`` are such second ones; these are expected no longer.

        They show in the group's own counter, and in those of the levels above when that can't be read any more.
        """
        taken, still = 0, []
        for counter, until_s in self._expected:
            if until_s < now_s:
                continue
            if taken < raw and (counter is at or (counter.removed and at in upwards(counter))):
                taken += 1
            else:
                still.append((counter, until_s))
        self._expected = still
        return taken
