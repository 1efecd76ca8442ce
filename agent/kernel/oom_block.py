"""The lines of one OOM report, as far as they were there, and how they belong together. Pure: no clock, no input or output.

Where a line can be read in two ways and nothing decides, the cgroup is None: rather missing than wrong.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from agent.kernel.oom_dump import Dump, KillLine
from agent.kernel.oom_lines import Claim, Killed, Reading, is_within
from agent.model import KmsgRecord


@dataclass(slots=True)
class Block:
    """The lines of one report, as far as they were there: dump, claim, the first victim, its group, the group's kill lines.

    ``records``: those of the claim, the group's line and the kill lines, in order. ``printed``: the pids of the kill lines.
    ``later``: the kill lines behind ``Tasks in …``, second prints of the first victim too. ``skipped``: the chosen process was
    exiting already. ``cut``: records were lost behind the claim. ``earlier``: the block of the group's first victim, if it ended before.
    ``by_reaper``: what the block was before a line of the reaper gave it its kill.
    """

    records: list[KmsgRecord] = field(default_factory=list)
    dump: Dump = field(default_factory=Dump)
    claim: Claim | None = None
    skipped: bool = False
    cut: bool = False
    first: KillLine | None = None
    group: str | None = None
    later: list[KillLine] = field(default_factory=list)
    printed: set[int] = field(default_factory=set)
    earlier: Block | None = None
    by_reaper: Block | None = None

    @property
    def only_dump(self) -> bool:
        """Whether there is no line behind the dump yet."""
        return self.claim is None and self._no_kill_yet

    @property
    def waits(self) -> bool:
        """Whether the claim's kill line is yet to come."""
        return self.claim is not None and self._no_kill_yet

    @property
    def _no_kill_yet(self) -> bool:
        return self.first is None and self.group is None and not self.skipped

    @property
    def has_kill(self) -> bool:
        """Whether there is a kill line, or one may have been lost."""
        return self.first is not None or self.group is not None or self.cut

    @property
    def kills(self) -> list[KillLine]:
        """All kill lines, in order."""
        return [*([self.first] if self.first is not None else []), *self.later]

    @property
    def first_pids(self) -> set[int]:
        """The ids by which the kernel may name the first victim: a thread's, and its process's."""
        pids = {self.first.pid} if self.first is not None else set()
        if self.claim is not None and not self.claim.sacrifice and not self.skipped:
            pids.add(self.claim.pid)
        return pids if self.earlier is None else pids | self.earlier.printed | self.earlier.first_pids

    def has_victim(self, pid: int) -> bool:
        """Whether a kill line named this process, or the claim does."""
        return pid in self.printed or pid in self.first_pids

    def take_kill(self, kill: KillLine) -> None:
        """A kill line: the first victim's, or behind the group's line one more."""
        if self.group is None:
            self.first = kill
        else:
            self.later.append(kill)
        self.printed.add(kill.pid)
        self.records.append(kill.record)

    def give_back_last(self) -> KillLine | None:
        """The last kill line behind the group's, taken out again unless it is the first victim's second print."""
        if not self.later or self.later[-1].pid in self.first_pids:
            return None
        self.records.pop()
        self.printed.discard(self.later[-1].pid)
        return self.later.pop()

    def take_claim(self, record: KmsgRecord, claim: Claim) -> None:
        """Keep the claim. Before 5.0 the cgroup is in the dump, and the claim has the pid only; 5.0 prints both lines."""
        if self.claim is not None:
            self.claim = replace(self.claim, sacrifice=True)
            return
        if claim.sacrifice and not claim.global_oom and self.dump.task_in:
            comm = claim.readings[0].comm
            claim = replace(claim, readings=tuple(replace(reading, comm=comm) for reading in self.dump.task_in))
        if self.dump.contradicts(claim):
            self.dump = Dump()
        self.claim = claim
        self.records.append(record)

    def take_reaped(self, kill: KillLine) -> Block:
        """This block with the kill that only the reaper named."""
        found = replace(self, records=list(self.records), printed=set(), by_reaper=self)
        found.take_whole_kill(kill)
        return found

    def take_whole_kill(self, kill: KillLine) -> None:
        """A kill line that may be its own claim."""
        if self.only_dump and (claim := self.dump.claim_by(kill)) is not None:
            self.take_claim(kill.record, claim)
        self.take_kill(kill)

    def has_chosen(self, pid: int) -> bool:
        """Whether the claim named this process and still waits for its kill line."""
        return self.waits and self.claim is not None and self.claim.pid == pid

    def waits_for_group(self, path: str) -> bool:
        """Whether this may be the group of the first victim; its kill line is there or was lost."""
        task_memcg = self.reading().task_memcg
        is_in = task_memcg is None or is_within(task_memcg, path)
        return is_in and self.group is None and (self.first is not None or self.cut)

    def may_be_of_group(self, kill: KillLine) -> bool:
        """Whether this is one more kill line of the group, as far as the line shows."""
        is_same_scope = self.first is None or self.first.killed.global_oom is kill.killed.global_oom
        return self.group is not None and (is_same_scope or self.has_victim(kill.pid))

    def claims(self, killed: Killed) -> bool:
        """Whether this is the kill line that the claim waits for.

        It may name a thread (its leader had exited) or, before 5.1, a child. All threads share the address space: the size that the
        table shows decides; without a table the name must do.
        """
        claim = self.claim
        if claim is None or not self.waits or {claim.global_oom, killed.global_oom} >= {True, False}:
            return False
        if claim.pid == killed.victim.pid or self.cut or claim.sacrifice:
            return claim.pid == killed.victim.pid or not self.cut
        row = self.dump.row(claim.pid)
        if row is not None and row.total_vm_bytes is not None:
            return row.total_vm_bytes == killed.victim.total_vm_bytes
        return any(reading.comm == killed.victim.comm for reading in claim.readings)

    def reading(self) -> Reading:
        """Domain, cgroup and name as far as claim, kill line, table and dump leave no doubt."""
        if self.claim is None:
            return Reading()
        left, row = self.claim.readings, self.dump.row(self.claim.pid)
        if self.dump.domain is not None:
            left = tuple(r for r in left if r.oom_memcg in (None, self.dump.domain)) or left
        if self.first is not None:
            left = tuple(r for r in left if r.comm == self.first.killed.victim.comm) or left
        if row is not None:
            left = tuple(r for r in left if r.comm == row.task.comm) or left
        return Reading(
            _common(r.oom_memcg for r in left), _common(r.task_memcg for r in left), _common(r.comm for r in left)
        )


def _common(values: Iterable[str | None]) -> str | None:
    first, *others = list(values) or [None]
    return first if all(value == first for value in others) else None
