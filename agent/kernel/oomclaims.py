"""What an OOM report says before its kill line: the dump, and the claim of whom the kernel chose and in which cgroup.

Owns the rules by which a kill line is matched with a claim. Takes typed lines (oomlines), gives the parts of an OomReport.
Prefers missing to wrong: where a line can be read in two ways and nothing decides, the cgroup is None.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field

from agent.kernel.oomlines import Attributed, Killed, Reading, Row, StatsFor, TaskIn, Usage, parse_row
from agent.model import KmsgRecord, TaskRow, Victim

MOST_ROWS = 64


@dataclass(slots=True)
class Dump:
    """The part between a report's first line and its claim: usage, limit, task table. ``mixed``: of two reports, so of none."""

    first_sequence: int | None = None
    usage: Usage | None = None
    domain: str | None = None
    columns: tuple[str, ...] | None = None
    rows: list[Row] = field(default_factory=list)
    task_in: tuple[Reading, ...] | None = None
    mixed: bool = False

    def take_row(self, text: str) -> None:
        """Keep a row of the task table; of a long table only the largest are kept."""
        if self.columns is None or (row := parse_row(text, self.columns)) is None:
            return
        self.rows.append(row)
        if len(self.rows) >= 8 * MOST_ROWS:
            self.rows = largest(self.rows)

    def take(self, line: Usage | StatsFor | TaskIn) -> None:
        """Keep what a line of the dump says; of several ``Memory cgroup stats for`` the first is the domain's."""
        match line:
            case Usage():
                self.usage = line
            case StatsFor():
                self.domain = self.domain or line.path
            case TaskIn():
                self.task_in = line.readings


def largest(rows: Sequence[Row]) -> list[Row]:
    """The rows of the most resident tasks, the largest first."""
    return heapq.nsmallest(MOST_ROWS, rows, key=lambda row: (-row.rss_pages, row.pid))


@dataclass(slots=True)
class Claim:
    """Whom the kernel said it chose, with the dump that belongs to it.

    ``global_oom`` None: the line doesn't tell. ``sacrifice``: a child of the chosen may be killed in its stead (before
    5.1). ``cut``: records were lost after it, so its kill line may never come.
    """

    record: KmsgRecord
    pid: int
    readings: tuple[Reading, ...]
    global_oom: bool | None
    uid: int | None
    constraint: str | None
    dump: Dump | None
    sacrifice: bool = False
    cut: bool = False

    @property
    def first_sequence(self) -> int:
        """Of the report's first line where it is known, else of the claim's own."""
        if self.dump is None or self.dump.first_sequence is None:
            return self.record.sequence
        return self.dump.first_sequence

    def row(self, pid: int) -> Row | None:
        """This task's row of the table, None when there is none."""
        rows = self.dump.rows if self.dump else ()
        return next((row for row in rows if pid in row.ids), None)

    def may_have_listed(self, pid: int) -> bool:
        """Whether this task may have been one of the OOM domain's when the table was printed; False when mixed up."""
        if self.dump is None:
            return False
        is_whole = self.dump.columns is not None and len(self.dump.rows) < MOST_ROWS
        return not is_whole or self.row(pid) is not None

    def agrees_on_scope(self, killed: Killed) -> bool:
        """Whether claim and kill line don't contradict each other on memcg or global."""
        return None in (self.global_oom, killed.global_oom) or self.global_oom is killed.global_oom

    def is_same_process(self, killed: Killed, page_bytes: int) -> bool:
        """Whether a kill line with another pid names a thread of the chosen process (its leader had exited).

        All threads share the address space: the size that the table shows decides; without a table the name must do.
        """
        row = self.row(self.pid)
        if row is not None and row.total_vm_pages is not None:
            return row.total_vm_pages * page_bytes == killed.victim.total_vm_bytes
        return any(reading.comm == killed.victim.comm for reading in self.readings)

    def resolve(self, comm: str | None) -> Reading:
        """The one reading that name, table and dump leave over; where they leave several, only what these agree on."""
        row = self.row(self.pid)
        left = list(self.readings)
        domain = self.dump.domain if self.dump else None
        for keep in (
            [r for r in left if r.oom_memcg is None or domain is None or r.oom_memcg == domain],
            [r for r in left if comm is not None and r.comm == comm],
            [r for r in left if row is not None and r.comm == row.comm],
        ):
            narrowed = [r for r in left if r in keep]
            left = narrowed or left
        return Reading(
            oom_memcg=_common([r.oom_memcg for r in left]),
            task_memcg=_common([r.task_memcg for r in left]),
            comm=_common([r.comm for r in left]),
        )

    def victim(self, killed: Killed | None) -> Victim | None:
        """Who died: the kill line's word, with the claim's uid, and for a thread's id the process' own.

        None when there is no kill line and the claim alone doesn't say for sure who it was.
        """
        comm = self.resolve(killed.victim.comm if killed else None).comm
        if killed is None:
            if self.sacrifice or comm is None:
                return None
            return Victim(self.pid, comm, uid=self.uid)
        seen = killed.victim
        is_chosen = seen.pid == self.pid or not self.sacrifice
        return Victim(
            pid=self.pid if is_chosen else seen.pid,
            comm=comm if seen.pid != self.pid and is_chosen and comm else seen.comm,
            uid=seen.uid if seen.uid is not None or not is_chosen else self.uid,
            total_vm_bytes=seen.total_vm_bytes,
            anon_bytes=seen.anon_bytes,
            file_bytes=seen.file_bytes,
            shmem_bytes=seen.shmem_bytes,
            oom_score_adj=seen.oom_score_adj,
        )

    def tasks(self, page_bytes: int) -> tuple[TaskRow, ...]:
        """The largest tasks of the table, the largest first."""
        return tuple(
            TaskRow(row.pid, row.comm, row.rss_pages * page_bytes, row.uid, row.oom_score_adj)
            for row in largest(self.dump.rows if self.dump else ())
        )


def claim_of_line(record: KmsgRecord, line: Attributed, dump: Dump) -> Claim:
    """The claim that an ``oom-kill:`` line makes; the dump goes with it unless it is of another report."""
    domains = {reading.oom_memcg for reading in line.readings}
    is_foreign = dump.mixed or (
        bool(line.global_oom) and (dump.domain is not None or dump.usage is not None)
        if line.global_oom is not False
        else dump.domain is not None and domains != {None} and dump.domain not in domains
    )
    return Claim(
        record, line.pid, line.readings, line.global_oom, line.uid, line.constraint, None if is_foreign else dump
    )


def claim_of_sacrifice(record: KmsgRecord, pid: int, comm: str, dump: Dump, *, global_oom: bool) -> Claim:
    """The claim that ``Kill process N (COMM)`` makes with the ``Task in …`` line before it (kernels before 5.0)."""
    readings: tuple[Reading, ...] = ()
    if not dump.mixed and not global_oom and dump.task_in:
        readings = tuple(Reading(r.oom_memcg, r.task_memcg, comm) for r in dump.task_in)
    is_foreign = dump.mixed or (global_oom and (dump.task_in is not None or dump.usage is not None))
    return Claim(
        record,
        pid,
        readings or (Reading(None, None, comm),),
        global_oom,
        None,
        None,
        None if is_foreign else dump,
        sacrifice=True,
    )


def _common(values: Sequence[str | None]) -> str | None:
    first = values[0] if values else None
    return first if all(value == first for value in values) else None
