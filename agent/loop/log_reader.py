"""The reader of the kernel's log: records in, OOM reports out.

A log that can't be opened or read is opened again later, behind the last record read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import inf

from agent.kernel.kmsg import Kmsg, KmsgUnavailableError
from agent.kernel.oom_block import Block
from agent.kernel.oom_blocks import OomBlocks, monotonic_us
from agent.kernel.oom_report import reports_of
from agent.kills.pending_reports import KEEP_S
from agent.metrics.metrics import Metrics
from agent.model import KmsgGap, KmsgRecord, OomKill, OomReport

AT_ONCE = 25  # records per turn, some 0.4 ms: enforcement has its turn in between, and no turn is long
ASK_AGAIN_S = 0.030  # how long the log must be quiet depends on the counters, which change
RETRY_FIRST_S = 1.0  # after a failure, then twice as long each time …
RETRY_MOST_S = 60.0  # … up to this, and then only in a turn that takes place anyway: an idle node isn't woken


@dataclass(frozen=True, slots=True)
class Recorded:
    """Reports of which agents of this boot recorded kills: their first sequences, and when the newest was written (CLOCK_MONOTONIC).

    When a kill with a report is recorded, reports that are older by KEEP_S had their time. An agent that is killed before that time is over
    would give them to the next one, and that to the next: at last to a later kill of the same pod.
    """

    sequences: frozenset[int] = frozenset()
    newest_us: int = 0

    def done(self, report: OomReport) -> bool:
        """Whether it is a recorded kill's, or was given up."""
        given_up = (
            report.first_sequence < max(self.sequences, default=0) and report.at_us < self.newest_us - KEEP_S * 1e6
        )
        return given_up or report.first_sequence in self.sequences


def recorded_reports(kills: Iterable[OomKill]) -> Recorded:
    """What the ledger's kills of this boot say."""
    times = {kill.report_sequence: kill.at_unix_s for kill in kills if kill.report_sequence is not None}
    if not times:
        return Recorded()
    since_newest_s = time.time() - times[max(times)]
    return Recorded(frozenset(times), monotonic_us() - int(since_newest_s * 1e6))


class LogReader:
    """``open_log`` opens the log behind a sequence number (None: at its end), or raises KmsgUnavailableError.

    ``after_sequence`` is the ledger's position. What is ``recorded`` is not given again.
    """

    def __init__(
        self,
        open_log: Callable[[int | None], Kmsg],
        after_sequence: int | None,
        metrics: Metrics,
        recorded: Recorded,
    ) -> None:
        self._open_log = open_log
        self._metrics = metrics
        self._recorded = recorded
        self._now_us = monotonic_us()
        self._blocks = OomBlocks(clock_us=lambda: self._now_us)
        self._foreign = 0
        self._due_s: float | None = None
        self._read_up_to = after_sequence
        self.sequence: int | None = None  # every report that begins at or before this record was given
        self.more = False  # whether the last read may have left records behind
        self.trouble: str | None = None  # why the log can't be read, and what to do; None: it can
        self._wait_s = 0.0  # before the next try
        self._retry_at_s = self._readable_since_s = -inf
        self._kmsg: Kmsg | None = None
        try:
            self._kmsg = open_log(after_sequence)
        except KmsgUnavailableError as error:
            self.trouble = str(error)

    def fileno(self) -> int | None:
        """The descriptor for a selector, another one after the log was lost; None while it can't be read."""
        return self._kmsg.fileno() if self._kmsg is not None else None

    def due_s(self) -> float | None:
        """When to read without a new record: a report may be complete then, or the log is to be opened; None: neither."""
        if self.more:
            return -inf
        retry_s = None if self._kmsg is not None or self._wait_s == RETRY_MOST_S else self._retry_at_s
        return min((time for time in (self._due_s, retry_s) if time is not None), default=None)

    @property
    def unread(self) -> bool:
        """Whether more of the log is there, or the rest of a report may be."""
        return self.more or self._blocks.pending

    def read(self, now_s: float, quiet_s: Callable[[bool], float]) -> list[OomReport]:
        """The reports in up to AT_ONCE records, and the pending one if the log has been quiet for long enough.

        ``now_s`` is monotonic. ``quiet_s`` gives the seconds that are enough, by whether the pending report is of a group kill.
        ``fileno`` and ``trouble`` change if the log is lost or found.
        """
        self._now_us = int(now_s * 1e6)
        ended: list[Block] = []
        items = self._items(now_s)
        for item in items:
            if isinstance(item, KmsgGap):
                self._metrics.kmsg_lost_records.inc(item.lost)
            else:
                self._read_up_to = item.sequence
            ended += self._blocks.feed(item)
            self._note_position()
        foreign = self._blocks.foreign_records
        self._metrics.kmsg_foreign_records.inc(foreign - self._foreign)
        self._foreign = foreign
        self._due_s = None
        self.more = self._kmsg is not None and self._kmsg.more
        if self._blocks.pending:
            quiet_us = round(quiet_s(self._blocks.pending_group) * 1e6)
            if not self.more:  # else its next lines may be among those that are not read yet
                ended += self._blocks.flush(self._now_us, quiet_us)
            self._note_position()
        if self._blocks.pending:
            self._due_s = min((self._blocks.arrived_us + quiet_us) / 1e6, now_s + ASK_AGAIN_S)
        reports = (report for block in ended for report in reports_of(block))
        return [report for report in reports if not self._recorded.done(report)]

    def _items(self, now_s: float) -> list[KmsgRecord | KmsgGap]:
        if self._kmsg is None and now_s < self._retry_at_s:
            return []
        try:
            if self._kmsg is None:
                self._kmsg = self._open_log(self._read_up_to)
            items = self._kmsg.read(AT_ONCE)
        except KmsgUnavailableError as error:
            self._lose(error, now_s)
            return []
        if self.trouble is not None:
            self.trouble, self._readable_since_s = None, now_s
        return items

    def _lose(self, error: KmsgUnavailableError, now_s: float) -> None:
        if self.trouble is None and now_s - self._readable_since_s >= RETRY_MOST_S:
            self._wait_s = 0.0
        self.close()
        self.trouble = str(error)
        self._wait_s = min(RETRY_MOST_S, max(RETRY_FIRST_S, 2 * self._wait_s))
        self._retry_at_s = now_s + self._wait_s

    def _note_position(self) -> None:
        if not self._blocks.pending:
            self.sequence = self._read_up_to

    def close(self) -> None:
        if self._kmsg is not None:
            self._kmsg.close()
            self._kmsg = None
