"""Files of another thread, which use the directories that the loop's keep open."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.cgroup.files import CgroupFiles
from agent.model import VANISHED, Cgroup
from tests.unit.cgroup.fakes import CONTAINER, POD, make, remove
from tests.unit.cgroup.test_kept_open import descriptors, kept, opened

__all__ = ["kept", "opened"]


@pytest.fixture
def beside(mount: Path, files: CgroupFiles, kept: Cgroup) -> Iterator[CgroupFiles]:
    (mount / kept.path / "cgroup.procs").write_text("5\n6\n")
    found = CgroupFiles(mount, "v2", check_magic=False, beside=files)
    yield found
    found.close()


def test_a_cgroup_that_is_kept_open_is_not_walked_to(beside: CgroupFiles, kept: Cgroup, opened: list[str]) -> None:
    before = descriptors()
    assert beside.pids(kept) == (5, 6)
    assert opened == ["cgroup.procs"]
    assert descriptors() == before, "the copy is closed again"


def test_what_is_not_kept_open_is_walked_to(mount: Path, beside: CgroupFiles, opened: list[str]) -> None:
    other = make(mount, f"{POD}/{'b' * 64}", cgroup__procs="7\n")
    opened.clear()
    assert beside.pids(other) == (7,)
    assert opened == [*other.path.split("/"), "cgroup.procs"]


def test_a_removed_cgroup_is_not_another_one_at_its_path(
    mount: Path, files: CgroupFiles, beside: CgroupFiles, kept: Cgroup
) -> None:
    remove(mount, kept.path)
    new = make(mount, CONTAINER, cgroup__procs="8\n")
    files.let_go(kept)
    assert beside.pids(kept) is VANISHED
    assert beside.pids(new) == (8,)


@pytest.mark.parametrize("reused", [False, True])
def test_a_directory_that_the_other_thread_closes_meanwhile_is_walked_to(
    mount: Path, beside: CgroupFiles, kept: Cgroup, monkeypatch: pytest.MonkeyPatch, reused: bool
) -> None:
    """The number of a descriptor that was closed may be another file's at once."""
    real, before = os.dup, descriptors()
    (number,) = [int(fd) for fd, path in before.items() if path == str(mount / kept.path)]

    def dup(fd: int) -> int:
        if fd != number:
            return real(fd)
        if reused:
            return os.open(mount, os.O_RDONLY)
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    monkeypatch.setattr(os, "dup", dup)
    assert beside.pids(kept) == (5, 6)
    assert descriptors() == before
