"""The proof writes 1 and 0 into an empty cgroup of its own, touches nothing else, and leaves nothing behind."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from agent.cgroup import proof
from agent.cgroup.errors import NotACgroupMountError
from agent.cgroup.proof import prove_oom_group
from agent.model import OomGroupWrite, WriteOutcome
from tests.unit.cgroup.fakes import CONTAINER, make

Make = Callable[[int, str], None]


@pytest.fixture
def own(mount: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cgroup of the proof: a directory whose knob is there when it appears, and goes with it, as the kernel has it."""
    own = mount / f"oomward-check-{os.getpid()}"

    def made(top: int, name: str) -> None:
        (mount / name).mkdir()
        (mount / name / "memory.oom.group").write_text("0\n")

    monkeypatch.setattr(proof, "_make", made)
    monkeypatch.setattr(proof, "_remove", lambda top, name: shutil.rmtree(mount / name))
    (mount / "cgroup.subtree_control").write_text("cpu memory\n")
    return own


def refuse(code: int) -> NoReturn:
    raise OSError(code, os.strerror(code))


def test_a_knob_that_takes_both_values_is_proved(mount: Path, own: Path) -> None:
    assert prove_oom_group(mount, check_magic=False) == OomGroupWrite(WriteOutcome.WRITTEN, 0, 0)
    assert not own.exists()


def test_both_values_are_written_and_read_back_in_turn(mount: Path, own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []
    real = os.pwrite

    def noted(fd: int, data: bytes, at: int) -> int:
        written.append(data)
        return real(fd, data, at)

    monkeypatch.setattr(os, "pwrite", noted)
    prove_oom_group(mount, check_magic=False)
    assert written == [b"1\n", b"0\n"]


def test_containers_are_not_touched(mount: Path, own: Path) -> None:
    container = make(mount, CONTAINER, memory__oom__group="1\n")
    before = (mount / container.path / "memory.oom.group").stat().st_mtime_ns
    prove_oom_group(mount, check_magic=False)
    assert (mount / container.path / "memory.oom.group").stat().st_mtime_ns == before


def test_what_a_killed_check_left_behind_is_used_and_removed(mount: Path, own: Path) -> None:
    own.mkdir()
    (own / "memory.oom.group").write_text("1\n")
    assert prove_oom_group(mount, check_magic=False) == OomGroupWrite(WriteOutcome.WRITTEN, 1, 0)
    assert not own.exists()


@pytest.mark.parametrize(
    ("code", "outcome", "words"),
    [
        (errno.EROFS, WriteOutcome.DENIED, "Read-only file system; mount the host's /sys/fs/cgroup read-write"),
        (errno.EACCES, WriteOutcome.DENIED, "run as root"),
        (errno.EAGAIN, WriteOutcome.UNSUPPORTED, "cgroup.max.descendants"),
        (errno.EIO, WriteOutcome.UNSUPPORTED, "Input/output error"),
    ],
)
def test_a_cgroup_that_can_not_be_made_is_told_with_what_to_do(
    code: int, outcome: WriteOutcome, words: str, mount: Path, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proof, "_make", lambda top, name: refuse(code))
    monkeypatch.setattr(
        proof, "_remove", lambda top, name: refuse(code)
    )  # a read-only mount refuses what isn't there, too
    found = prove_oom_group(mount, check_magic=False)
    assert (found.outcome, words in found.detail) == (outcome, True)
    assert "rmdir" not in found.detail, "nothing was made"


def test_a_write_that_is_refused_leaves_nothing_behind(mount: Path, own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: refuse(errno.EPERM))
    assert prove_oom_group(mount, check_magic=False).outcome is WriteOutcome.DENIED
    assert not own.exists()


def test_a_value_that_does_not_stay_is_a_conflict(mount: Path, own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: len(data))
    found = prove_oom_group(mount, check_magic=False)
    assert (found.outcome, found.wanted) == (WriteOutcome.CONFLICT, 1)
    assert found.detail == "it read 0 right after 1 was written"
    assert not own.exists()


@pytest.mark.parametrize(
    ("handed", "words"),
    [
        ("cpu pids\n", "doesn't hand the memory controller down (cgroup.subtree_control: cpu pids)"),
        ("\n", "(cgroup.subtree_control: empty)"),
        ("cpu memory\n", "it came with Linux 4.19"),
    ],
)
def test_without_the_file_the_reason_is_found(
    handed: str, words: str, mount: Path, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (mount / "cgroup.subtree_control").write_text(handed)
    monkeypatch.setattr(proof, "_make", lambda top, name: (mount / name).mkdir())
    found = prove_oom_group(mount, check_magic=False)
    assert (found.outcome, words in found.detail) == (WriteOutcome.UNSUPPORTED, True)
    assert not own.exists()


def test_a_cgroup_that_can_not_be_removed_is_named(mount: Path, own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "_remove", lambda top, name: refuse(errno.EBUSY))
    found = prove_oom_group(mount, check_magic=False)
    assert found.outcome is WriteOutcome.WRITTEN
    assert f"{own.name} at the mount's top could not be removed" in found.detail


def test_a_link_in_its_place_is_not_followed(mount: Path, own: Path) -> None:
    victim = make(mount, CONTAINER, memory__oom__group="1\n")
    own.symlink_to(mount / victim.path)
    found = prove_oom_group(mount, check_magic=False)
    assert found.outcome is WriteOutcome.UNSUPPORTED
    assert (mount / victim.path / "memory.oom.group").read_text() == "1\n"


def test_a_directory_is_really_made_and_removed(mount: Path) -> None:
    (mount / "cgroup.subtree_control").write_text("memory\n")
    assert prove_oom_group(mount, check_magic=False).outcome is WriteOutcome.UNSUPPORTED
    assert [path.name for path in mount.iterdir()] == ["cgroup.subtree_control"]


def test_an_ordinary_directory_is_no_mount_to_prove_anything_on(mount: Path, own: Path) -> None:
    with pytest.raises(NotACgroupMountError):
        prove_oom_group(mount)
    assert not own.exists()
