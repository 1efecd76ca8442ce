"""The opener of control files when things go wrong between any two of its calls."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.cgroup.files import CgroupError, CgroupFiles, NotACgroupMountError
from agent.model import VANISHED, Cgroup, MemoryEvents, WriteOutcome
from tests.unit.cgroup.fakes import CONTAINER, make, remove

KNOB = "memory.oom.group"
Open = Callable[..., int]


@pytest.fixture
def v1_files(mount: Path) -> Iterator[CgroupFiles]:
    files = CgroupFiles(mount, "v1", check_magic=False)
    yield files
    files.close()


def refuse_writing(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """The kernel refuses to open anything for writing; root in a test would be let through."""
    real = os.open

    def refusing(path: str, flags: int, *rest: int, dir_fd: int | None = None) -> int:
        if flags & (os.O_RDWR | os.O_WRONLY):
            raise OSError(code, os.strerror(code))
        return real(path, flags, *rest, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", refusing)


def when_opened(monkeypatch: pytest.MonkeyPatch, file: str, act: Callable[[], object]) -> None:
    """``act`` once, right before this file is opened."""
    real, pending = os.open, [act]

    def acting(path: str, flags: int, *rest: int, dir_fd: int | None = None) -> int:
        if path == file and pending:
            pending.pop()()
        return real(path, flags, *rest, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", acting)


@pytest.mark.parametrize(
    ("code", "mend"), [(errno.EROFS, "read-write"), (errno.EACCES, "as root"), (errno.EPERM, "root")]
)
def test_a_refused_write_is_denied_with_the_value_found_and_what_to_do(
    mount: Path, files: CgroupFiles, monkeypatch: pytest.MonkeyPatch, code: int, mend: str
) -> None:
    cgroup = make(mount, CONTAINER, memory__oom__group="1\n")
    refuse_writing(monkeypatch, code)
    write = files.set_oom_group(cgroup, 0)
    assert (write.outcome, write.before, write.wanted) == (WriteOutcome.DENIED, 1, 0)
    assert os.strerror(code) in write.detail
    assert mend in write.detail


def test_where_nothing_may_be_written_a_right_value_is_right_all_the_same(
    mount: Path, files: CgroupFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    cgroup = make(mount, CONTAINER)
    refuse_writing(monkeypatch, errno.EROFS)
    assert files.set_oom_group(cgroup, 0).outcome is WriteOutcome.ALREADY


def test_a_plan_opens_nothing_for_writing(mount: Path, files: CgroupFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    cgroup = make(mount, CONTAINER, memory__oom__group="1\n")
    refuse_writing(monkeypatch, errno.EROFS)
    assert files.plan_oom_group(cgroup, 0).outcome is WriteOutcome.DRY_RUN


def test_a_value_that_does_not_stay_is_a_conflict(
    mount: Path, files: CgroupFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    cgroup = make(mount, CONTAINER, memory__oom__group="1\n")
    monkeypatch.setattr(os, "pwrite", lambda *_: 2)  # another's 1 comes right after our 0
    write = files.set_oom_group(cgroup, 0)
    assert (write.outcome, write.before) == (WriteOutcome.CONFLICT, 1)
    assert "read 1" in write.detail


def test_a_cgroup_removed_right_before_its_knob_is_opened_is_gone_and_not_unsupported(
    mount: Path, files: CgroupFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    cgroup = make(mount, CONTAINER)
    when_opened(monkeypatch, KNOB, lambda: remove(mount, CONTAINER))
    assert files.set_oom_group(cgroup, 1).outcome is WriteOutcome.GONE


def test_a_cgroup_replaced_right_before_its_knob_is_opened_is_gone_and_the_new_one_untouched(
    mount: Path, files: CgroupFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    cgroup = make(mount, CONTAINER)

    def replace() -> None:
        for file in (mount / CONTAINER).iterdir():
            file.unlink()
        (mount / CONTAINER).rename(mount.parent / "kept")
        make(mount, CONTAINER)

    when_opened(monkeypatch, KNOB, replace)
    assert files.set_oom_group(cgroup, 1).outcome is WriteOutcome.GONE
    assert (mount / CONTAINER / KNOB).read_text() == "0\n"


@pytest.mark.parametrize("file", ["memory.events", "memory.max", "cgroup.events"])
def test_a_cgroup_removed_right_before_a_file_is_read_is_gone_and_no_error(
    mount: Path, files: CgroupFiles, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    cgroup = make(mount, CONTAINER)
    when_opened(monkeypatch, file, lambda: remove(mount, CONTAINER))
    read: dict[str, Callable[[Cgroup], object]] = {
        "memory.events": files.memory_events,
        "memory.max": files.limit_bytes,
        "cgroup.events": files.populated,
    }
    assert read[file](cgroup) is VANISHED


def test_a_file_that_says_enodev_tells_that_the_cgroup_is_gone(
    mount: Path, files: CgroupFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    cgroup = make(mount, CONTAINER)

    def removed(*_: object) -> bytes:
        raise OSError(errno.ENODEV, "No such device")

    monkeypatch.setattr(os, "read", removed)
    monkeypatch.setattr(os, "pread", removed)
    assert files.memory_events(cgroup) is VANISHED
    assert files.set_oom_group(cgroup, 0).outcome is WriteOutcome.GONE


def test_a_cgroup_without_the_memory_controller_is_an_error_that_says_so(mount: Path, files: CgroupFiles) -> None:
    cgroup = make(mount, CONTAINER)
    (mount / CONTAINER / "memory.events").unlink()
    with pytest.raises(
        CgroupError, match=rf"memory.events of cgroup {CONTAINER}: .*memory controller is not enabled"
    ) as e:
        files.memory_events(cgroup)
    assert (e.value.path, e.value.file, e.value.errno) == (CONTAINER, "memory.events", errno.ENOENT)


def test_too_many_open_files_is_an_error_with_its_mend(
    mount: Path, files: CgroupFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    cgroup = make(mount, CONTAINER)

    def full(*_: object, **__: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(CgroupError, match="RLIMIT_NOFILE"):
        files.inode(CONTAINER)
    with pytest.raises(CgroupError, match="RLIMIT_NOFILE"):
        files.children(CONTAINER)
    assert files.set_oom_group(cgroup, 1).outcome is WriteOutcome.UNSUPPORTED


def test_another_file_system_mounted_over_a_cgroup_is_not_it(
    mount: Path, files: CgroupFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    cgroup = make(mount, CONTAINER, memory__oom__group="1\n")
    real = os.fstat

    def elsewhere(fd: int) -> os.stat_result:
        found = list(real(fd))
        found[2] += 1  # st_dev
        return os.stat_result(found)

    monkeypatch.setattr(os, "fstat", elsewhere)
    assert files.set_oom_group(cgroup, 0).outcome is WriteOutcome.GONE
    assert files.limit_bytes(cgroup) is VANISHED


def test_a_threaded_childs_processes_are_counted_with_its_domain(
    mount: Path, files: CgroupFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    cgroup = make(mount, CONTAINER, cgroup__procs="5\n")
    threads = make(mount, f"{CONTAINER}/threads")
    real = os.read

    def read(fd: int, length: int) -> bytes:
        if os.stat(f"/proc/self/fd/{fd}").st_ino == (mount / threads.path / "cgroup.procs").stat().st_ino:
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")
        return real(fd, length)

    monkeypatch.setattr(os, "read", read)
    assert files.pids(cgroup) == (5,)


def test_nesting_without_end_is_followed_only_so_far(mount: Path, files: CgroupFiles) -> None:
    cgroup = make(mount, CONTAINER, cgroup__procs="1\n")
    at = mount / CONTAINER
    for level in range(40):
        at /= "d"
        at.mkdir()
        (at / "cgroup.procs").write_text(f"{level + 2}\n")
    assert files.pids(cgroup) == tuple(range(1, 34)), "itself and 32 levels"


def test_v1_counters_of_a_container_are_those_of_all_below_it(mount: Path, v1_files: CgroupFiles) -> None:
    cgroup = make(mount, CONTAINER, memory__oom_control="oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
    make(mount, f"{CONTAINER}/docker/x", memory__oom_control="oom_kill_disable 0\nunder_oom 1\noom_kill 3\n")
    assert v1_files.memory_events(cgroup) == MemoryEvents(oom_kill=5)


def test_v1_is_populated_by_processes_that_we_cannot_see(mount: Path, v1_files: CgroupFiles) -> None:
    cgroup = make(mount, CONTAINER)
    assert v1_files.populated(cgroup) is False
    make(mount, f"{CONTAINER}/inner", cgroup__procs="0\n")
    assert v1_files.populated(cgroup) is True
    assert v1_files.pids(cgroup) == (0,)


@pytest.mark.parametrize("left", ["cpu memory\n", None], ids=["memory's files gone", "its own gone too"])
def test_a_cgroup_whose_files_are_gone_before_its_directory_is_gone(
    mount: Path, files: CgroupFiles, left: str | None
) -> None:
    """What rmdir(2) leaves for a moment."""
    cgroup = make(mount, CONTAINER)
    for file in (mount / CONTAINER).glob("memory.*" if left else "*"):
        file.unlink()
    assert files.memory_events(cgroup) is VANISHED
    assert files.read_oom_group(cgroup) is VANISHED
    assert files.set_oom_group(cgroup, 1).outcome is WriteOutcome.GONE


def test_v1_has_nothing_to_write(mount: Path, v1_files: CgroupFiles) -> None:
    cgroup = make(mount, CONTAINER, memory__usage_in_bytes="0\n")
    (mount / CONTAINER / KNOB).unlink()
    for write in (v1_files.set_oom_group(cgroup, 1), v1_files.plan_oom_group(cgroup, 1)):
        assert write.outcome is WriteOutcome.UNSUPPORTED
        assert "v1" in write.detail


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_no_descriptor_is_left_open_whatever_happens(mount: Path, version: str) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(NotACgroupMountError):
        CgroupFiles(mount, version)
    files = CgroupFiles(mount, version, check_magic=False)
    cgroup = make(mount, CONTAINER)
    files.set_oom_group(cgroup, 1)
    files.pids(cgroup)
    remove(mount, CONTAINER)
    files.set_oom_group(cgroup, 0)
    files.inode(f"{CONTAINER}/x")
    files.close()
    assert len(os.listdir("/proc/self/fd")) == before
