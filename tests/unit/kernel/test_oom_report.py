"""Blocks and reports of made logs: group kills, storms, lost records, pieces of lines."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.kernel import oom_blocks
from agent.kernel.oom_blocks import QUIET_US
from agent.kernel.oom_lines import Line, parse_line
from agent.model import KmsgGap, KmsgRecord, MemoryUse, TaskRow
from tests.unit.kernel.made_reports import (
    LONG_US,
    PAGE,
    Kill,
    Process,
    assemble,
    new_assembler,
    records,
    settled_assembler,
)

POD = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1b4e28ba_2fa1_11d2_883f_0016d3cca427.slice"
A = f"{POD}/cri-containerd-{'a' * 64}.scope"
B = f"{POD}/cri-containerd-{'b' * 64}.scope"
SINGLE = Kill(Process(680), A, A)
GROUP = Kill(Process(683, anon_pages=900), A, POD, (Process(681, b"pid-one"), Process(682, b"helper")), A, reprint_at=1)


def storm_of_dumps() -> list[KmsgRecord]:
    """Ten kills with their dumps in a short time, after which the kernel prints no dump for some seconds."""
    lines = [line for pid in range(100, 110) for line in Kill(Process(pid), B, B).lines()]
    return records(lines)


def test_a_single_kill_is_told_whole() -> None:
    (report,) = assemble(records(SINGLE.lines(), sequence=50))
    assert (report.first_sequence, report.last_sequence) == (50, 50 + len(SINGLE.lines()) - 1)
    assert report.victims == (SINGLE.first.victim(),)
    assert (report.global_oom, report.oom_memcg, report.task_memcg, report.group_memcg) == (False, A, A, None)
    assert (report.limit_bytes, report.usage_bytes, report.constraint) == (20 << 20, 20 << 20, "CONSTRAINT_MEMCG")
    assert report.tasks == (TaskRow(680, "worker", 302 * PAGE, 1000, 7),)


def test_a_group_kill_has_each_victim_once_and_the_chosen_first() -> None:
    (report,) = assemble(records(GROUP.lines()))
    assert [victim.pid for victim in report.victims] == [683, 681, 682]
    assert (report.oom_memcg, report.task_memcg, report.group_memcg) == (POD, A, A)


def test_a_global_oom_has_no_domain_and_no_limit() -> None:
    (report,) = assemble(records(Kill(Process(9), A, None).lines()))
    assert (report.global_oom, report.oom_memcg, report.task_memcg) == (True, None, A)
    assert (report.limit_bytes, report.constraint) == (None, "CONSTRAINT_NONE")


def test_a_kill_is_kept_until_quiet_because_a_group_may_follow() -> None:
    """Quiet is counted from the last line's arrival, on the caller's clock; other lines of the kernel don't matter."""
    assembler, clock = settled_assembler()
    for record in records(SINGLE.lines(), at_us=5):
        assert assembler.reports(record) == []
    assert assembler.pending
    clock.now_us += QUIET_US - 1
    assert assembler.reports(records(["eth0: link up"], sequence=99)[0]) == []
    assert assembler.rest(LONG_US + QUIET_US - 1) == []
    assert len(assembler.rest(LONG_US + QUIET_US)) == 1
    assert not assembler.pending


def test_a_group_line_that_comes_after_quiet_tells_only_the_other_victims() -> None:
    """The first victim was reported already; together the two reports cost as much as the counter shows."""
    items = records(GROUP.lines())
    cut = len(GROUP.dump_lines()) + 1
    assembler, _ = settled_assembler()
    first = assemble(items[:cut], assembler)
    rest = assemble(items[cut:], assembler)
    assert [[victim.pid for victim in report.victims] for report in first] == [[683]]
    assert [([victim.pid for victim in report.victims], report.group_memcg) for report in rest] == [([681, 682], A)]


def test_a_process_that_was_exiting_anyway_is_no_kill() -> None:
    skip = "Memory cgroup out of memory: OOM victim 680 (worker) is already exiting. Skip killing the task"
    assert assemble(records([*SINGLE.dump_lines(), skip])) == []


def test_no_killable_process_is_no_kill() -> None:
    lines = [*SINGLE.dump_lines()[:-1], "Out of memory and no killable processes..."]
    assert assemble(records(lines)) == []


def test_the_reapers_lines_are_no_kill() -> None:
    line = "oom_reaper: reaped process 680 (worker), now anon-rss:0kB, file-rss:0kB, shmem-rss:0kB"
    assert len(assemble(records([*SINGLE.lines(), line]))) == 1


def test_records_of_user_space_are_counted_and_not_believed() -> None:
    assembler, _ = settled_assembler()
    forged = [record._replace(facility=1) for record in records(SINGLE.lines())]
    assert assemble(forged, assembler) == []
    assert assembler.foreign_records == len(forged)


@pytest.mark.parametrize(
    "comm", [b"oom-kill:constr", b"Tasks in / are ", b"Out of memory: ", b"Killed process ", b"Task in / kille"]
)
def test_a_name_at_the_beginning_of_a_line_deceives_nobody(comm: bytes) -> None:
    """Before 5.0 each report has a line that begins with the name: ``COMM cpuset=… mems_allowed=0``."""
    lines = SINGLE.lines()
    lines.insert(1, f"{comm.decode()} cpuset=/ mems_allowed=0")
    lines.insert(1, f"{comm.decode()}[680]: segfault at 0 ip 0 sp 0 error 4")
    assert [r.task_memcg for r in assemble(records(lines))] == [A]


def test_a_dump_suppressed_by_the_rate_limit_leaves_the_kill_without_a_cgroup() -> None:
    (*_, last) = assemble(
        [*storm_of_dumps(), *records(replace(SINGLE, dump=False).lines(), sequence=900, at_us=1_100_000)]
    )
    assert last.victims == (SINGLE.first.victim(),)
    assert (last.global_oom, last.oom_memcg, last.task_memcg, last.limit_bytes) == (False, None, None, None)


def test_the_prefix_tells_a_global_oom_without_a_dump() -> None:
    (report,) = assemble(records(Kill(Process(9), A, None, dump=False).lines()))
    assert report.global_oom is True


def test_in_a_storm_a_group_takes_only_victims_that_are_surely_its_own() -> None:
    """Behind the first victim's second print nothing tells a member from another container's kill: it stands alone."""
    group = replace(GROUP, dump=False)
    other = Process(4000, b"elsewhere").killed("Memory cgroup out of memory")
    tail = records([*group.lines(), other], sequence=900, at_us=1_100_000)
    reports = assemble([*storm_of_dumps(), *tail])[10:]
    assert [([v.pid for v in r.victims], r.group_memcg) for r in reports] == [
        ([683, 681], A),
        ([682], None),
        ([4000], None),
    ]


def test_with_room_under_the_rate_limit_a_group_takes_all_that_follow() -> None:
    """A kill of another container would have its dump in front."""
    late = replace(GROUP, reprint_at=0)
    (report,) = assemble(records(late.lines()))
    assert [victim.pid for victim in report.victims] == [683, 681, 682]


def test_a_reader_that_has_just_begun_trusts_only_proof() -> None:
    """It can't know of ten dumps before its time. The table proves members where the group is the whole OOM domain."""
    late = replace(GROUP, reprint_at=0)
    pod_limit = assemble(records(late.lines()), new_assembler())
    own_limit = assemble(records(replace(late, domain=A).lines()), new_assembler())
    assert [[v.pid for v in r.victims] for r in pod_limit] == [[683], [681], [682]]
    assert [[v.pid for v in r.victims] for r in own_limit] == [[683, 681, 682]]


def test_the_next_groups_first_victim_is_not_the_last_of_the_group_before() -> None:
    one = replace(GROUP, dump=False, reprint_at=2)
    two = Kill(Process(700), B, B, (Process(701),), B, reprint_at=1, dump=False)
    reports = assemble([*storm_of_dumps(), *records([*one.lines(), *two.lines()], sequence=900, at_us=1_100_000)])[10:]
    assert [([v.pid for v in r.victims], r.group_memcg) for r in reports] == [([683, 681, 682], A), ([700, 701], B)]


def test_a_kill_line_with_a_threads_id_is_the_chosen_process() -> None:
    """The leader had exited: the line has a thread's id and name, and the size that the table shows for the process."""
    thread = replace(SINGLE.first, pid=681, comm=b"C2 CompilerThre").killed("Memory cgroup out of memory")
    (report,) = assemble(records([*SINGLE.dump_lines(), thread]))
    assert (report.victims[0].pid, report.victims[0].comm, report.task_memcg) == (680, "worker", A)


def test_a_kill_line_of_another_size_is_another_process() -> None:
    """The chosen was exiting (silently before 5.10), and the next kill's dump is missing."""
    other = Process(681, anon_pages=77).killed("Memory cgroup out of memory")
    reports = assemble(records([*SINGLE.dump_lines(), other]))
    assert [(r.victims[0].pid, r.task_memcg) for r in reports] == [(681, None)]


def test_a_kill_line_that_was_lost_leaves_the_victim_without_sizes() -> None:
    items: list[KmsgRecord | KmsgGap] = [*records(SINGLE.dump_lines()), KmsgGap(3, 500), *records(["eth0: up"], 500)]
    (report,) = assemble(items)
    assert (report.victims[0].pid, report.victims[0].comm, report.victims[0].uid) == (680, "worker", 1000)
    assert (report.victims[0].anon_bytes, report.task_memcg, report.limit_bytes) == (None, A, 20 << 20)


def test_a_kill_line_behind_a_gap_still_finds_its_cgroup() -> None:
    items: list[KmsgRecord | KmsgGap] = [
        *records(SINGLE.dump_lines()),
        KmsgGap(3, 500),
        *records(SINGLE.kill_lines(), 500),
    ]
    (report,) = assemble(items)
    assert (report.victims, report.task_memcg) == ((SINGLE.first.victim(),), A)


def test_a_dump_that_was_cut_is_not_taken_for_the_next_kills() -> None:
    """Usage and table before the gap are another report's."""
    limit = replace(SINGLE, limit_kb=99_999)
    items: list[KmsgRecord | KmsgGap] = [
        *records(limit.dump_lines()[:-1]),
        KmsgGap(3, 500),
        *records([SINGLE.claim(), *SINGLE.kill_lines()], 500),
    ]
    (report,) = assemble(items)
    assert (report.task_memcg, report.limit_bytes, report.tasks) == (A, None, ())


def test_the_second_print_of_a_victim_behind_a_gap_is_not_a_second_kill() -> None:
    items = records(GROUP.lines())
    at = len(GROUP.dump_lines()) + 2
    reports = assemble([*items[:at], KmsgGap(1, items[at + 1].sequence), *items[at + 1 :]])
    assert sorted(victim.pid for report in reports for victim in report.victims) == [682, 683]


def test_a_line_in_pieces_is_put_together() -> None:
    """Pieces come as records with flag c, also with other records in between."""
    claim = SINGLE.claim()
    cut = claim.index(",task_memcg=") + len(",task_memcg=")
    items = records([*SINGLE.dump_lines()[:-1], claim[:cut], "eth0: up", claim[cut:], *SINGLE.kill_lines()])
    piece = len(SINGLE.dump_lines()) + 1
    items[piece] = items[piece]._replace(fragment=True)
    assert [report.task_memcg for report in assemble(items)] == [A]


def test_a_piece_of_something_else_makes_the_cgroup_unknown_not_wrong() -> None:
    claim = SINGLE.claim()
    cut = claim.index(",task=")
    items = records([*SINGLE.dump_lines()[:-1], claim[:cut], " [<606944ba>] foo", claim[cut:], *SINGLE.kill_lines()])
    for i in (len(SINGLE.dump_lines()), len(SINGLE.dump_lines()) + 1):
        items[i] = items[i]._replace(fragment=True)
    (report,) = assemble(items)
    assert (report.victims[0].pid, report.task_memcg) == (680, None)


def old(pid: int, path: str) -> list[str]:
    """A report of 4.18 and 4.19: the cgroup's line has no pid, the kill line no beginning."""
    return [
        "w invoked oom-killer: gfp_mask=0xd0, order=0, oom_score_adj=0",
        f"Task in {path} killed as a result of limit of {path}",
        f"Memory cgroup out of memory: Kill process {pid} (w) score 9 or sacrifice child",
        f"Killed process {pid} (w) total-vm:1kB, anon-rss:1kB, file-rss:0kB, shmem-rss:0kB",
    ]


def test_before_5_0_each_kill_has_the_cgroup_of_its_own_dump() -> None:
    reports = assemble(records([*old(1, A), *old(2, B), *old(3, A)[2:]]))
    assert [(r.victims[0].pid, r.task_memcg) for r in reports] == [(1, A), (2, B), (3, None)], "the last had no dump"


def test_a_group_killed_by_4_19_is_one_report_also_for_a_global_oom() -> None:
    lines = old(1, A)
    lines[1:3] = ["Out of memory: Kill process 1 (w) score 9 or sacrifice child"]
    group = f"Tasks in {A} are going to be killed due to memory.oom.group set"
    (report,) = assemble(records([*lines, group, lines[-1], lines[-1].replace("process 1", "process 2")]))
    assert ([victim.pid for victim in report.victims], report.group_memcg) == ([1, 2], A)


def test_a_group_whose_chosen_was_exiting_is_not_the_one_of_the_kill_before() -> None:
    """Both are without dumps, in a storm."""
    skip = "Memory cgroup out of memory: OOM victim 700 (worker) is already exiting. Skip killing the task"
    two = Kill(Process(700), B, B, (Process(701),), B, dump=False).kill_lines()[1::2]
    for one in (replace(SINGLE, dump=False), replace(GROUP, dump=False, reprint_at=0)):
        tail = records([*one.lines(), skip, *two], sequence=900, at_us=1_100_000)
        *_, last = assemble([*storm_of_dumps(), *tail])
        assert ([victim.pid for victim in last.victims], last.group_memcg) == ([701], B)


def test_a_group_whose_chosen_was_exiting_has_the_chosens_cgroup_and_limit() -> None:
    skip = "Memory cgroup out of memory: OOM victim 683 (worker) is already exiting. Skip killing the task"
    (report,) = assemble(records([*GROUP.dump_lines(), skip, *GROUP.kill_lines()[1:3], *GROUP.kill_lines()[4:]]))
    assert [victim.pid for victim in report.victims] == [681, 682]
    assert (report.task_memcg, report.group_memcg, report.limit_bytes) == (A, A, 20 << 20)


def test_a_member_of_a_group_that_was_exiting_ends_nothing() -> None:
    lines = GROUP.lines()
    lines.insert(-1, "Memory cgroup out of memory: OOM victim 690 (worker) is already exiting. Skip killing the task")
    (report,) = assemble(records(lines))
    assert [victim.pid for victim in report.victims] == [683, 681, 682]


def test_a_group_whose_first_kill_line_was_lost_is_one_report() -> None:
    """The claim says who it was, the second print how large."""
    items = records(replace(GROUP, reprint_at=2).lines())
    at = len(GROUP.dump_lines())
    (report,) = assemble([*items[:at], KmsgGap(1, items[at + 1].sequence), *items[at + 1 :]])
    assert report.victims == (GROUP.first.victim(), *(member.victim() for member in GROUP.members))
    assert (report.task_memcg, report.group_memcg, report.limit_bytes) == (A, A, 20 << 20)


def test_a_long_table_keeps_the_largest() -> None:
    crowd = tuple(Process(1000 + i, anon_pages=10 + i) for i in range(2000))
    lines = replace(SINGLE, members=crowd).lines()
    (report,) = assemble(records(lines))
    assert len(report.tasks) == 64
    assert [row.pid for row in report.tasks[:2]] == [2999, 2998]


def test_no_limit_is_none() -> None:
    """PAGE_COUNTER_MAX in kB stands for no limit."""
    (report,) = assemble(records(replace(SINGLE, limit_kb=9007199254740988).lines()))
    assert report.limit_bytes is None


# ------------------------------------------------------------------------------------- kernels that leave out a line of the report

TASK_IN = "Task in {} killed as a result of limit of {}"
HEAD = "[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name"
USAGE = "memory: usage 20480kB, limit 20480kB, failcnt 7"
WORKER, OTHER = Process(680), Process(681, b"other")
REAPED = "oom_reaper: reaped process {} ({}), now anon-rss:0kB, file-rss:0kB, shmem-rss:0kB"
WHY = "Memory cgroup out of memory"


def old_dump(domain: str, *processes: Process, task: str = A) -> list[str]:
    """As 4.18 and 4.19 print it, up to the task table."""
    return [
        "worker invoked oom-killer: gfp_mask=0x6000c0(GFP_KERNEL), nodemask=(null), order=0, oom_score_adj=0",
        TASK_IN.format(task, domain),
        USAGE,
        f"Memory cgroup stats for {domain}: cache:0KB rss:4KB rss_huge:0KB",
        *([HEAD, *(process.row() for process in processes)] if processes else ()),
    ]


@pytest.mark.parametrize("processes", [(), (WORKER, OTHER)])
def test_el_8_names_the_cgroup_in_the_dump_only(processes: tuple[Process, ...]) -> None:
    """Without a task table too (vm.oom_dump_tasks=0)."""
    (report,) = assemble(records([*old_dump(POD, *processes), WORKER.killed(WHY)]))
    assert (report.oom_memcg, report.task_memcg, report.global_oom) == (POD, A, False)
    assert (report.limit_bytes, report.use) == (20 << 20, MemoryUse(anon=4096, file=0))
    assert [task.pid for task in report.tasks] == [process.pid for process in processes]


def test_a_kill_of_a_process_that_the_dump_does_not_list_is_another_reports() -> None:
    """The dump's own victim was exiting already, and the rate limit took the dump of the next kill."""
    (report,) = assemble(records([*old_dump(A, WORKER), Process(4000, b"elsewhere").killed(WHY)]))
    assert (report.oom_memcg, report.task_memcg, report.limit_bytes, report.use) == (None, None, None, None)


@pytest.mark.parametrize(("domain", "task"), [(A, A), (POD, None)])
def test_where_dumps_may_be_missing_only_one_cgroup_leaves_no_doubt(domain: str, task: str | None) -> None:
    """In a pod's dump the next kill, without a dump, may be in the pod's other container."""
    (report,) = assemble(records([*old_dump(domain, WORKER, OTHER), OTHER.killed(WHY)]), new_assembler())
    assert report.task_memcg == task


def test_a_global_kill_line_is_never_of_a_memory_cgroups_dump() -> None:
    (report,) = assemble(records([*old_dump(A, WORKER), WORKER.killed("Out of memory")]))
    assert (report.global_oom, report.task_memcg, report.use) == (True, None, None)


def test_a_group_kill_of_el_8_is_one_report() -> None:
    group = f"Tasks in {A} are going to be killed due to memory.oom.group set"
    lines = [*old_dump(POD, WORKER, OTHER), WORKER.killed(WHY), group, OTHER.killed(WHY), WORKER.killed(WHY)]
    (report,) = assemble(records(lines))
    assert ([victim.pid for victim in report.victims], report.group_memcg) == ([680, 681], A)
    assert report.task_memcg == A


@pytest.mark.parametrize("line", [REAPED.format(680, "worker"), "oom_reaper: unable to reap pid:680 (worker)"])
def test_the_reaper_names_the_kill_where_the_kernel_prints_no_kill_line(line: str) -> None:
    (report,) = assemble(records([*old_dump(POD, WORKER, OTHER), line]))
    assert [(victim.pid, victim.comm, victim.uid) for victim in report.victims] == [(680, "worker", 1000)]
    assert (report.oom_memcg, report.task_memcg, report.global_oom, report.limit_bytes) == (POD, A, False, 20 << 20)


def test_the_reaper_names_a_global_kill_too() -> None:
    lines = [old_dump(A)[0], "Mem-Info:", HEAD, WORKER.row(), REAPED.format(680, "worker")]
    (report,) = assemble(records(lines))
    assert (report.global_oom, report.task_memcg, report.victims[0].pid) == (True, None, 680)


def test_the_reaper_of_a_chosen_process_stands_for_its_kill_line() -> None:
    chosen = f"{WHY}: Kill process 680 (worker) score 9 or sacrifice child"
    (report,) = assemble(records([*old_dump(POD, WORKER, OTHER), chosen, REAPED.format(681, "other")]))
    assert ([victim.pid for victim in report.victims], report.task_memcg) == ([681], A)


@pytest.mark.parametrize(
    "line",
    [
        REAPED.format(4000, "elsewhere"),
        REAPED.format(680, "elsewhere"),
        "oom_reaper: reaped process 680 (worker) and more",
    ],
)
def test_the_reaper_of_another_process_is_no_kill(line: str) -> None:
    assert assemble(records([*old_dump(POD, WORKER, OTHER), line])) == []


def test_a_reapers_line_behind_its_kill_line_is_no_second_kill() -> None:
    for lines in (SINGLE.lines(), [*old_dump(A, WORKER), WORKER.killed(WHY)]):
        reaped = REAPED.format(680, "worker")
        assert len(assemble(records([*lines, reaped]))) == 1
        assert len(assemble(records([*lines, *old_dump(POD, WORKER, OTHER), reaped]))) == 1
        again = [*lines, *old_dump(POD, WORKER, OTHER), reaped, OTHER.killed(WHY), REAPED.format(681, "other")]
        assert [[v.pid for v in report.victims] for report in assemble(records(again))] == [[680], [681]]


def test_the_reaper_of_an_earlier_victim_takes_no_dump_from_the_kill_that_follows() -> None:
    """The agent started to read after the kill line of the earlier kill."""
    lines = SINGLE.lines()
    lines.insert(-2, REAPED.format(680, "worker"))
    assert [(report.task_memcg, len(report.victims)) for report in assemble(records(lines), new_assembler())] == [
        (A, 1)
    ]
    old = [*old_dump(A, WORKER, OTHER), REAPED.format(681, "other"), WORKER.killed(WHY)]
    (report,) = assemble(records(old))
    assert ([victim.pid for victim in report.victims], report.task_memcg) == ([680], A)


def test_a_kill_by_hand_is_one_only_where_the_report_says_so() -> None:
    by_hand = [line.replace("order=0", "order=-1") for line in Kill(Process(9), A, None).lines()]
    of_memcg = [line.replace("order=0", "order=-1") for line in SINGLE.lines()]
    found = [assemble(records(lines))[0].sysrq for lines in (by_hand, of_memcg, Kill(Process(9), A, None).lines())]
    assert found == [True, False, False]


def test_each_record_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[str] = []

    def parse(text: str) -> Line | None:
        texts.append(text)
        return parse_line(text)

    monkeypatch.setattr(oom_blocks, "parse_line", parse)
    lines = [*SINGLE.lines(), *GROUP.lines()]
    assemble(records(lines))
    assert len(texts) == len(lines)
