"""Records of the kernel's log in, OomReports out: puts the lines of each OOM kill together.

Owns what is open between two records and nothing else: no file, no /proc. Believes facility 0 only. Prefers missing to
wrong: a victim or a cgroup that could be another report's is left out (or reported as a kill of its own).

Since 4.x oom_lock lets one OOM kill print at a time, so only 3.10 truly interleaves two. What is hard is the rate limit
(mm/oom_kill.c, oom_rs: 10 dumps in 5 s for the node): beyond it a kill has only its ``Killed process`` line, and right
behind a group kill that line looks like one more of the group.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from agent.kernel.oomclaims import Claim, Dump, claim_of_line, claim_of_sacrifice
from agent.kernel.oomkills import RATE_LIMIT_US, DumpLimit, Member, OpenReport, kill_without_line
from agent.kernel.oomlines import (
    Attributed,
    GroupKill,
    Invoked,
    Killed,
    Line,
    NoVictim,
    Sacrifice,
    Skipped,
    StatsFor,
    TableHead,
    TaskIn,
    Usage,
    is_unfinished,
    is_within,
    parse_line,
)
from agent.model import KmsgGap, KmsgRecord, OomReport

QUIET_US = 30_000  # lines of one kill were seen 22 ms apart on a virtual machine with a serial console (5.15)
MOST_CLAIMS = 16
MOST_RECENT = 16
MOST_FRAGMENTED_CHARS = 8192


def monotonic_us() -> int:
    """CLOCK_MONOTONIC in microseconds."""
    return time.monotonic_ns() // 1000


class ReportAssembler:
    """Feed it every record and gap in order; it gives each kill once, when nothing more can belong to it.

    ``page_bytes`` is the unit of the task table (None: this machine's). ``clock_us`` tells when records arrive: quiet is
    measured between arrival and ``flush``, because the log's own clock (local_clock) drifts from CLOCK_MONOTONIC.
    """

    def __init__(self, page_bytes: int | None = None, clock_us: Callable[[], int] = monotonic_us) -> None:
        self._page_bytes = page_bytes or os.sysconf("SC_PAGE_SIZE")
        self._clock_us = clock_us
        self._dump = Dump()
        self._claims: list[Claim] = []
        self._open: OpenReport | None = None
        self._skipped: Claim | None = None
        self._recent: deque[OpenReport] = deque(maxlen=MOST_RECENT)  # given already; the kernel may print on
        self._half: KmsgRecord | None = None
        self._previous: Line | None = None
        self._unended = 0  # dumps begun that have not come to a kill yet; more than one: they interleave
        self._arrived_us = clock_us()
        self._limit = DumpLimit(self._arrived_us)
        self.foreign_records = 0

    @property
    def pending(self) -> bool:
        """Whether a report is kept back that ``flush`` may give."""
        return self._open is not None or any(claim.cut for claim in self._claims)

    @property
    def pending_group(self) -> bool:
        """Whether that is of a group kill, of which the kernel may be about to print more."""
        return self._open is not None and self._open.group is not None

    @property
    def arrived_us(self) -> int:
        """When the last line of any report came, by ``clock_us``."""
        return self._arrived_us

    def feed(self, item: KmsgRecord | KmsgGap) -> list[OomReport]:
        """Take one record or gap; give the reports that it ends, oldest first."""
        if isinstance(item, KmsgGap):
            return self._lose()
        if item.facility != 0:
            self.foreign_records += 1
            return []
        self._limit.saw_record(item.at_us)
        record = self._whole(item)
        line = parse_line(record.text) if record else None
        if record is None or line is None:
            self._dump.take_row(item.text)
            return []
        self._arrived_us = self._clock_us()
        reports = self._take(record, line)
        self._previous = line
        return reports

    def flush(self, now_us: int | None, quiet_us: int = QUIET_US) -> list[OomReport]:
        """Give the reports kept back if no line of any came for ``quiet_us``; ``now_us`` by ``clock_us``, None: at once."""
        if now_us is not None and now_us - self._arrived_us < quiet_us:
            return []
        return [*self._close(), *self._give_up_cut()]

    # -------------------------------------------------------------------------------------------------- lines

    def _whole(self, record: KmsgRecord) -> KmsgRecord | None:
        """The record with the pieces before it, None while there are pieces to come."""
        half = self._half
        if record.fragment and half is not None:
            record = replace(half, text=half.text + record.text)
            self._half = None
        if not is_unfinished(record.text):
            return record
        self._half = record if len(record.text) <= MOST_FRAGMENTED_CHARS else None
        return None

    def _take(self, record: KmsgRecord, line: Line) -> list[OomReport]:
        match line:
            case Invoked():
                return self._begin(record)
            case TableHead():
                self._dump.columns = line.columns
            case Usage() | StatsFor() | TaskIn():
                self._dump.take(line)
            case Attributed():
                return self._claim(claim_of_line(record, line, self._dump))
            case Sacrifice():
                return self._sacrifice(record, line)
            case Killed():
                self._half = None
                return self._kill(record, line)
            case GroupKill():
                return self._group(record, line)
            case Skipped():
                self._skip(line)
            case NoVictim():
                self._end_dump()
                self._dump = self._new_dump()
        return []

    def _begin(self, record: KmsgRecord) -> list[OomReport]:
        reports = [*self._close(), *self._give_up_cut()]
        if self._limit.is_first_for_long(record.at_us):
            self._unended = 0
        if self._unended == 0:
            self._claims.clear()
        self._limit.saw_dump(record.at_us)
        self._unended += 1
        self._skipped = None
        self._dump = Dump(first_sequence=record.sequence, mixed=self._unended > 1)
        return reports

    def _claim(self, claim: Claim) -> list[OomReport]:
        reports = self._close()
        self._claims = [*self._claims[1 - MOST_CLAIMS :], claim]
        self._skipped = None
        self._dump = self._new_dump()
        return reports

    def _sacrifice(self, record: KmsgRecord, line: Sacrifice) -> list[OomReport]:
        for claim in self._claims:
            if claim.pid == line.pid and claim.global_oom is not True | line.global_oom:
                claim.sacrifice = True  # 5.0 prints both lines
                return []
        dump = self._dump if self._is_of_dump(record, line) else self._new_dump()
        kept = self._dump
        reports = self._claim(claim_of_sacrifice(record, line.pid, line.comm, dump, global_oom=line.global_oom))
        if dump is not kept:
            self._dump = kept
        return reports

    def _is_of_dump(self, record: KmsgRecord, line: Sacrifice) -> bool:
        """Whether the dump above is this kill's: its table has the task, or no kill can be without a dump now."""
        has_task = any(line.pid in row.ids for row in self._dump.rows)
        return has_task or not self._may_be_rate_limited(record)

    def _kill(self, record: KmsgRecord, killed: Killed) -> list[OomReport]:
        opened = self._open
        if opened is not None and opened.group is not None and killed.victim.pid in opened.printed:
            self._print_again(record, opened)
            return []
        claim, loose = self._claim_of(killed)
        if claim is not None:
            self._claims = [other for other in self._claims if other is not claim]
            self._end_dump()
            return self._open_report(record, killed, claim, loose=loose)
        if self._was_given(record, killed):
            return []
        if opened is not None and self._fits(opened, killed):
            self._add_member(record, killed, opened)
            return []
        return self._open_report(record, killed, None, loose=False)

    def _add_member(self, record: KmsgRecord, killed: Killed, opened: OpenReport) -> None:
        opened.members.append(Member(record, killed, self._is_sure(record, opened, killed)))
        opened.last_sequence = record.sequence
        opened.printed.add(killed.victim.pid)

    def _claim_of(self, killed: Killed) -> tuple[Claim | None, bool]:
        """The claim that this kill line makes true, and whether its pid is another."""
        opened = self._open
        if opened is not None and opened.loose and opened.claim and opened.claim.pid == killed.victim.pid:
            claim, opened.claim = opened.claim, None  # the chosen itself: the kill before was another's
            return claim, False
        for claim in self._claims:
            if claim.pid == killed.victim.pid and claim.agrees_on_scope(killed):
                return claim, False
        return self._claim_by_process(killed), True

    def _claim_by_process(self, killed: Killed) -> Claim | None:
        """The one claim, made by the line right before, that this kill with another pid belongs to."""
        live = self._live_claims()
        if len(live) != 1 or self._unended > 1 or not isinstance(self._previous, Attributed | Sacrifice):
            return None
        claim = live[0]
        if not claim.agrees_on_scope(killed):
            return None
        return claim if claim.sacrifice or claim.is_same_process(killed, self._page_bytes) else None

    def _open_report(self, record: KmsgRecord, killed: Killed, claim: Claim | None, *, loose: bool) -> list[OomReport]:
        reports = self._close()
        printed = {killed.victim.pid} | ({claim.pid} if claim and not claim.sacrifice else set())
        self._open = OpenReport(record, killed, claim, printed, record.sequence, loose, witness=claim)
        return reports

    def _skip(self, line: Skipped) -> None:
        for claim in self._claims:
            if claim.pid == line.pid:
                self._claims = [other for other in self._claims if other is not claim]
                self._skipped = claim
                self._end_dump()
                return

    # -------------------------------------------------------------------------------------------------- group kills

    def _group(self, record: KmsgRecord, line: GroupKill) -> list[OomReport]:
        opened = self._open
        if opened is not None and opened.group is None and self._may_kill_group(record, opened, line):
            opened.group, opened.last_sequence = line.path, record.sequence
            return []
        if opened is not None and self._may_end_with_a_first(record, opened):
            first = opened.members.pop()  # not one more of that group: this one's first
            opened.printed.discard(first.killed.victim.pid)
            opened.last_sequence = first.record.sequence - 1
            reports = self._open_report(first.record, first.killed, None, loose=False)
        else:
            reports = self._close()
            late = next((given for given in reversed(self._recent) if self._is_late_group(record, given, line)), None)
            printed = set(late.printed) if late is not None else set()
            witness = late.claim if late is not None else self._skipped
            self._open = OpenReport(record, None, self._skipped, printed, record.sequence, witness=witness)
        if self._open is not None:
            self._open.group, self._open.last_sequence = line.path, record.sequence
        return reports

    def _may_kill_group(self, record: KmsgRecord, opened: OpenReport, line: GroupKill) -> bool:
        """The group is the victim's cgroup or one above it; if that is unknown, its line must follow a kill without dump."""
        task_memcg = opened.reading().task_memcg
        if task_memcg is not None:
            return is_within(task_memcg, line.path)
        return isinstance(self._previous, Killed) and not self._others_open() and self._may_be_rate_limited(record)

    def _may_end_with_a_first(self, record: KmsgRecord, opened: OpenReport) -> bool:
        """Whether the last line was a kill that may have been another's: a group's line follows its first victim's."""
        if not opened.members or not isinstance(self._previous, Killed):
            return False
        return not opened.members[-1].sure or self._may_be_rate_limited(record)

    def _is_late_group(self, record: KmsgRecord, given: OpenReport, line: GroupKill) -> bool:
        task_memcg = given.reading().task_memcg
        is_near = record.at_us - given.record.at_us < RATE_LIMIT_US
        return is_near and given.group is None and task_memcg is not None and is_within(task_memcg, line.path)

    def _was_given(self, record: KmsgRecord, killed: Killed) -> bool:
        """Whether this is the second print of a group's first victim, whose report was given already."""
        return any(
            killed.victim.pid in given.printed and record.at_us - given.record.at_us < RATE_LIMIT_US
            for given in self._recent
        )

    def _print_again(self, record: KmsgRecord, opened: OpenReport) -> None:
        """The first victim again: the kernel is still in the group's loop, so all that came before are of the group."""
        opened.last_sequence = record.sequence
        if not self._others_open():
            for member in opened.members:
                pid = member.killed.victim.pid
                member.sure = member.sure or opened.witness is None or opened.witness.may_have_listed(pid)

    def _fits(self, opened: OpenReport, killed: Killed) -> bool:
        first = opened.killed
        return opened.group is not None and (first is None or first.global_oom is killed.global_oom)

    def _is_sure(self, record: KmsgRecord, opened: OpenReport, killed: Killed) -> bool:
        witness, pid = opened.witness, killed.victim.pid
        follows_directly = isinstance(self._previous, GroupKill)
        if self._others_open():
            return False
        if witness is None:
            return follows_directly
        if not witness.may_have_listed(pid):
            return False
        if follows_directly or not self._may_be_rate_limited(record):
            return True
        return opened.reading().oom_memcg == opened.group and witness.row(pid) is not None

    def _may_be_rate_limited(self, record: KmsgRecord) -> bool:
        return self._limit.may_bite(record.at_us, self._clock_us())

    # -------------------------------------------------------------------------------------------------- bookkeeping

    def _live_claims(self) -> list[Claim]:
        return [claim for claim in self._claims if not claim.cut]

    def _others_open(self) -> bool:
        return self._unended > 0 or bool(self._live_claims())

    def _end_dump(self) -> None:
        self._unended = max(0, self._unended - 1)
        if self._unended == 0:
            self._dump.mixed = False

    def _new_dump(self) -> Dump:
        return Dump(mixed=self._dump.mixed)

    def _lose(self) -> list[OomReport]:
        """Records are missing: what has its kill line is reported, a claim may still find its own, the rest is void."""
        reports = self._close()
        for claim in self._claims:
            claim.cut = True
        self._dump, self._half, self._skipped, self._previous = Dump(), None, None, None
        self._unended = 0
        self._arrived_us = self._clock_us()
        self._limit = DumpLimit(self._arrived_us)
        return reports

    def _give_up_cut(self) -> list[OomReport]:
        cut = [claim for claim in self._claims if claim.cut]
        self._claims = self._live_claims()
        return [report for claim in cut if (report := kill_without_line(claim, self._page_bytes))]

    def _close(self) -> list[OomReport]:
        opened, self._open = self._open, None
        if opened is None:
            return []
        self._recent.append(opened)
        return opened.reports(self._page_bytes)
