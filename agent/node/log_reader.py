"""The loop's reader of the kernel's log: records in, reports out, and how far it has come.

Joins kernel.kmsg and kernel.oomreport; owns the position that the ledger keeps. Believes nothing that isn't the
kernel's own, and counts what was lost.
"""

from __future__ import annotations

from collections.abc import Collection

from agent.kernel.kmsg import Kmsg
from agent.kernel.oomreport import QUIET_US, ReportAssembler
from agent.model import KmsgGap, OomReport
from agent.report.metrics import Metrics

QUIET_S = QUIET_US / 1e6  # a group kill's lines may come that far apart on a slow console
SINGLE_QUIET_S = 0.005  # the counters say that it was no group kill: nothing more will come
AT_ONCE = 200  # records a turn, some milliseconds: enforcement has its turn in between


class LogReader:
    """``used`` are first sequences of reports that the ledger's kills already hold; they are not told again."""

    def __init__(self, kmsg: Kmsg, metrics: Metrics, used: Collection[int]) -> None:
        self._kmsg = kmsg
        self._metrics = metrics
        self._used = frozenset(used)
        self._assembler = ReportAssembler()
        self._foreign = 0
        self._quiet_at_s: float | None = None
        self._read_up_to: int | None = None
        self.sequence: int | None = None  # every report that begins at or before this record is out of the assembler

    def fileno(self) -> int:
        return self._kmsg.fileno()

    def due_s(self) -> float | None:
        """When a report that may still go on has been quiet for long enough; None: none is open."""
        return self._quiet_at_s

    def read(self, now_s: float, *, expects_group: bool) -> list[OomReport]:
        """What the log has, up to AT_ONCE records. ``expects_group``: the counters tell of a group kill, or can't tell."""
        reports: list[OomReport] = []
        for item in self._kmsg.read(AT_ONCE):
            if isinstance(item, KmsgGap):
                self._metrics.kmsg_lost(item.lost)
            else:
                self._read_up_to = item.sequence
            reports += self._assembler.feed(item)
            if not self._assembler.pending:
                self.sequence = self._read_up_to
        foreign = self._assembler.foreign_records
        self._metrics.kmsg_foreign(foreign - self._foreign)
        self._foreign = foreign
        self._quiet_at_s = now_s + (QUIET_S if expects_group else SINGLE_QUIET_S) if self._assembler.pending else None
        return self._new(reports)

    def flush(self, now_s: float) -> list[OomReport]:
        """The reports that have been quiet for long enough."""
        if self._quiet_at_s is None or now_s < self._quiet_at_s:
            return []
        self._quiet_at_s = None
        self.sequence = self._read_up_to
        return self._new(self._assembler.flush(None))

    def _new(self, reports: list[OomReport]) -> list[OomReport]:
        return [report for report in reports if report.first_sequence not in self._used]

    def close(self) -> None:
        self._kmsg.close()
