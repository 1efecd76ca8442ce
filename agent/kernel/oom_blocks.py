"""Records of the kernel's log in, blocks of the lines of one OOM report out: where a report begins and ends.

Uses records of facility 0 only. oom_lock lets one OOM kill print at a time (mm/oom_kill.c), so a report's lines follow one another, with
other lines of the kernel between them, and a line that can't come next begins the next block. The rate limit (oom_rs: 10 dumps in 5 s for
the node) makes it hard: beyond it a kill has only its ``Killed process`` line, which behind a group kill looks like one more of the group.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from agent.kernel.oom_block import Block
from agent.kernel.oom_dump import Dump, KillLine
from agent.kernel.oom_lines import (
    Claim,
    DumpLine,
    GroupKill,
    Invoked,
    Killed,
    Line,
    NoVictim,
    Reaped,
    Skipped,
    may_be_continued,
    parse_line,
)
from agent.model import KmsgGap, KmsgRecord

QUIET_US = 30_000  # lines of one kill were seen 22 ms apart on a virtual machine with a serial console (5.15)
RATE_LIMIT_DUMPS = 10
RATE_LIMIT_US = 5_500_000  # DEFAULT_RATELIMIT_INTERVAL is 5 s; jiffies and the printing itself take their share
MOST_RECENT = 16
MOST_FRAGMENTED_CHARS = 8192


def monotonic_us() -> int:
    """CLOCK_MONOTONIC in microseconds."""
    return time.monotonic_ns() // 1000


@dataclass(slots=True)
class RateLimit:
    """Whether a kill may lack its dump: mm/oom_kill.c's oom_rs lets ten through in 5 s, for the whole node.

    ``dumps`` and ``first_record_us`` are the records' own times, ``blind_since_us`` is CLOCK_MONOTONIC: for 5 s after a start or a gap,
    by either clock, the dumps before it are unknown.
    """

    blind_since_us: int
    first_record_us: int | None = None
    dumps: deque[int] = field(default_factory=lambda: deque(maxlen=RATE_LIMIT_DUMPS))

    def may_bite(self, at_us: int, now_us: int) -> bool:
        """Whether a kill at this time could be without a dump."""
        if len(self.dumps) == RATE_LIMIT_DUMPS and at_us - self.dumps[0] < RATE_LIMIT_US:
            return True
        logged_us = at_us - self.first_record_us if self.first_record_us is not None else 0
        return max(now_us - self.blind_since_us, logged_us) < RATE_LIMIT_US


class OomBlocks:
    """Feed it every record and gap in order; it returns each block once, when nothing more can belong to it.

    ``page_bytes`` is the unit of the task table (None: this machine's). ``clock_us`` is the time of a record's arrival: quiet is
    measured between arrival and ``flush``, because the log's own clock (local_clock) drifts from CLOCK_MONOTONIC.
    ``arrived_us``: when the last line of any report arrived. ``foreign_records``: how many were not the kernel's own.
    """

    def __init__(self, page_bytes: int | None = None, clock_us: Callable[[], int] = monotonic_us) -> None:
        self._page_bytes = page_bytes or os.sysconf("SC_PAGE_SIZE")
        self._clock_us = clock_us
        self._block = Block()
        self._recent: deque[Block] = deque(maxlen=MOST_RECENT)  # returned already; the kernel may print on
        self._half: KmsgRecord | None = None
        self._after_skip = False  # the last line was of a process that was exiting already
        self.arrived_us = clock_us()
        self._limit = RateLimit(self.arrived_us)
        self.foreign_records = 0

    @property
    def pending(self) -> bool:
        """Whether there is a block that ``flush`` may return."""
        return self._block.has_kill

    @property
    def pending_group(self) -> bool:
        """Whether it is a group kill's, of which the kernel may be about to print more."""
        return self._block.group is not None

    def feed(self, item: KmsgRecord | KmsgGap) -> list[Block]:
        """Take one record or gap; returns the block that it ends."""
        if isinstance(item, KmsgGap):
            return self._lose()
        if item.facility != 0:
            self.foreign_records += 1
            return []
        if self._limit.first_record_us is None:
            self._limit.first_record_us = item.at_us
        record, line = self._whole(item)
        if line is None:
            if self._block.only_dump or self._block.by_reaper is not None:
                self._block.dump.take_other(item.text, self._page_bytes)
            return []
        if isinstance(line, Reaped) and not self._is_only_sign(line):
            return []
        self.arrived_us = self._clock_us()
        ended = self._take(record, line)
        self._after_skip = isinstance(line, Skipped)
        return ended

    def flush(self, now_us: int | None, quiet_us: int = QUIET_US) -> list[Block]:
        """The pending block if no line of any came for ``quiet_us``; ``now_us`` by ``clock_us``, None: at once."""
        is_quiet = now_us is None or now_us - self.arrived_us >= quiet_us
        return self._next(Block()) if self.pending and is_quiet else []

    def _whole(self, record: KmsgRecord) -> tuple[KmsgRecord, Line | None]:
        """The record with the pieces before it, and its line; None: it is no report's, or there are pieces to come."""
        half = self._half
        if record.fragment and half is not None:
            record = half._replace(text=half.text + record.text)
            self._half = None
        line = parse_line(record.text)
        if line is None and may_be_continued(record.text):
            self._half = record if len(record.text) <= MOST_FRAGMENTED_CHARS else None
        return record, line

    def _next(self, block: Block) -> list[Block]:
        """``block`` begins; the one before is returned if it has a kill."""
        ended, self._block = self._block, block
        if not ended.has_kill:
            return []
        self._recent.append(ended)
        return [ended]

    def _lose(self) -> list[Block]:
        """Records are missing: a claim may still find its kill line, a block that has one ends, a dump alone is void."""
        self._half = None
        self.arrived_us = self._clock_us()
        self._limit = RateLimit(self.arrived_us)
        if not self._block.waits:
            return self._next(Block())
        self._block.cut = True
        return []

    def _is_only_sign(self, line: Reaped) -> bool:
        """Whether the process is of a report whose kill line is missing, without a gap: a vendor's kernel that prints none.

        Elsewhere it may be the victim of an earlier report, if the next line is a claim or a kill line: then that counts.
        """
        block = self._block
        is_chosen = block.claim is None or block.claim.pid == line.pid or block.claim.sacrifice
        waits = (block.only_dump or block.waits) and is_chosen and not block.cut
        if not waits or block.dump.reaped(line) is None:
            return False
        return not any(returned.has_victim(line.pid) for returned in self._recent)

    def _take(self, record: KmsgRecord, line: Line) -> list[Block]:
        ended: list[Block] = []
        if self._block.by_reaper is not None and isinstance(line, Claim | Killed | Skipped):
            self._block = self._block.by_reaper
        match line:
            case Invoked():
                self._limit.dumps.append(record.at_us)
                ended = self._next(Block(dump=Dump(begin=record, sysrq=line.sysrq)))
            case Reaped() if (killed := self._block.dump.reaped(line)) is not None:
                self._block = self._block.take_reaped(self._kill_line(record, killed))
            case DumpLine():
                ended = self._begin_unless(self._block.only_dump)
                self._block.dump.take(line)
            case Claim():
                is_second = line.sacrifice and self._block.has_chosen(line.pid)
                ended = self._begin_unless(self._block.only_dump or is_second)
                self._block.take_claim(record, line)
            case Killed():
                ended = self._kill(self._kill_line(record, line))
            case GroupKill():
                ended = self._group(record, line.path)
            case Skipped() if self._block.group is None:  # else one more of the group
                ended = self._begin_unless(self._block.has_chosen(line.pid))
                self._block.skipped = True
            case NoVictim() if self._block.only_dump:
                self._block = Block()
        return ended

    def _begin_unless(self, is_same: bool) -> list[Block]:
        """The line is of the present block, or the next one begins with it."""
        return [] if is_same else self._next(Block())

    def _kill_line(self, record: KmsgRecord, killed: Killed) -> KillLine:
        return KillLine(record, killed, self._limit.may_bite(record.at_us, self._clock_us()))

    def _kill(self, kill: KillLine) -> list[Block]:
        self._half = None
        block = self._block
        is_claimed = block.claims(kill.killed)
        if not is_claimed and not block.has_victim(kill.pid) and self._was_returned(kill):
            return []
        ended = self._begin_unless(is_claimed or block.only_dump or block.may_be_of_group(kill))
        self._block.take_whole_kill(kill)
        return ended

    def _was_returned(self, kill: KillLine) -> bool:
        """Whether this is the second print of a group's first victim, in a block that was returned already."""
        return any(block.has_victim(kill.pid) and self._is_near(block, kill.record) for block in self._recent)

    def _group(self, record: KmsgRecord, path: str) -> list[Block]:
        """``Tasks in …`` follows its first victim's line. That one may look like the last of the group before."""
        block, ended = self._block, list[Block]()
        if not self._after_skip and (first := block.give_back_last()) is not None:
            ended = self._next(Block())
            self._block.take_kill(first)
        elif block.group is not None or not (block.skipped or block.waits_for_group(path)):
            late = (returned for returned in reversed(self._recent) if self._is_late(returned, record, path))
            ended = self._next(Block(earlier=None if self._after_skip else next(late, None)))
        self._block.group = path
        self._block.records.append(record)
        return ended

    def _is_late(self, returned: Block, record: KmsgRecord, path: str) -> bool:
        """Whether a block that was returned is of the first victim of this group."""
        is_known = returned.reading().task_memcg is not None
        return self._is_near(returned, record) and is_known and returned.waits_for_group(path)

    def _is_near(self, returned: Block, record: KmsgRecord) -> bool:
        return record.at_us - returned.records[0].at_us < RATE_LIMIT_US
