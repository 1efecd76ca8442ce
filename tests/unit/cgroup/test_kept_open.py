"""Directories that stay open: fewer system calls, and as safe as the walk from the mount."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.cgroup.files import CgroupFiles
from agent.cgroup.tree import Tree
from agent.model import VANISHED, Cgroup, MemoryEvents, WriteOutcome
from tests.unit.cgroup.fakes import CONTAINER, POD, make, remove

KNOB = "memory.oom.group"


def descriptors() -> dict[str, str]:
    """Open descriptors of this process and what they are of."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[name] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            continue  # that of the listing itself
    return found


@pytest.fixture
def kept(mount: Path, files: CgroupFiles) -> Cgroup:
    """A container that is kept open, and was asked for once."""
    cgroup = make(mount, CONTAINER, memory__oom__group="1\n")
    files.keep_open(cgroup)
    assert files.limit_bytes(cgroup) is None
    return cgroup


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files and directories that are opened."""
    real, names = os.open, list[str]()

    def noting(path: str, flags: int, *rest: int, dir_fd: int | None = None) -> int:
        names.append(path)
        return real(path, flags, *rest, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", noting)
    return names


def test_a_file_of_a_kept_cgroup_is_opened_without_a_walk(files: CgroupFiles, kept: Cgroup, opened: list[str]) -> None:
    files.limit_bytes(kept)
    assert opened == ["memory.max"]


def test_own_hits_are_read_again_only_when_the_hits_have_changed(
    mount: Path, files: CgroupFiles, kept: Cgroup, opened: list[str]
) -> None:
    assert files.memory_events(kept) == MemoryEvents(0, 0, 0, 0)
    (mount / CONTAINER / "memory.events").write_text("oom 0\noom_kill 1\noom_group_kill 0\n")
    assert files.memory_events(kept) == MemoryEvents(1, 0, 0, 0)
    assert opened == ["memory.events", "memory.events.local", "memory.events"]
    (mount / CONTAINER / "memory.events").write_text("oom 2\noom_kill 1\noom_group_kill 0\n")
    (mount / CONTAINER / "memory.events.local").write_text("oom 1\n")
    assert files.memory_events(kept) == MemoryEvents(1, 2, 0, 1)


def test_a_kept_cgroup_that_was_removed_is_gone_and_one_made_at_its_path_is_not_touched(
    mount: Path, files: CgroupFiles, kept: Cgroup
) -> None:
    remove(mount, CONTAINER)
    assert files.memory_events(kept) is VANISHED
    make(mount, CONTAINER, memory__oom__group="1\n")
    assert files.memory_events(kept) is VANISHED
    assert files.set_oom_group(kept, 0).outcome is WriteOutcome.GONE
    assert (mount / CONTAINER / KNOB).read_text() == "1\n"


def test_a_link_in_the_knobs_place_is_not_followed_from_a_kept_directory(
    mount: Path, files: CgroupFiles, kept: Cgroup, tmp_path: Path
) -> None:
    victim = tmp_path / "shadow"
    victim.write_text("1")
    (mount / CONTAINER / KNOB).unlink()
    (mount / CONTAINER / KNOB).symlink_to(victim)
    assert files.set_oom_group(kept, 0).outcome is WriteOutcome.UNSUPPORTED
    assert victim.read_text() == "1"


def test_a_link_in_a_directorys_place_is_not_kept(mount: Path, files: CgroupFiles, tmp_path: Path) -> None:
    make(mount, POD)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / KNOB).write_text("1")
    (mount / CONTAINER).symlink_to(elsewhere)
    cgroup = Cgroup(make(mount, POD).place, elsewhere.stat().st_ino)
    files.keep_open(cgroup)
    assert files.read_oom_group(cgroup) is VANISHED
    assert str(elsewhere) not in descriptors().values()


def test_a_pods_cgroup_that_is_kept_is_not_written_all_the_same(mount: Path, files: CgroupFiles) -> None:
    pod = make(mount, POD)
    files.keep_open(pod)
    files.limit_bytes(pod)
    with pytest.raises(ValueError, match="not ours to write"):
        files.set_oom_group(pod, 1)


def test_no_kept_descriptor_reaches_a_program_that_is_started(mount: Path, kept: Cgroup) -> None:
    (fd,) = [fd for fd, path in descriptors().items() if path == str(mount / kept.path)]
    assert not os.get_inheritable(int(fd))


@pytest.fixture
def half() -> Iterator[int]:
    """Half of a limit of open files that is low, and leaves as much room again beside what this process has open."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    half = max(map(int, descriptors())) + 20
    resource.setrlimit(resource.RLIMIT_NOFILE, (2 * half, before[1]))
    yield half
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_where_the_limit_of_open_files_is_low_half_of_it_is_used_and_the_rest_is_walked_to(
    mount: Path, half: int
) -> None:
    files = CgroupFiles(mount, "v2", check_magic=False)
    before = len(descriptors())
    cgroups = [make(mount, f"{POD}/{number:064x}") for number in range(half + 20)]
    for cgroup in cgroups:
        files.keep_open(cgroup)
    for _ in range(2):
        assert {files.memory_events(cgroup) for cgroup in cgroups} == {MemoryEvents(0, 0, 0, 0)}
    assert len(descriptors()) == before + half
    files.let_go(cgroups[0])
    assert isinstance(files.memory_events(cgroups[-1]), MemoryEvents)
    assert len(descriptors()) == before + half, "whoever comes first takes the place"
    files.close()
    assert len(descriptors()) == before - 1, "the mount's own is closed too"


def test_a_thousand_cgroups_that_come_and_go_leave_no_descriptor_behind(mount: Path, files: CgroupFiles) -> None:
    make(mount, POD)
    tree = Tree(files)
    tree.scan(0.0)
    before = len(descriptors())
    for number in range(1000):
        path = f"{POD}/{number:064x}"
        cgroup = make(mount, path)
        tree.read(1.0)
        assert files.set_oom_group(tree.cgroups[path], 1).outcome is WriteOutcome.WRITTEN
        assert isinstance(files.memory_events(cgroup), MemoryEvents)
        remove(mount, path)
        if number % 10 == 0:
            tree.scan(2.0)
        tree.read(2.0)
    assert len(descriptors()) == before
    tree.close()


def test_processes_and_children_are_read_in_one_walk(mount: Path, files: CgroupFiles, opened: list[str]) -> None:
    cgroup = make(mount, CONTAINER, cgroup__procs="7\n")
    make(mount, f"{CONTAINER}/a", cgroup__procs="8\n")
    make(mount, f"{CONTAINER}/a/b", cgroup__procs="9\n")
    opened.clear()
    assert files.pids(cgroup) == (7, 8, 9)
    assert [opened.count(name) for name in (CONTAINER.rpartition("/")[2], "cgroup.procs")] == [5, 3]


def test_a_directory_without_children_is_not_listed(
    mount: Path, files: CgroupFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    cgroup = make(mount, CONTAINER, cgroup__procs="7\n")
    links = (mount / CONTAINER).stat().st_nlink
    assert links == 2, "this file system counts no links of directories, as cgroupfs does: set TMPDIR to one that does"
    monkeypatch.delattr(os, "scandir")
    assert files.pids(cgroup) == (7,)
