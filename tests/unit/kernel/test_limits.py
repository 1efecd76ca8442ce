"""The kernel's release and inotify's limits are read from /proc; what it doesn't tell is None, what goes meanwhile is passed over."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

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


def descriptor(proc: Path, pid: str, fd: str, target: str, fdinfo: str | None) -> None:
    (proc / pid / "fd").mkdir(parents=True, exist_ok=True)
    (proc / pid / "fdinfo").mkdir(exist_ok=True)
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


def test_instances_and_their_watches_are_counted_by_process(tmp_path: Path) -> None:
    descriptor(tmp_path, "10", "3", "anon_inode:inotify", f"pos:\t0\nflags:\t04000\n{WATCH}{WATCH}")
    descriptor(tmp_path, "10", "4", "/dev/null", WATCH)
    descriptor(tmp_path, "11", "5", "anon_inode:inotify", WATCH)
    descriptor(tmp_path, "self", "5", "anon_inode:inotify", WATCH)
    assert inotify_use(tmp_path) == InotifyUse(watches=3, instances=2)


def test_processes_and_descriptors_that_go_meanwhile_are_passed_over(tmp_path: Path) -> None:
    descriptor(tmp_path, "10", "3", "anon_inode:inotify", None)
    (tmp_path / "11").mkdir()
    (tmp_path / "12" / "fd").mkdir(parents=True)
    (tmp_path / "12" / "fd" / "0").touch()
    assert inotify_use(tmp_path) == InotifyUse(watches=0, instances=1)


def test_processes_of_other_users_are_not_charged_to_us(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    descriptor(tmp_path, "10", "3", "anon_inode:inotify", WATCH)
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    assert inotify_use(tmp_path) == InotifyUse(watches=0, instances=0)


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
