"""The dump of an OOM report: usage, limit, memory by kind and task table, and whose kill line it may be of. Pure."""

from __future__ import annotations

import heapq
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from agent.kernel import oom_memory
from agent.kernel.oom_lines import Claim, DumpLine, Killed, Reading, Reaped, comm_of
from agent.model import KmsgRecord, MemoryUse, TaskRow, Victim

MOST_ROWS = 64


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the task table. ``ids``: the pid and tgid columns."""

    ids: frozenset[int]
    task: TaskRow
    total_vm_bytes: int | None


def parse_row(text: str, columns: tuple[str, ...], page_bytes: int) -> Row | None:
    """A row of the task table with these columns; None: no such row. The name is all after the last number."""
    match = re.fullmatch(r"\[ *(\d{1,10})\]" + r" +(-?\d{1,18})" * len(columns) + r" (.*)", text, re.DOTALL)
    if match is None or (comm := comm_of(match[len(columns) + 2])) is None:
        return None
    pid, *numbers = map(int, match.groups()[:-1])
    values = dict(zip(columns, numbers, strict=True))
    if "rss" not in values:
        return None
    tgid, total_vm = values.get("tgid", pid), values.get("total_vm")
    task = TaskRow(tgid, comm, values["rss"] * page_bytes, values.get("uid"), values.get("oom_score_adj"))
    return Row(frozenset({pid, tgid}), task, None if total_vm is None else total_vm * page_bytes)


@dataclass(frozen=True, slots=True)
class KillLine:
    """A ``Killed process`` line and its record. ``may_stand_alone``: the rate limit may have taken the dump of a kill at that time."""

    record: KmsgRecord
    killed: Killed
    may_stand_alone: bool

    @property
    def pid(self) -> int:
        return self.killed.victim.pid


@dataclass(slots=True)
class Dump:
    """The lines before the claim: usage, limit, memory by kind (``numbers``), task table.

    ``begin``: the record of ``… invoked oom-killer``; ``sysrq``: as it has it.
    """

    begin: KmsgRecord | None = None
    sysrq: bool = False
    usage_bytes: int | None = None
    limit_bytes: int | None = None
    domain: str | None = None
    columns: tuple[str, ...] | None = None
    task_in: tuple[Reading, ...] | None = None
    numbers: oom_memory.Numbers = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)

    def take(self, line: DumpLine) -> None:
        """Keep the line's values; of several ``Memory cgroup stats for`` the first is the domain's, and the memory that of all."""
        if line.usage_bytes is not None:
            self.usage_bytes, self.limit_bytes = line.usage_bytes, line.limit_bytes
        self.domain = self.domain or line.domain
        oom_memory.add(self.numbers, line.kinds)
        self.columns = line.columns or self.columns
        self.task_in = line.task_in or self.task_in

    def take_other(self, text: str, page_bytes: int) -> None:
        """Keep a number of the statistics or, behind its head, a row of the task table; of a long table only the largest are kept."""
        if self.columns is None:
            if self.domain is not None:
                oom_memory.take(self.numbers, text)
            return
        if (row := parse_row(text, self.columns, page_bytes)) is None:
            return
        self.rows.append(row)
        if len(self.rows) >= 8 * MOST_ROWS:
            self.rows = _largest(self.rows)

    def tasks(self) -> tuple[TaskRow, ...]:
        """The largest tasks of the table, the largest first."""
        return tuple(row.task for row in _largest(self.rows))

    def row(self, pid: int) -> Row | None:
        return next((row for row in self.rows if pid in row.ids), None)

    def may_have_listed(self, pid: int) -> bool:
        """Whether this task may have been one of the OOM domain's when the table was printed."""
        return self.columns is None or len(self.rows) >= MOST_ROWS or self.row(pid) is not None

    @property
    def is_global(self) -> bool | None:
        """Whether it is of no memory cgroup's limit; None: its lines don't say."""
        if self.domain is not None or self.usage_bytes is not None or self.task_in:
            return False
        return None if self.begin is None or self.columns is None else True

    def use(self) -> MemoryUse | None:
        """What used the domain's memory."""
        return None if self.domain is None else oom_memory.use_of(self.numbers, self.usage_bytes)

    def claim_by(self, kill: KillLine) -> Claim | None:
        """The claim that EL 8 (4.18 with the kill line of 5.1) and vendors' kernels leave out: ``Task in …`` has the cgroup.

        None: there is no such line, or the kill may be of another report, whose dump the rate limit took.
        """
        if not self.task_in or kill.killed.global_oom is not False or not self.may_have_listed(kill.pid):
            return None
        same_cgroup = self.row(kill.pid) is not None and all(r.task_memcg == r.oom_memcg for r in self.task_in)
        if kill.may_stand_alone and not same_cgroup:
            return None
        victim = kill.killed.victim
        readings = tuple(replace(reading, comm=victim.comm) for reading in self.task_in)
        return Claim(victim.pid, readings, global_oom=False, uid=victim.uid)

    def reaped(self, line: Reaped) -> Killed | None:
        """The kill line that a kernel left out whose reaper names a process of this dump's table. None: it has no such process."""
        row = self.row(line.pid)
        if row is None or row.task.comm != line.comm or self.is_global is None:
            return None
        task = row.task
        victim = Victim(task.pid, line.comm, task.uid, row.total_vm_bytes, oom_score_adj=task.oom_score_adj)
        return Killed(victim, self.is_global)

    def contradicts(self, claim: Claim) -> bool:
        """Whether dump and claim are of different reports: a memory cgroup's and a global OOM's, or two cgroups'."""
        if claim.global_oom:
            return self.domain is not None or self.usage_bytes is not None or bool(self.task_in)
        domains = {reading.oom_memcg for reading in claim.readings} - {None}
        return self.domain is not None and bool(domains) and self.domain not in domains


def _largest(rows: Sequence[Row]) -> list[Row]:
    """The rows of the most resident tasks, the largest first."""
    return heapq.nsmallest(MOST_ROWS, rows, key=lambda row: (-row.task.rss_bytes, row.task.pid))
