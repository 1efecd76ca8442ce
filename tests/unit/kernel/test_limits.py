"""The kernel's release and inotify's limits are read from /proc; what it doesn't tell is None, what goes meanwhile is passed over."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from inotify_simple import INotify, flags

from agent.kernel.limits import (
    FIRST_PID_NAMESPACE,
    InotifyLimits,
    InotifyUse,
    inotify_limits,
    inotify_use,
    is_first_pid_namespace,
    kernel_release,
    raise_open_files,
    version_of,
)

WATCH = "inotify wd:1 ino:2 sdev:3 mask:2 ignored_mask:0 fhandle-bytes:8\n"


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A /proc of processes that ``process`` makes."""
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path))
    (tmp_path / "stat").write_text("btime 1700000000\n")  # proc_stat(5); psutil computes a process's start from it
    psutil.process_iter.cache_clear()
    yield tmp_path
    psutil.process_iter.cache_clear()


def process(proc: Path, pid: str, *, real_uid: int | None = None, effective_uid: int | None = None) -> Path:
    """What proc_pid_stat(5) and proc_pid_status(5) say of it; it is ours unless that is given."""
    real, effective = (os.geteuid() if uid is None else uid for uid in (real_uid, effective_uid))
    (proc / pid / "fd").mkdir(parents=True, exist_ok=True)
    (proc / pid / "fdinfo").mkdir(exist_ok=True)
    (proc / pid / "stat").write_text(f"{pid} (x) S 1" + 48 * " 0" + "\n")
    (proc / pid / "status").write_text(f"Name:\tx\nUid:\t{real}\t{effective}\t{effective}\t{effective}\n")
    return proc / pid


def descriptor(proc: Path, pid: str, fd: str, target: str, fdinfo: str | None) -> None:
    process(proc, pid)
    (proc / pid / "fd" / fd).symlink_to(target)
    if fdinfo is not None:
        (proc / pid / "fdinfo" / fd).write_text(fdinfo)


@pytest.mark.parametrize(
    ("release", "version"),
    [
        ("6.12.48+deb13-amd64", (6, 12)),
        ("4.18.0-513.el8.x86_64", (4, 18)),
        ("7.0-rc1", (7, 0)),
        ("unknown", None),
        ("", None),
    ],
)
def test_a_release_has_a_version_or_none(release: str, version: tuple[int, int] | None) -> None:
    assert version_of(release) == version


def test_this_machines_release_is_unames() -> None:
    assert kernel_release() == os.uname().release


def test_the_sysctls_are_read_and_missing_or_odd_ones_are_none(tmp_path: Path) -> None:
    (tmp_path / "sys/fs/inotify").mkdir(parents=True)
    (tmp_path / "sys/fs/inotify/max_user_watches").write_text("8192\n")
    (tmp_path / "sys/fs/inotify/max_user_instances").write_text("many\n")
    assert inotify_limits(tmp_path) == InotifyLimits(watches=8192, instances=None, queued_events=None)


def test_instances_and_their_watches_are_counted_by_process(proc: Path) -> None:
    descriptor(proc, "10", "3", "anon_inode:inotify", f"pos:\t0\nflags:\t04000\n{WATCH}{WATCH}")
    descriptor(proc, "10", "4", "/dev/null", WATCH)
    descriptor(proc, "11", "5", "anon_inode:inotify", WATCH)
    descriptor(proc, "self", "5", "anon_inode:inotify", WATCH)
    assert inotify_use() == InotifyUse(watches=3, instances=2)


def test_processes_and_descriptors_that_go_meanwhile_are_passed_over(proc: Path) -> None:
    descriptor(proc, "10", "3", "anon_inode:inotify", None)
    (proc / "11").symlink_to("ended between the listing and the first look")
    (process(proc, "12") / "fd" / "0").touch()
    (process(proc, "13") / "fd").rmdir()
    descriptor(proc, "14", "9", "anon_inode:inotify", WATCH)
    assert inotify_use() == InotifyUse(watches=1, instances=2)


def test_a_process_that_is_hidden_from_us_is_passed_over(proc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """proc(5), hidepid=1: its directory is there, its files are refused; a zombie's are empty."""
    descriptor(proc, "10", "3", "anon_inode:inotify", WATCH)

    def refused(_: str) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr("psutil._pslinux.open_binary", refused)
        assert inotify_use() == InotifyUse(watches=0, instances=0)
    (proc / "10" / "fd" / "3").unlink()
    assert inotify_use() == InotifyUse(watches=0, instances=0)


def test_instances_are_charged_to_the_effective_user(proc: Path) -> None:
    descriptor(proc, "10", "3", "anon_inode:inotify", WATCH)
    process(proc, "10", effective_uid=os.geteuid() + 1)
    assert inotify_use() == InotifyUse(watches=0, instances=0)
    process(proc, "10", real_uid=os.geteuid() + 1)
    assert inotify_use() == InotifyUse(watches=1, instances=1)


def test_an_instance_of_this_process_is_among_them(monkeypatch: pytest.MonkeyPatch) -> None:
    every, me = psutil.process_iter, os.getpid()  # other programs open and close theirs
    monkeypatch.setattr(psutil, "process_iter", lambda attributes: [one for one in every(attributes) if one.pid == me])
    before = inotify_use()
    inotify = INotify()
    inotify.add_watch("/", flags.CREATE)
    after = inotify_use()
    inotify.close()
    assert (after.instances - before.instances, after.watches - before.watches) == (1, 1)


def test_the_machines_own_pid_namespace_is_known_by_its_number(tmp_path: Path) -> None:
    assert is_first_pid_namespace(tmp_path) is None
    (tmp_path / "self/ns").mkdir(parents=True)
    link = tmp_path / "self/ns/pid"
    link.symlink_to(FIRST_PID_NAMESPACE)
    assert is_first_pid_namespace(tmp_path) is True
    link.unlink()
    link.symlink_to("pid:[4026532201]")
    assert is_first_pid_namespace(tmp_path) is False


def test_the_soft_limit_of_open_files_is_raised_to_the_hard_one_and_no_further_than_is_of_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits = {resource.RLIMIT_NOFILE: (1024, 4096)}
    monkeypatch.setattr(resource, "getrlimit", limits.__getitem__)
    monkeypatch.setattr(resource, "setrlimit", limits.__setitem__)
    assert (raise_open_files(), limits[resource.RLIMIT_NOFILE]) == (4096, (4096, 4096))
    limits[resource.RLIMIT_NOFILE] = (1024, resource.RLIM_INFINITY)
    assert raise_open_files(most=9000) == 9000
    limits[resource.RLIMIT_NOFILE] = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    assert raise_open_files() == resource.RLIM_INFINITY, "not lowered"
