"""The loop's reader of the kernel's log: records in, reports out, and how far it has come.

Joins kernel.kmsg and kernel.oomreport; owns the position that the ledger keeps. Believes nothing that isn't the
kernel's own, and counts what was lost.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from agent.kernel.kmsg import Kmsg
from agent.kernel.oomreport import ReportAssembler, monotonic_us
from agent.metrics.metrics import Metrics
from agent.model import KmsgGap, OomReport

AT_ONCE = 200  # records a turn, some milliseconds: enforcement has its turn in between
ASK_AGAIN_S = 0.030  # how long the log must be quiet changes with what the counters say


class LogReader:
    """``used`` are first sequences of reports that the ledger's kills already hold; they are not told again."""

    def __init__(self, kmsg: Kmsg, metrics: Metrics, used: Collection[int]) -> None:
        self._kmsg = kmsg
        self._metrics = metrics
        self._used = frozenset(used)
        self._now_us = monotonic_us()
        self._assembler = ReportAssembler(clock_us=lambda: self._now_us)
        self._foreign = 0
        self._due_s: float | None = None
        self._read_up_to: int | None = None
        self.sequence: int | None = None  # every report that begins at or before this record is out of the assembler

    def fileno(self) -> int:
        return self._kmsg.fileno()

    def due_s(self) -> float | None:
        """When to read again though the log has nothing new: a report that may still go on is open; None: none is."""
        return self._due_s

    def read(self, now_s: float, quiet_s: Callable[[bool], float]) -> list[OomReport]:
        """What the log has, up to AT_ONCE records, and the report that has been quiet for long enough.

        ``now_s`` monotonic, in seconds; ``quiet_s`` tells how long is enough, in seconds, given whether the log spoke of a group kill.
        Raises KmsgUnavailableError.
        """
        self._now_us = int(now_s * 1e6)
        reports: list[OomReport] = []
        items = self._kmsg.read(AT_ONCE)
        for item in items:
            if isinstance(item, KmsgGap):
                self._metrics.kmsg_lost(item.lost)
            else:
                self._read_up_to = item.sequence
            reports += self._assembler.feed(item)
            self._note_position()
        foreign = self._assembler.foreign_records
        self._metrics.kmsg_foreign(foreign - self._foreign)
        self._foreign = foreign
        self._due_s = None
        if self._assembler.pending:
            quiet_us = round(quiet_s(self._assembler.pending_group) * 1e6)
            if len(items) < AT_ONCE:  # else what goes on may be among those yet to be read
                reports += self._assembler.flush(self._now_us, quiet_us)
            self._note_position()
        if self._assembler.pending:
            self._due_s = min((self._assembler.arrived_us + quiet_us) / 1e6, now_s + ASK_AGAIN_S)
        return [report for report in reports if report.first_sequence not in self._used]

    def _note_position(self) -> None:
        if not self._assembler.pending:
            self.sequence = self._read_up_to

    def close(self) -> None:
        self._kmsg.close()
