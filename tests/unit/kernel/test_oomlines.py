"""Single lines of the kernel's OOM reports."""

from __future__ import annotations

import pytest

from agent.kernel.oomlines import (
    Attributed,
    GroupKill,
    Killed,
    NoVictim,
    Reading,
    Sacrifice,
    Skipped,
    StatsFor,
    TaskIn,
    Usage,
    is_unfinished,
    is_within,
    parse_line,
    parse_row,
    unescape,
    unescape_comm,
)

CLAIM = "oom-kill:constraint=CONSTRAINT_{},nodemask={},cpuset=c,mems_allowed=0-1,{}"


def attributed(line: str) -> Attributed:
    parsed = parse_line(line)
    assert isinstance(parsed, Attributed)
    return parsed


def killed(line: str) -> Killed:
    parsed = parse_line(line)
    assert isinstance(parsed, Killed)
    return parsed


def test_a_path_is_unescaped_as_the_file_system_would_name_it() -> None:
    assert unescape(r"/a\x5cx2db/\xc3\xa9") == r"/a\x2db/é"
    assert unescape(r"/\xff").encode("utf-8", "surrogateescape") == b"/\xff"


def test_a_name_cut_inside_a_letter_can_still_be_encoded() -> None:
    assert unescape_comm(r"na\xc3\xafve\xe6\x97") == "naïve\\xe6\\x97"
    unescape_comm(r"\xe6").encode("utf-8")


@pytest.mark.parametrize("constraint", ["NONE", "CPUSET", "MEMORY_POLICY"])
def test_every_global_constraint_is_global(constraint: str) -> None:
    line = attributed(CLAIM.format(constraint, "0-1,3", "global_oom,task_memcg=/x,task=c,pid=9,uid=4294967295"))
    assert (line.constraint, line.global_oom, line.pid, line.uid) == (f"CONSTRAINT_{constraint}", True, 9, 4294967295)
    assert line.readings == (Reading(None, "/x", "c"),)


def test_a_memcgs_kill_names_domain_and_cgroup() -> None:
    line = attributed(CLAIM.format("MEMCG", "(null)", "oom_memcg=/p,task_memcg=/p/c,task=c,pid=9,uid=0"))
    assert (line.global_oom, line.readings) == (False, (Reading("/p", "/p/c", "c"),))


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
    old = killed("Killed process 21 (a b), UID 1000, total-vm:2kB, anon-rss:3kB, file-rss:0kB, shmem-rss:1kB")
    assert (old.victim.uid, old.victim.shmem_bytes, old.global_oom) == (1000, 1024, None)
    older = killed("Killed process 21 (a) total-vm:2kB, anon-rss:3kB, file-rss:0kB")
    assert (older.victim.shmem_bytes, older.victim.resident_bytes) == (None, 3072)
    new = killed(
        "Out of memory: Killed process 21 (a) total-vm:2kB, anon-rss:3kB, file-rss:0kB, shmem-rss:1kB, "
        "UID:5 pgtables:6kB oom_score_adj:-997"
    )
    assert (new.global_oom, new.victim.uid, new.victim.oom_score_adj) == (True, 5, -997)


def test_a_kill_of_the_allocating_task_is_global() -> None:
    """vm.oom_kill_allocating_task puts it into the prefix."""
    line = killed(
        "Out of memory (oom_kill_allocating_task): Killed process 2 (a) total-vm:2kB, anon-rss:3kB, file-rss:0kB"
    )
    assert line.global_oom is True


def test_what_a_newer_kernel_adds_to_the_kill_line_is_passed_over() -> None:
    line = killed(
        "Memory cgroup out of memory: Killed process 2 (a) total-vm:2kB, anon-rss:3kB, file-rss:0kB, shmem-rss:0kB, "
        "UID:0 pgtables:6kB oom_score_adj:0 swap:7kB"
    )
    assert (line.victim.oom_score_adj, line.global_oom) == (0, False)


def test_a_name_that_looks_like_sizes_is_a_name() -> None:
    line = killed("Killed process 2 (x) total-vm:1kB) total-vm:2kB, anon-rss:3kB, file-rss:0kB")
    assert (line.victim.comm, line.victim.total_vm_bytes) == ("x) total-vm:1kB", 2048)


def test_processes_that_share_memory_are_not_victims_of_their_own() -> None:
    """3.10 tells of them; no counter counts them."""
    assert parse_line("Kill process 12 (x) sharing same memory") is None


def test_a_sacrifice_is_a_kill_to_come() -> None:
    assert parse_line("Memory cgroup out of memory: Kill process 12 (x y) score 7 or sacrifice child") == Sacrifice(
        12, "x y", global_oom=False
    )


@pytest.mark.parametrize("prefix", ["", "Memory cgroup out of memory: ", "Out of memory: "])
def test_a_skipped_kill_is_one_in_every_version(prefix: str) -> None:
    assert parse_line(f"{prefix}OOM victim 7 (x) is already exiting. Skip killing the task") == Skipped(7)


def test_the_small_lines() -> None:
    assert parse_line("Out of memory and no killable processes...") == NoVictim()
    assert parse_line("Tasks in /a b are going to be killed due to memory.oom.group set") == GroupKill("/a b")
    assert parse_line("memory: usage 4kB, limit 8kB, failcnt 0") == Usage(4096, 8192)
    assert parse_line("memory: usage 4kB, limit 9007199254740988kB, failcnt 0") == Usage(4096, None)
    assert parse_line("memory+swap: usage 4kB, limit 8kB, failcnt 0") is None
    assert parse_line("Memory cgroup stats for /s:cri-containerd:1:") == StatsFor("/s:cri-containerd:1")
    assert parse_line("Memory cgroup stats for /s:c: cache:0KB rss:1KB") == StatsFor("/s:c")
    assert parse_line("Task in /p/c killed as a result of limit of /p") == TaskIn((Reading("/p", "/p/c"),))
    assert parse_line("Task in /q/c killed as a result of limit of /p") == TaskIn(())


@pytest.mark.parametrize(
    ("columns", "row", "rss"),
    [
        (
            "uid tgid total_vm rss nr_ptes swapents oom_score_adj",
            "[28438]     0 28438  5063909   119961    1661   136409          -998 java",
            119961,
        ),
        (
            "uid tgid total_vm rss nr_ptes nr_pmds swapents oom_score_adj",
            "[ 3942]     0  3942     2227     1354       9       5        0          -999 docker-containe",
            1354,
        ),
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
    parsed = parse_row(row, tuple(columns.split()))
    assert parsed is not None
    assert (parsed.rss_pages, parsed.comm) == (rss, row.rsplit(maxsplit=1)[-1])


def test_a_name_that_begins_with_numbers_does_not_shift_the_table() -> None:
    parsed = parse_row(
        "[ 5]  0  5  10  20  0   7  99 12 x", ("uid", "tgid", "total_vm", "rss", "swapents", "oom_score_adj")
    )
    assert parsed is not None
    assert (parsed.rss_pages, parsed.oom_score_adj, parsed.comm) == (20, 7, " 99 12 x")


def test_a_line_that_stops_early_waits_for_its_pieces() -> None:
    assert is_unfinished("oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null)")
    assert is_unfinished("Tasks in ")
    assert not is_unfinished("Tasks in /a are going to be killed due to memory.oom.group set")
    assert not is_unfinished("eth0: link up")


def test_within_means_at_a_slash() -> None:
    assert is_within("/a/b", "/a")
    assert is_within("/a", "/a")
    assert is_within("/a", "/")
    assert not is_within("/ab", "/a")
