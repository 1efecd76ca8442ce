"""All processes of a container are killed and nobody else's: real processes, a directory that names them as its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from agent.cgroup import killing
from agent.cgroup.files import CgroupFiles
from agent.cgroup.killing import HIDDEN, kill_container, kill_largest
from agent.model import Cgroup, KillOutcome, SeenProcess
from tests.unit.cgroup.fakes import CONTAINER, POD, make, remove
from tests.unit.patience import PATIENCE_S

Sleepers = Callable[[int], list[subprocess.Popen[bytes]]]


@pytest.fixture
def sleepers() -> Iterator[Sleepers]:
    started: list[subprocess.Popen[bytes]] = []

    def start(count: int) -> list[subprocess.Popen[bytes]]:
        command = [sys.executable, "-S", "-c", "import sys; sys.stdin.read()"]
        begun = [subprocess.Popen(command, stdin=subprocess.PIPE) for _ in range(count)]
        started.extend(begun)
        return begun

    yield start
    for process in started:
        process.kill()
        process.communicate()


def holding(mount: Path, path: str, *processes: subprocess.Popen[bytes]) -> Cgroup:
    """A cgroup that says these are its processes."""
    cgroup = make(mount, path)
    write_procs(mount, path, *(process.pid for process in processes))
    return cgroup


def write_procs(mount: Path, path: str, *pids: int) -> None:
    (mount / path / "cgroup.procs").write_text("".join(f"{pid}\n" for pid in pids))


def test_where_the_kernel_can_it_is_asked_to_do_it_in_one_step(mount: Path, files: CgroupFiles) -> None:
    cgroup = make(mount, CONTAINER, cgroup__kill="")
    assert kill_container(files, cgroup).outcome is KillOutcome.KILLED
    assert (mount / CONTAINER / "cgroup.kill").read_text() == "1\n"


def test_else_all_are_killed_one_by_one_those_below_too_and_nobody_else(
    mount: Path, files: CgroupFiles, sleepers: Sleepers
) -> None:
    own, below, other = sleepers(3)
    cgroup = holding(mount, CONTAINER, own)
    holding(mount, f"{CONTAINER}/docker", below)
    holding(mount, f"{POD}/{'b' * 64}", other)
    assert kill_container(files, cgroup).outcome is KillOutcome.KILLED
    assert (own.wait(PATIENCE_S), below.wait(PATIENCE_S)) == (-signal.SIGKILL, -signal.SIGKILL)
    assert other.poll() is None


def test_more_processes_than_descriptors_at_once_are_killed_too(
    mount: Path, files: CgroupFiles, sleepers: Sleepers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(killing, "BATCH", 3)
    many = sleepers(8)
    kill_container(files, holding(mount, CONTAINER, *many))
    assert [process.wait(PATIENCE_S) for process in many] == [-signal.SIGKILL] * 8


def test_a_pid_that_is_somebody_elses_by_now_is_left_alone(
    mount: Path, files: CgroupFiles, sleepers: Sleepers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between our reading of cgroup.procs and pidfd_open the process ended, and its pid was given to another."""
    (innocent,) = sleepers(1)
    cgroup = holding(mount, CONTAINER, innocent)
    real = os.pidfd_open

    def open_too_late(pid: int) -> int:
        write_procs(mount, CONTAINER)  # the cgroup's own process is gone
        return real(pid)

    monkeypatch.setattr(os, "pidfd_open", open_too_late)
    kill_container(files, cgroup)
    assert innocent.poll() is None


def test_a_process_that_ends_meanwhile_is_nothing_amiss(mount: Path, files: CgroupFiles, sleepers: Sleepers) -> None:
    (gone,) = sleepers(1)
    gone.kill()
    gone.wait()
    assert kill_container(files, holding(mount, CONTAINER, gone)).outcome is KillOutcome.KILLED


def test_nobody_left_is_told_from_a_cgroup_that_is_gone(mount: Path, files: CgroupFiles) -> None:
    cgroup = make(mount, CONTAINER, cgroup__events="populated 0\n")
    assert kill_container(files, cgroup).outcome is KillOutcome.EMPTY
    remove(mount, CONTAINER)
    assert kill_container(files, cgroup).outcome is KillOutcome.GONE


def test_another_cgroup_at_its_path_is_left_alone(mount: Path, files: CgroupFiles, sleepers: Sleepers) -> None:
    cgroup = make(mount, CONTAINER)
    (mount / CONTAINER).rename(mount.parent / "before")
    (innocent,) = sleepers(1)
    holding(mount, CONTAINER, innocent)
    assert kill_container(files, cgroup).outcome is KillOutcome.GONE
    assert innocent.poll() is None


def test_processes_that_have_no_pid_here_are_named_with_the_mend(mount: Path, files: CgroupFiles) -> None:
    cgroup = make(mount, CONTAINER, cgroup__procs="0\n0\n")
    attempt = kill_container(files, cgroup)
    assert (attempt.outcome, attempt.detail) == (KillOutcome.DENIED, HIDDEN)


def test_a_last_process_that_ends_between_two_reads_is_no_process_without_a_pid(
    mount: Path, files: CgroupFiles
) -> None:
    cgroup = make(mount, CONTAINER, cgroup__events="populated 1\n", cgroup__procs="")
    assert kill_container(files, cgroup).outcome is KillOutcome.KILLED, "to be looked at again"


def test_a_kill_that_is_not_allowed_says_so(
    mount: Path, files: CgroupFiles, sleepers: Sleepers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(pidfd: int, number: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(signal, "pidfd_send_signal", refuse)
    attempt = kill_container(files, holding(mount, CONTAINER, *sleepers(1)))
    assert attempt.outcome is KillOutcome.DENIED
    assert "run as root" in attempt.detail


@pytest.mark.parametrize("path", [POD, "kubepods", "kubepods/burstable", f"{CONTAINER}/container", "system.slice/sshd"])
def test_what_is_no_container_is_never_killed(mount: Path, files: CgroupFiles, path: str) -> None:
    cgroup = make(mount, path, cgroup__kill="")
    with pytest.raises(ValueError, match="not ours to kill"):
        kill_container(files, cgroup)
    assert (mount / path / "cgroup.kill").read_text() == ""


def test_a_link_in_the_place_of_the_file_is_not_followed(mount: Path, files: CgroupFiles) -> None:
    cgroup = make(mount, CONTAINER)
    victim = mount.parent / "victim"
    victim.write_text("")
    (mount / CONTAINER / "cgroup.kill").symlink_to(victim)
    assert kill_container(files, cgroup).outcome is KillOutcome.DENIED
    assert victim.read_text() == ""


def by_pid(sizes: dict[int, int]) -> Callable[[Iterable[int]], list[SeenProcess]]:
    """As kernel.processes.largest, of sizes in bytes."""

    def largest(pids: Iterable[int]) -> list[SeenProcess]:
        found = [SeenProcess(pid, "worker", rss_bytes=sizes[pid]) for pid in pids if pid in sizes]
        return sorted(found, key=lambda one: one.rss_bytes or 0, reverse=True)

    return largest


def test_of_the_largest_process_alone_nothing_else_is_killed(
    mount: Path, files: CgroupFiles, sleepers: Sleepers
) -> None:
    init, small, large = sleepers(3)
    cgroup = holding(mount, CONTAINER, init, small, large)
    sizes = {init.pid: 900, small.pid: 100, large.pid: 500}
    attempt, process = kill_largest(files, cgroup, by_pid(sizes), lambda _: init.pid)
    assert attempt.outcome is KillOutcome.KILLED
    assert process is not None
    assert process.pid == large.pid
    assert large.wait(PATIENCE_S) == -signal.SIGKILL
    assert (init.poll(), small.poll()) == (None, None), "PID 1 is spared though it is larger"


def test_pid_1_is_ended_only_if_it_is_the_only_one(mount: Path, files: CgroupFiles, sleepers: Sleepers) -> None:
    (init,) = sleepers(1)
    cgroup = holding(mount, CONTAINER, init)
    attempt, _ = kill_largest(files, cgroup, by_pid({init.pid: 900}), lambda _: init.pid)
    assert attempt.outcome is KillOutcome.KILLED
    assert init.wait(PATIENCE_S) == -signal.SIGKILL


def test_the_largest_process_is_left_alone_if_its_pid_has_left_the_cgroup_since(
    mount: Path, files: CgroupFiles, sleepers: Sleepers, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = sleepers(2)
    cgroup = holding(mount, CONTAINER, one, other)
    listings = iter([(one.pid, other.pid), (other.pid,)])
    monkeypatch.setattr(files, "pids", lambda _: next(listings))
    attempt, _ = kill_largest(files, cgroup, by_pid({one.pid: 900, other.pid: 1}), lambda _: None)
    assert attempt.outcome is KillOutcome.EMPTY
    assert one.poll() is None


def test_where_no_process_can_be_seen_the_largest_cant_be_ended_and_it_is_said_why(
    mount: Path, files: CgroupFiles
) -> None:
    cgroup = make(mount, CONTAINER)
    write_procs(mount, CONTAINER, 0)
    attempt, process = kill_largest(files, cgroup, by_pid({}), lambda _: None)
    assert (attempt.outcome, attempt.detail, process) == (KillOutcome.DENIED, HIDDEN, None)


def test_in_what_is_no_container_no_largest_process_is_ended(mount: Path, files: CgroupFiles) -> None:
    with pytest.raises(ValueError, match="no container's cgroup"):
        kill_largest(files, make(mount, POD), by_pid({}), lambda _: None)
