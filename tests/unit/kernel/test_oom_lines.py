"""Single lines of the kernel's OOM reports."""

from __future__ import annotations

import pytest

from agent.kernel.oom_dump import parse_row
from agent.kernel.oom_lines import (
    Claim,
    DumpLine,
    GroupKill,
    Invoked,
    Killed,
    NoVictim,
    Reading,
    Reaped,
    Skipped,
    comm_of,
    is_within,
    may_be_continued,
    parse_line,
    unescape,
)

PAGE = 4096
CLAIM = "oom-kill:constraint=CONSTRAINT_{},nodemask={},cpuset=c,mems_allowed=0-1,{}"


def attributed(line: str) -> Claim:
    parsed = parse_line(line)
    assert isinstance(parsed, Claim)
    return parsed


def killed(line: str) -> Killed:
    parsed = parse_line(line)
    assert isinstance(parsed, Killed)
    return parsed


def test_a_path_is_unescaped_as_the_file_system_would_name_it() -> None:
    assert unescape(r"/a\x5cx2db/\xc3\xa9") == r"/a\x2db/é"
    assert unescape(r"/\xff").encode("utf-8", "surrogateescape") == b"/\xff"


def test_a_name_cut_inside_a_letter_can_still_be_encoded() -> None:
    assert comm_of(r"na\xc3\xafve\xe6\x97") == "naïve\\xe6\\x97"
    assert comm_of(r"\xe6") == "\\xe6"
    assert comm_of("0123456789abcdef") is None


@pytest.mark.parametrize("constraint", ["NONE", "CPUSET", "MEMORY_POLICY"])
def test_every_global_constraint_is_global(constraint: str) -> None:
    line = attributed(CLAIM.format(constraint, "0-1,3", "global_oom,task_memcg=/x,task=c,pid=9,uid=4294967295"))
    assert (line.constraint, line.global_oom, line.pid, line.uid) == (f"CONSTRAINT_{constraint}", True, 9, 4294967295)
    assert line.readings == (Reading(None, "/x", "c"),)


def test_a_memcgs_kill_names_domain_and_cgroup() -> None:
    line = attributed(CLAIM.format("MEMCG", "(null)", "oom_memcg=/p,task_memcg=/p/c,task=c,pid=9,uid=0"))
    assert (line.global_oom, line.readings) == (False, (Reading("/p", "/p/c", "c"),))


def test_a_user_id_that_the_kernel_prints_as_a_negative_number_loses_nothing() -> None:
    line = attributed(CLAIM.format("MEMCG", "(null)", "oom_memcg=/p,task_memcg=/p/c,task=c,pid=9,uid=-2"))
    assert (line.uid, line.readings) == (4294967294, (Reading("/p", "/p/c", "c"),))


def test_a_vendors_3_10_leaves_out_the_constraint() -> None:
    line = attributed("oom-kill:,cpuset=c,mems_allowed=0-1,oom_memcg=/p,task_memcg=/p/c,task=runc:[2:INIT],pid=9,uid=0")
    assert (line.constraint, line.global_oom, line.readings) == (None, False, (Reading("/p", "/p/c", "runc:[2:INIT]"),))


def test_a_kernel_without_cpusets_leaves_them_out() -> None:
    line = attributed(
        "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),oom_memcg=/,task_memcg=/c,task=c,pid=9,uid=0"
    )
    assert line.readings == (Reading("/", "/c", "c"),)


def test_a_name_with_the_lines_own_words_has_several_readings_until_something_decides() -> None:
    line = attributed(
        CLAIM.format("MEMCG", "(null)", "oom_memcg=/p,task_memcg=/p/c,task=a,task=b,pid=1,uid=0,pid=9,uid=0")
    )
    assert line.pid == 9
    assert Reading("/p", "/p/c", "b,pid=1,uid=0") not in line.readings
    assert {(r.task_memcg, r.comm) for r in line.readings} == {("/p/c,task=a", "b,pid=1,uid=0")}


def test_a_name_is_at_most_15_bytes_so_longer_readings_are_none() -> None:
    """What looks like a longer name is the end of the path."""
    line = attributed(
        CLAIM.format("MEMCG", "(null)", "oom_memcg=/p,task_memcg=/p/x,task=0123456789,task=b,pid=9,uid=0")
    )
    assert line.readings == (Reading("/p", "/p/x,task=0123456789", "b"),)


def test_a_cgroup_outside_the_domain_is_a_garbled_line() -> None:
    line = attributed(CLAIM.format("MEMCG", "(null)", "oom_memcg=/p,task_memcg=/q,task=c,pid=9,uid=0"))
    assert line.readings == (Reading(None, None, "c"),)


def test_a_path_that_the_kernel_could_not_print_is_unknown() -> None:
    """pr_cont_cgroup_path writes ``<name too long>`` then."""
    line = attributed(
        CLAIM.format("MEMCG", "(null)", "oom_memcg=<name too long>,task_memcg=<name too long>,task=c,pid=9,uid=0")
    )
    assert (line.pid, line.readings) == (9, (Reading(None, None, "c"),))


def test_a_kill_line_of_each_age_is_read() -> None:
    old = killed("Killed process 21 (a b) total-vm:2kB, anon-rss:3kB, file-rss:0kB, shmem-rss:1kB")
    assert (old.victim.uid, old.victim.shmem_bytes, old.victim.resident_bytes, old.global_oom) == (
        None,
        1024,
        4096,
        None,
    )
    new = killed(
        "Out of memory: Killed process 21 (a) total-vm:2kB, anon-rss:3kB, file-rss:0kB, shmem-rss:1kB, "
        "UID:5 pgtables:6kB oom_score_adj:-997"
    )
    assert (new.global_oom, new.victim.uid, new.victim.oom_score_adj) == (True, 5, -997)


def test_a_kill_of_the_allocating_task_is_global() -> None:
    """vm.oom_kill_allocating_task puts it into the prefix."""
    line = killed(
        "Out of memory (oom_kill_allocating_task): Killed process 2 (a) total-vm:2kB, anon-rss:3kB, file-rss:0kB, "
        "shmem-rss:0kB"
    )
    assert line.global_oom is True


def test_what_a_newer_kernel_adds_to_the_kill_line_is_passed_over() -> None:
    line = killed(
        "Memory cgroup out of memory: Killed process 2 (a) total-vm:2kB, anon-rss:3kB, file-rss:0kB, shmem-rss:0kB, "
        "UID:0 pgtables:6kB oom_score_adj:0 swap:7kB"
    )
    assert (line.victim.oom_score_adj, line.global_oom) == (0, False)


def test_a_name_that_looks_like_sizes_is_a_name() -> None:
    line = killed("Killed process 2 (x) total-vm:1kB) total-vm:2kB, anon-rss:3kB, file-rss:0kB, shmem-rss:0kB")
    assert (line.victim.comm, line.victim.total_vm_bytes) == ("x) total-vm:1kB", 2048)


@pytest.mark.parametrize(
    ("line", "uid", "shmem"),
    [
        ("Killed process 21 (a), UID 1000, total-vm:2kB, anon-rss:3kB, file-rss:0kB, shmem-rss:1kB", 1000, 1024),
        ("Killed process 21 (a) total-vm:2kB, anon-rss:3kB, file-rss:0kB", None, None),
    ],
)
def test_a_kill_line_of_el_7_is_read(line: str, uid: int | None, shmem: int | None) -> None:
    victim = killed(line).victim
    assert (victim.uid, victim.shmem_bytes, victim.total_vm_bytes, victim.anon_bytes) == (uid, shmem, 2048, 3072)


def test_a_process_that_shares_the_victims_memory_is_no_kill_of_its_own() -> None:
    assert parse_line("Kill process 12 (x) sharing same memory") is None


def test_before_5_1_a_child_may_be_killed_in_the_chosens_place() -> None:
    line = "Memory cgroup out of memory: Kill process 12 (x y) {}score 7 or sacrifice child"
    for flags in ("", "[State: 0 Flags: 4202752] "):  # a vendor's kernel
        assert parse_line(line.format(flags)) == Claim(12, (Reading(comm="x y"),), global_oom=False, sacrifice=True)


@pytest.mark.parametrize("prefix", ["", "Memory cgroup out of memory: ", "Out of memory: "])
def test_a_skipped_kill_is_one_in_every_version(prefix: str) -> None:
    assert parse_line(f"{prefix}OOM victim 7 (x) is already exiting. Skip killing the task") == Skipped(7)


def test_the_small_lines() -> None:
    assert parse_line("Out of memory and no killable processes...") == NoVictim()
    assert parse_line("Tasks in /a b are going to be killed due to memory.oom.group set") == GroupKill("/a b")
    assert parse_line("memory: usage 4kB, limit 8kB, failcnt 0") == DumpLine(4096, 8192)
    assert parse_line("memory: usage 4kB, limit 9007199254740988kB, failcnt 0") == DumpLine(4096, None)
    assert parse_line("memory+swap: usage 4kB, limit 8kB, failcnt 0") == DumpLine(kinds=(("memory+swap", 4096),))
    assert parse_line("kmem: usage 4kB, limit 8kB, failcnt 0") == DumpLine(kinds=(("kmem", 4096),))
    assert parse_line("swap: usage 4kB, limit 8kB, failcnt 0") == DumpLine(kinds=(("swap", 4096),))
    assert parse_line("Memory cgroup stats for /s:cri-containerd:1:") == DumpLine(domain="/s:cri-containerd:1")
    kinds = (("cache", 0), ("rss", 1024))
    assert parse_line("Memory cgroup stats for /s:c: cache:0KB rss:1KB") == DumpLine(domain="/s:c", kinds=kinds)
    assert parse_line("Task in /p/c killed as a result of limit of /p") == DumpLine(task_in=(Reading("/p", "/p/c"),))
    assert parse_line("Task in /q/c killed as a result of limit of /p") == DumpLine(task_in=())


def test_a_nested_cgroups_name_adds_nothing_to_the_memory_that_the_kernel_names() -> None:
    line = parse_line("Memory cgroup stats for /p/x: cache:9KB rss:9KB y: cache:0KB rss:1KB rss_huge:0KB")
    assert isinstance(line, DumpLine)
    assert line.kinds == (("cache", 0), ("rss", 1024))


def test_only_an_order_of_minus_one_is_a_kill_by_hand() -> None:
    text = "{} invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order={}, oom_score_adj=0"
    assert parse_line(text.format("kworker/3:1", -1)) == Invoked(sysrq=True)
    assert parse_line(text.format("x, order=-1, y", 0)) == Invoked(sysrq=False)


def test_both_lines_of_the_reaper_name_the_process() -> None:
    reaped = "oom_reaper: reaped process 7 (a) b), now anon-rss:0kB, file-rss:0kB, shmem-rss:0kB"
    assert parse_line(reaped) == Reaped(7, "a) b")
    assert parse_line("oom_reaper: unable to reap pid:7 (a)") == Reaped(7, "a")
    assert parse_line("oom_reaper: reaped process 7 (0123456789abcdef), now anon-rss:0kB") is None


@pytest.mark.parametrize(
    ("columns", "row", "rss"),
    [
        (
            "uid tgid total_vm rss pgtables_bytes swapents oom_score_adj",
            "[    758]     0   758   115634   115334   950272        0          1000 nodehog",
            115334,
        ),
        (
            "uid tgid total_vm rss rss_anon rss_file rss_shmem pgtables_bytes swapents oom_score_adj",
            "[    516]     0   516      503      393      256      137         0    45056        0             0 pid-one",
            393,
        ),
    ],
)
def test_the_task_table_of_each_age_is_read(columns: str, row: str, rss: int) -> None:
    parsed = parse_row(row, tuple(columns.split()), PAGE)
    assert parsed is not None
    assert (parsed.task.rss_bytes, parsed.task.comm) == (rss * PAGE, row.rsplit(maxsplit=1)[-1])


def test_a_name_that_begins_with_numbers_does_not_shift_the_table() -> None:
    parsed = parse_row(
        "[ 5]  0  5  10  20  0   7  99 12 x", ("uid", "tgid", "total_vm", "rss", "swapents", "oom_score_adj"), PAGE
    )
    assert parsed is not None
    task = parsed.task
    assert (task.rss_bytes, task.oom_score_adj, task.comm) == (20 * PAGE, 7, " 99 12 x")


def test_a_line_that_stops_early_waits_for_its_pieces() -> None:
    assert may_be_continued("oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null)")
    assert may_be_continued("Tasks in ")
    assert not may_be_continued("eth0: link up")


def test_within_means_at_a_slash() -> None:
    assert is_within("/a/b", "/a")
    assert is_within("/a", "/a")
    assert is_within("/a", "/")
    assert not is_within("/ab", "/a")
