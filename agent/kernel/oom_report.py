"""The lines of one OOM report as OomReports. Pure. A kill line that may be another report's is a kill of its own."""

from __future__ import annotations

from dataclasses import replace

from agent.kernel.oom_block import Block
from agent.kernel.oom_dump import Dump, KillLine
from agent.kernel.oom_lines import Claim
from agent.model import OomReport, Victim

NO_CLAIM = Claim(0, (), None)


def reports_of(block: Block) -> list[OomReport]:
    """The block's report, then those group members that may be another's kill, each as a kill of its own."""
    sure, alone = _members(block)
    victims = (*_first_victim(block), *(kill.killed.victim for kill in sure))
    own = [_report(block, victims)] if victims else []
    return own + [_report(Block([kill.record], first=kill), (kill.killed.victim,)) for kill in alone]


def _first_victim(block: Block) -> tuple[Victim, ...]:
    """The first victim of the kill line, with the claim's uid, and for a thread's id the process's own.

    Empty when there is no kill line, unless it was lost and the claim alone leaves no doubt.
    """
    claim, comm = block.claim, block.reading().comm
    lines = [kill for kill in block.later if block.cut and kill.pid in block.first_pids]
    first = block.first or next(iter(lines), None)
    if first is None:
        is_lost = block.cut and claim is not None and not claim.sacrifice
        return (Victim(claim.pid, comm, claim.uid),) if claim is not None and comm is not None and is_lost else ()
    seen = first.killed.victim
    if claim is None or (claim.sacrifice and seen.pid != claim.pid):
        return (seen,)
    name = seen.comm if seen.pid == claim.pid else comm or seen.comm
    return (replace(seen, pid=claim.pid, comm=name, uid=claim.uid if seen.uid is None else seen.uid),)


def _members(block: Block) -> tuple[list[KillLine], list[KillLine]]:
    """The kill lines behind ``Tasks in …`` that are surely of the group, and those that may be the first line of another kill.

    The kernel prints the members under one lock, the first victim once more among them. So the lines before that second print are
    of the group, as is the line right behind the group's; of the others only those that the task table proves, if dumps may be missing.
    """
    seen, last_second_print = block.first_pids, -1
    members: dict[int, KillLine] = {}
    for i, kill in enumerate(block.later):
        if kill.pid in seen:
            last_second_print = i
        else:
            seen.add(kill.pid)
            members[i] = kill
    source = block.earlier or block
    is_whole_domain = source.reading().oom_memcg == block.group
    sure: list[KillLine] = []
    alone: list[KillLine] = []
    for i, kill in members.items():
        is_proven = is_whole_domain and source.dump.row(kill.pid) is not None
        is_next = i == 0 or i < last_second_print or not kill.may_stand_alone
        is_sure = (is_next or is_proven) and source.dump.may_have_listed(kill.pid)
        (sure if is_sure else alone).append(kill)
    return sure, alone


def _report(block: Block, victims: tuple[Victim, ...]) -> OomReport:
    """The block with these victims. A dump without a claim may be another kill's, and is not used."""
    claim, reading = block.claim or NO_CLAIM, block.reading()
    dump = block.dump if block.claim is not None else Dump()
    kills = block.kills
    of_kill = block.records[block.claim is not None :] or block.records
    global_oom = kills[0].killed.global_oom if claim.global_oom is None and kills else claim.global_oom
    return OomReport(
        first_sequence=(dump.begin or block.records[0]).sequence,
        last_sequence=block.records[-1].sequence,
        at_us=of_kill[0].at_us,
        victims=victims,
        global_oom=global_oom,
        oom_memcg=reading.oom_memcg,
        task_memcg=reading.task_memcg,
        group_memcg=block.group,
        limit_bytes=dump.limit_bytes,
        usage_bytes=dump.usage_bytes,
        tasks=dump.tasks(),
        constraint=claim.constraint,
        sysrq=dump.sysrq and global_oom is True,
        use=None if global_oom else dump.use(),
    )
