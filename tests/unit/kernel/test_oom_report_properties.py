"""What must hold of the assembler for any log: no crash, exactness, and never a cgroup of another report."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.kernel.kmsg import BadRecordError, parse_record
from agent.kernel.oom_lines import is_within, parse_line
from agent.model import KmsgGap, KmsgRecord, OomReport
from tests.unit.kernel.made_reports import (
    Kill,
    Process,
    assemble,
    escape,
    new_assembler,
    records,
    settled_assembler,
    shown,
)

DECEIVING = [
    b"a,task=b,pid=1",
    b",task=/,task=/",
    b",pid=1,uid=0",
    b"x) total-vm:1kB",
    b"oom-kill:",
    b") (",
    b"\\x5c",
    b" 1 2 3",
    b"a\n[ 1] 0",
    "été".encode(),
    "日本語日本語"[:5].encode(),
    b"\xff\xfe",
    b"\"'",
    b"",
]
comms = st.one_of(
    st.sampled_from(DECEIVING),
    st.binary(max_size=15).map(lambda raw: raw.replace(b"\0", b"?")),
    st.sampled_from([b"worker"]),
)
names = st.one_of(
    st.sampled_from(["c1", "system.slice", "x:y:z", "with space", "a-b_c.scope"]),
    st.text("abc:. -_=,", min_size=1, max_size=12).filter(lambda s: s not in (".", "..") and ",task" not in s),
)
containers = st.builds(lambda i: f"/kubepods/burstable/pod{i}/{'c' * 8}{i}", st.integers(0, 9))


@st.composite
def kills(draw: st.DrawFn, first_pid: int = 1000, number: int = 0) -> Kill:
    """One kill with its dump, in a container of its own."""
    container = f"/kubepods/burstable/pod{number}/{draw(names)}"
    task_memcg = "/".join([container, *draw(st.lists(names, max_size=2))])
    ancestors = ["/kubepods", f"/kubepods/burstable/pod{number}", container, task_memcg]
    domain = draw(st.sampled_from([None, *ancestors]))
    size = st.integers(1, 10**6)
    first = Process(first_pid, draw(comms), draw(st.integers(0, 2**32 - 1)), draw(size))
    if not draw(st.booleans()):
        return Kill(first, task_memcg, domain)
    rest = draw(st.lists(st.tuples(comms, size), max_size=4))
    members = tuple(Process(first_pid + 1 + i, comm, 0, pages) for i, (comm, pages) in enumerate(rest))
    return Kill(first, task_memcg, domain, members, container, draw(st.integers(0, 4)))


@st.composite
def several_kills(draw: st.DrawFn) -> list[Kill]:
    """Two to four kills; pid // 100 - 10 is the kill's number in the list."""
    return [draw(kills(1000 + 100 * i, i)) for i in range(draw(st.integers(2, 4)))]


def assert_no_cgroup_of_another(reports: list[OomReport], all_kills: list[Kill]) -> None:
    for report in reports:
        owners = {victim.pid // 100 - 10 for victim in report.victims}
        assert len(owners) == 1, "victims of two kills in one report"
        kill = all_kills[owners.pop()]
        assert {victim.pid for victim in report.victims} <= kill.pids()
        assert report.task_memcg in (None, kill.task_memcg)
        assert report.oom_memcg in (None, kill.domain)
        assert report.group_memcg in (None, kill.group)
        assert report.limit_bytes in (None, kill.limit_kb * 1024)
        assert report.global_oom in (None, kill.domain is None)
        assert {row.pid for row in report.tasks} <= kill.pids()


@given(st.binary(max_size=300))
def test_any_bytes_are_a_record_or_a_bad_record(raw: bytes) -> None:
    try:
        record = parse_record(raw)
    except BadRecordError:
        return
    assert record.sequence >= 0
    assemble([record])


PIECES = st.sampled_from(
    [
        "oom-kill:constraint=CONSTRAINT_MEMCG",
        ",nodemask=(null),cpuset=/,mems_allowed=0",
        ",oom_memcg=/a",
        ",global_oom",
        ",task_memcg=/a/b",
        ",task=x",
        ",pid=1,uid=0",
        "Tasks in /a are going to be killed due to memory.oom.group set",
        "Task in /a killed as a result of limit of /a",
        "Memory cgroup out of memory: ",
        "Out of memory: ",
        "Kill process 1 (x) score 1 or sacrifice child",
        "Killed process 1 (x) total-vm:1kB, anon-rss:1kB, file-rss:1kB",
        "x invoked oom-killer: gfp_mask=0x",
        "memory: usage 1kB, limit 2kB, failcnt 3",
        "Memory cgroup stats for /a:",
        " cache:4KB rss:8KB",
        "anon 4096",
        "\\x0afile 8192",
        "kmem: usage 1kB, limit 2kB, failcnt 3",
        "oom_reaper: reaped process 1 (x), now anon-rss:0kB",
        "[ pid ]   uid  tgid total_vm      rss name",
        "[ 1] 0 1 1 1 x",
        "OOM victim 1 (x) is already exiting. Skip killing the task",
        "Out of memory and no killable processes...",
        "\\xff",
        "",
    ]
)
lines = st.one_of(st.lists(PIECES, min_size=1, max_size=6).map("".join), st.text(max_size=40))


@given(st.lists(st.one_of(st.tuples(lines, st.booleans()), st.none()), max_size=40))
def test_no_log_makes_the_assembler_fail(log: list[tuple[str, bool] | None]) -> None:
    """Lines of the grammar in any order and mixture, pieces, gaps."""
    items: list[KmsgRecord | KmsgGap] = []
    for i, entry in enumerate(log):
        if entry is None:
            items.append(KmsgGap(1, i + 1))
        else:
            items.append(KmsgRecord(i, i, 0, 6, entry[1], entry[0]))
    for report in assemble(items):
        assert report.victims


@given(kills())
def test_a_report_with_any_names_comes_out_exactly(kill: Kill) -> None:
    (report,) = assemble(records(kill.lines()))
    assert report.victims == (kill.first.victim(), *(member.victim() for member in kill.members))
    assert (report.oom_memcg, report.task_memcg, report.group_memcg) == (kill.domain, kill.task_memcg, kill.group)
    assert {(row.pid, row.comm) for row in report.tasks} == {
        (process.pid, shown(process.comm)) for process in (kill.first, *kill.members)
    }


@given(several_kills(), st.booleans())
def test_reports_one_after_the_other_never_mix(all_kills: list[Kill], settled: bool) -> None:
    assembler = settled_assembler()[0] if settled else new_assembler()
    reports = assemble(records([line for kill in all_kills for line in kill.lines()]), assembler)
    assert_no_cgroup_of_another(reports, all_kills)
    pids = [victim.pid for report in reports for victim in report.victims]
    assert sorted(pids) == sorted(pid for kill in all_kills for pid in kill.pids())


OTHERS = st.sampled_from(
    [
        "eth0: link is up",
        "x[12]: segfault at 0 ip 0 sp 0 error 4",
        "oom_reaper: reaped process 1000 (worker), now anon-rss:0kB, file-rss:0kB, shmem-rss:0kB",
        " [<606944ba>] dump_stack+0x1b/0x1d",
    ]
)


@given(several_kills(), st.data())
def test_lines_of_others_between_a_reports_own_change_nothing(all_kills: list[Kill], data: st.DataObject) -> None:
    """Of the kernel, or of user space that repeats a report's lines. Two reports don't mix: oom_lock keeps them apart."""
    lines = [line for kill in all_kills for line in kill.lines()]
    items: list[KmsgRecord] = []
    for record in records(lines):
        other = data.draw(st.one_of(st.none(), OTHERS, st.sampled_from(lines)))
        if other is not None:
            facility = 1 if other in lines else data.draw(st.integers(0, 1))
            items.append(record._replace(text=other, facility=facility, fragment=data.draw(st.booleans())))
        items.append(record)
    assert assemble(items) == assemble(records(lines))


@given(several_kills(), st.data())
def test_cut_reports_never_give_a_cgroup_of_another(all_kills: list[Kill], data: st.DataObject) -> None:
    """Any records may be lost; what is told of the rest is right, and no victim is told twice."""
    whole = records([line for kill in all_kills for line in kill.lines()])
    items: list[KmsgRecord | KmsgGap] = []
    at = 0
    while at < len(whole):
        run = data.draw(st.integers(1, len(whole)))
        items += whole[at : at + run]
        at += run
        lost = data.draw(st.integers(0, 5))
        if lost and at + lost < len(whole):
            items.append(KmsgGap(lost, whole[at + lost].sequence))
            at += lost
    reports = assemble(items)
    assert_no_cgroup_of_another(reports, all_kills)
    pids = [victim.pid for report in reports for victim in report.victims]
    assert len(pids) == len(set(pids))


@given(kills(), st.data())
def test_a_claim_in_pieces_comes_out_exactly(kill: Kill, data: st.DataObject) -> None:
    """The kernel cuts between two of its prints; another CPU's line may stand between the pieces."""
    claim = kill.claim()
    cuts = sorted(
        cut
        for mark in (",cpuset=", ",mems_allowed=", ",oom_memcg=", ",task_memcg=", ",task=")
        if (cut := claim.find(mark)) > 0 and data.draw(st.booleans())
    )
    pieces = [claim[i:j] for i, j in zip([0, *cuts], [*cuts, len(claim)], strict=True)]
    items = records(kill.dump_lines()[:-1])
    for i, piece in enumerate(pieces):
        items += [record._replace(fragment=i > 0) for record in records([piece], 100 + 2 * i)]
        items += records(["eth0: link up"], 101 + 2 * i)
    (report,) = assemble([*items, *records(kill.kill_lines(), 200)])
    assert (report.oom_memcg, report.task_memcg) == (kill.domain, kill.task_memcg)


TRAPS = st.sampled_from(
    [",task=a,pid=1,uid=0", ",task_memcg=", "oom_memcg=", ",task=b", ",global_oom,task_memcg=", " x", "d"]
)


@given(containers, st.lists(st.lists(TRAPS, min_size=1, max_size=3).map("".join), max_size=6), comms, st.booleans())
def test_a_workload_cant_name_its_own_cgroups_so_that_another_container_is_blamed(
    container: str, nested: list[str], comm: bytes, own_limit: bool
) -> None:
    """Whoever may make cgroups below its own chooses their names: the answer is in the container, or it is None."""
    task_memcg = "/".join([container, *nested, "kubepods/burstable/pod5/victim"])
    kill = Kill(Process(680, comm), task_memcg, task_memcg if own_limit else container)
    (report,) = assemble(records(kill.lines()))
    assert report.victims == (kill.first.victim(),)
    for told in (report.task_memcg, report.oom_memcg):
        assert told is None or is_within(told, container) or told.startswith(container + "/")


@given(st.text("abc,=/: ", max_size=200), st.binary(max_size=15))
def test_a_name_never_makes_a_line_of_its_own(text: str, comm: bytes) -> None:
    """Lines that begin with a name (15 bytes) followed by the kernel's own text are never taken for kills."""
    for tail in (" cpuset=/ mems_allowed=0", "[12]: segfault at 0 ip 0 sp 0", f": page allocation failure {text}"):
        assert parse_line(escape(comm) + tail) is None
