"""Facts about processes, with real ones where that is cheap and a made /proc where not."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.kernel.processes import (
    MOST_LOOKED,
    ProcessIdentity,
    cgroup_of,
    first_process,
    init_process,
    is_alive,
    node_oom_kills,
)
from tests.unit.pressure.fake_proc import FakeProc

GONE = 2**22 + 1  # above PID_MAX_LIMIT


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def identity(pid: int) -> ProcessIdentity:
    """As /proc has it."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    return ProcessIdentity(pid, int(stat.rpartition(")")[2].split()[19]))


def with_stat(proc: Path, who: ProcessIdentity, *, state: str = "S", flags: int = 0x400400, pending: int = 0) -> None:
    """The line is of 6.1."""
    (proc / str(who.pid)).mkdir(exist_ok=True)
    (proc / str(who.pid) / "stat").write_text(
        f"{who.pid} (a) S (b c) {state} 6049 6045 31687 0 -1 {flags} 88 0 0 0 0 0 0 0 20 0 1 0 {who.start_ticks} 0 0 0 0 0 0 0 0 "
        f"{pending} 0 0 0" + 18 * " 0" + "\n"
    )


def with_status(proc: Path, pid: int, nspid: str | None, parent: int = 0) -> None:
    (proc / str(pid)).mkdir()
    if Path(f"/proc/{pid}/stat").exists():
        with_stat(proc, identity(pid))
    (proc / str(pid) / "status").write_text(
        f"Name:\tx\nPPid:\t{parent}\n" + (f"NSpid:\t{nspid}\n" if nspid else "") + "Threads:\t1\n"
    )


def with_cgroup(proc: Path, text: str) -> Path:
    (proc / "7").mkdir()
    (proc / "7" / "cgroup").write_bytes(os.fsencode(text))
    return proc


def test_the_init_process_is_the_one_that_is_1_inside(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    me, child = os.getpid(), sleeper.pid
    with_status(tmp_path, me, f"{me}\t17")
    with_status(tmp_path, child, f"{child}\t1")
    assert init_process([0, me, child, GONE], tmp_path) == identity(child)


def test_of_nested_inits_the_outermost_is_the_containers(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    me, child = os.getpid(), sleeper.pid
    with_status(tmp_path, me, f"{me}\t80\t1")
    with_status(tmp_path, child, f"{child}\t1")
    assert init_process([me, child], tmp_path) == identity(child)


def test_with_a_shared_pid_namespace_a_nested_init_is_not_the_containers(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    """shareProcessNamespace: PID 1 is the sandbox's pause, which is in another cgroup; with hostPID it is the node's own."""
    me, child = os.getpid(), sleeper.pid
    with_status(tmp_path, me, f"{me}\t80")
    with_status(tmp_path, child, f"{child}\t81\t1", parent=me)
    assert init_process([me, child], tmp_path) is None


def test_with_the_hosts_pid_namespace_a_nested_init_is_not_the_containers(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    me, child = os.getpid(), sleeper.pid
    with_status(tmp_path, me, f"{me}")
    with_status(tmp_path, child, f"{child}\t1", parent=me)
    assert init_process([me, child], tmp_path) is None


@pytest.mark.parametrize("nspid", ["1", "17", None])
def test_a_container_without_a_pid_namespace_of_its_own_has_no_init(tmp_path: Path, nspid: str | None) -> None:
    """Also the machine's own PID 1 is no container's, nor is anything before NSpid existed (4.1)."""
    with_status(tmp_path, 5, nspid)
    assert init_process([5], tmp_path) is None


def test_an_init_that_ended_meanwhile_is_none(tmp_path: Path) -> None:
    with_status(tmp_path, GONE, f"{GONE}\t1")
    assert init_process([GONE], tmp_path) is None


def test_of_ten_thousand_processes_without_an_init_few_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for pid in range(100_001, 100_301):  # each the parent of the next
        with_status(tmp_path, pid, f"{pid}\t{pid - 90_000}", parent=pid - 1)
    opened, real = list[str](), os.open

    def counted(path: str, flags: int) -> int:
        opened.append(path)
        return real(path, flags)

    monkeypatch.setattr(os, "open", counted)
    assert init_process((*range(100_300, 100_000, -1), *range(100_301, 110_001)), tmp_path) is None
    assert 0 < len(opened) <= MOST_LOOKED


def test_among_thousands_the_init_is_found_wherever_it_is_listed_and_whatever_its_pid(tmp_path: Path) -> None:
    """PIDs begin again from below on a node that has used all; an init that is in a child cgroup is not listed first."""
    init = ProcessIdentity(200_000, 5)
    with_status(tmp_path, init.pid, f"{init.pid}\t1")
    with_stat(tmp_path, init)
    many = range(100_001, 110_001)
    assert init_process((init.pid, *many), tmp_path) == init, "listed first"
    assert init_process((*range(300_000, 310_000), init.pid), tmp_path) == init, "the lowest"
    with_status(tmp_path, many[0], f"{many[0]}\t20", parent=many[5000])
    with_status(tmp_path, many[5000], f"{many[5000]}\t7", parent=init.pid)
    assert init_process((*many, init.pid), tmp_path) == init, "a parent's parent of one of these"


def test_a_running_process_is_alive() -> None:
    assert is_alive(identity(os.getpid()))


def test_another_process_with_the_same_pid_is_not_it() -> None:
    me = identity(os.getpid())
    assert not is_alive(replace(me, start_ticks=me.start_ticks - 1))


@pytest.mark.parametrize("step_s", [5, -3600, 3 * 3600], ids=["5 s on", "an hour back", "3 hours on"])
def test_a_step_of_the_wall_clock_makes_no_other_process_of_it(tmp_path: Path, step_s: int) -> None:
    """The boot time in /proc/stat moves with the clock, and with it every start in seconds since 1970."""
    me = os.getpid()
    with_status(tmp_path, me, f"{me}\t1")
    (tmp_path / "stat").write_text("btime 1795000000\n")
    who = init_process([me], tmp_path)
    assert who is not None
    (tmp_path / "stat").write_text(f"btime {1795000000 + step_s}\n")
    assert is_alive(who, tmp_path)


def test_a_zombie_is_not_alive(sleeper: subprocess.Popen[bytes]) -> None:
    who = identity(sleeper.pid)
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert Path(f"/proc/{sleeper.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    assert not is_alive(who)


@pytest.mark.parametrize(
    ("flags", "pending", "alive"),
    [(0x400400, 0, True), (0x40040C, 0, False), (0x400400, 1 << 8, False), (0x400400, 1 << 14, True)],
    ids=["runs", "in do_exit", "SIGKILL pending", "SIGTERM pending"],
)
def test_a_process_that_the_kernel_is_about_to_end_is_not_alive(
    tmp_path: Path, flags: int, pending: int, alive: bool
) -> None:
    """A PID 1 that waits for its namespace to empty is in state S."""
    me = identity(os.getpid())
    with_stat(tmp_path, me, flags=flags, pending=pending)
    assert is_alive(me, tmp_path) is alive


@pytest.mark.parametrize(("state", "alive"), [("R", True), ("D", True), ("T", True), ("Z", False), ("X", False)])
def test_a_process_that_has_ended_is_not_alive_whoever_has_not_heard_of_it(
    tmp_path: Path, state: str, alive: bool
) -> None:
    me = identity(os.getpid())
    with_stat(tmp_path, me, state=state)
    assert is_alive(me, tmp_path) is alive


def test_a_process_that_goes_while_it_is_looked_at_is_not_alive(tmp_path: Path) -> None:
    assert not is_alive(identity(os.getpid()), tmp_path)


def test_a_process_that_is_gone_is_not_alive() -> None:
    assert not is_alive(ProcessIdentity(GONE, 0))


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("0::/kubepods/podx/abc\n", "/kubepods/podx/abc"),
        ("0::/kubepods/podx/abc (deleted)\n", "/kubepods/podx/abc"),
        ("0::/kubepods/podx/a\rb:c\n", "/kubepods/podx/a\rb:c"),
        ("9:name=systemd:/s\n4:memory:/kubepods/a\n0::/\n", "/kubepods/a"),
        ("5:cpu,cpuacct:/c\n4:hugetlb,memory:/m\n", "/m"),
        (
            "0::/system.slice/containerd.service/kubepods-x.slice:cri-containerd:abc\n",
            "/system.slice/containerd.service/kubepods-x.slice:cri-containerd:abc",
        ),
        ("5:cpu:/c\n", None),
        ("", None),
    ],
)
def test_the_memory_cgroup_is_found_on_v1_v2_and_hybrid(tmp_path: Path, text: str, path: str | None) -> None:
    assert cgroup_of(7, with_cgroup(tmp_path, text)) == path


def test_a_process_that_is_gone_has_no_cgroup() -> None:
    assert cgroup_of(GONE) is None


def test_the_nodes_kills_are_counted_where_the_kernel_does(tmp_path: Path) -> None:
    (tmp_path / "vmstat").write_text("nr_free_pages 5\noom_kill 42\n")
    assert node_oom_kills(tmp_path) == 42
    (tmp_path / "vmstat").write_text("nr_free_pages 5\n")
    assert node_oom_kills(tmp_path) is None


@pytest.mark.parametrize("code", [errno.EPERM, errno.EACCES])
def test_a_process_that_is_hidden_from_us_is_like_one_that_is_gone(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """proc(5), hidepid."""

    def refused(*_: object) -> int:
        raise PermissionError(code, os.strerror(code))

    me = identity(os.getpid())
    monkeypatch.setattr(os, "open", refused)
    assert cgroup_of(me.pid) is None
    assert init_process([me.pid]) is None
    assert not is_alive(me)


def test_without_a_free_descriptor_nothing_is_known_and_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path | str, *_mode: object, **_more: object) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path))

    monkeypatch.setattr(Path, "open", refused)
    monkeypatch.setattr(os, "open", refused)
    assert (init_process([os.getpid()]), cgroup_of(os.getpid()), node_oom_kills()) == (None, None, None)
    assert not is_alive(ProcessIdentity(os.getpid(), 1))


def test_without_a_pid_namespace_the_main_process_is_the_oldest_whose_parent_is_outside(tmp_path: Path) -> None:
    """An exec into the container has its parent outside, too."""
    proc = FakeProc(tmp_path / "proc")
    proc.add(70, parent=1, start=900)
    proc.add(40, parent=70, start=950)
    proc.add(30, parent=1, start=2000)
    assert first_process([0, 30, 40, 70, GONE], proc.folder) == 70
    assert first_process([GONE], proc.folder) is None
