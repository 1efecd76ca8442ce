"""PSI: what its files say, and triggers that are opened, signalled and closed; with a selector that only writes down."""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.cgroup import psi as psi_module
from agent.cgroup.files import CgroupFiles
from agent.cgroup.psi import STALLED, Psi, has_psi, stalled_us, unprivileged
from tests.unit.cgroup.fakes import CONTAINER, make, remove
from tests.unit.profiles import examples

TEXT = "some avg10=1.00 avg60=0.20 avg300=0.00 total=1234\nfull avg10=0.50 avg60=0.10 avg300=0.00 total=567\n"


class Selector:
    def __init__(self) -> None:
        self.registered: dict[int, int] = {}

    def register(self, descriptor: int, mask: int) -> None:
        self.registered[descriptor] = mask

    def unregister(self, descriptor: int) -> None:
        del self.registered[descriptor]


class Rig:
    def __init__(self, tmp_path: Path) -> None:
        self.mount = tmp_path / "mount"
        self.mount.mkdir()
        self.cgroup = make(self.mount, CONTAINER, memory__pressure=TEXT)
        self.file = self.mount / CONTAINER / "memory.pressure"
        self.files = CgroupFiles(self.mount, "v2", check_magic=False)
        self.selector, self.trouble = Selector(), list[str]()
        self.psi = Psi(self.files, self.selector, self.trouble.append)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    rig.psi.close()
    rig.files.close()


def test_the_time_that_all_stalled_is_read_in_microseconds(rig: Rig) -> None:
    assert rig.psi.stalled_us(rig.cgroup) == 567


@pytest.mark.parametrize(
    "text", ["", "some avg10=0.00 total=5\n", "full\n", "full total=\n", "full avg10=0.00 total=x\n"]
)
def test_a_file_without_it_says_nothing(text: str) -> None:
    assert stalled_us(text) is None


@examples(200)
@given(st.text())
def test_any_text_is_borne(text: str) -> None:
    found = stalled_us(text)
    assert found is None or found >= 0


def test_a_cgroup_without_the_file_or_that_is_gone_has_none(rig: Rig) -> None:
    rig.file.unlink()
    assert rig.psi.stalled_us(rig.cgroup) is None
    assert rig.psi.watch(rig.cgroup) is False
    remove(rig.mount, CONTAINER)
    assert rig.psi.stalled_us(rig.cgroup) is None
    assert rig.psi.watch(rig.cgroup) is False
    assert rig.trouble == []


def test_a_trigger_is_the_line_and_its_descriptor_is_waited_for(rig: Rig) -> None:
    assert rig.psi.watch(rig.cgroup)
    assert rig.file.read_bytes().startswith(STALLED)
    assert list(rig.selector.registered.values()) == [select.EPOLLPRI | select.EPOLLERR]
    assert rig.psi.watch(rig.cgroup), "a second time does nothing"
    assert len(rig.selector.registered) == len(rig.psi) == 1


def test_the_window_is_one_that_needs_no_privilege() -> None:
    """A multiple of 2 s (kernel/sched/psi.c, psi_trigger_create)."""
    kind, threshold_us, window_us = STALLED.rstrip(b"\0").split()
    assert kind == b"full"
    assert int(window_us) % 2_000_000 == 0
    assert 0 < int(threshold_us) < int(window_us)


def test_a_signal_names_its_cgroup_and_others_descriptors_nobody(rig: Rig) -> None:
    rig.psi.watch(rig.cgroup)
    (descriptor,) = rig.selector.registered
    assert rig.psi.signalled({descriptor: select.EPOLLPRI, descriptor + 1000: select.EPOLLPRI}) == [rig.cgroup]
    assert rig.psi.signalled({}) == []


def test_a_removed_cgroup_is_dropped_at_once_since_it_would_be_ready_for_ever(rig: Rig) -> None:
    rig.psi.watch(rig.cgroup)
    (descriptor,) = rig.selector.registered
    assert rig.psi.signalled({descriptor: select.EPOLLPRI | select.EPOLLERR}) == []
    assert rig.selector.registered == {}
    assert len(rig.psi) == 0


def test_what_is_not_watched_any_more_is_closed(rig: Rig) -> None:
    rig.psi.watch(rig.cgroup)
    (descriptor,) = rig.selector.registered
    rig.psi.unwatch(rig.cgroup)
    rig.psi.unwatch(rig.cgroup)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_where_writing_is_refused_that_is_said_once_and_readings_go_on(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_cgroup: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(rig.psi, "_open", refuse)
    assert not rig.psi.watch(rig.cgroup)
    assert not rig.psi.watch(rig.cgroup)
    (said,) = rig.trouble
    assert "only noticed when a container reaches its limit" in said
    assert rig.psi.stalled_us(rig.cgroup) == 567


@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.EINVAL, errno.EMFILE])
def test_psi_that_is_switched_off_for_a_cgroup_is_no_trouble(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(_cgroup: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(rig.psi, "_open", refuse)
    assert not rig.psi.watch(rig.cgroup)
    assert rig.trouble == []


@pytest.mark.parametrize("code", [errno.EAGAIN, errno.EIO])
def test_a_trigger_that_the_kernel_refuses_for_another_reason_is_said_once_and_tried_again(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """EAGAIN: in Linux 5.2 to 6.4 the first trigger of a cgroup makes a thread, and the node has none left."""

    def refuse(_cgroup: object) -> int:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(rig.psi, "_open", refuse)
        assert not rig.psi.watch(rig.cgroup)
        assert not rig.psi.watch(rig.cgroup)
    (said,) = rig.trouble
    assert os.strerror(code) in said
    assert "is tried again" in said
    assert rig.psi.watch(rig.cgroup)
    assert len(rig.psi) == 1


def test_a_trigger_that_cannot_be_waited_for_is_closed_and_tried_again(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = list[int]()

    def full(descriptor: int, _mask: int) -> None:
        given.append(descriptor)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(rig.selector, "register", full)
        assert not rig.psi.watch(rig.cgroup)
    assert len(rig.psi) == 0
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(given[0])
    assert rig.psi.watch(rig.cgroup)


def test_a_link_in_the_place_of_the_file_is_not_followed_and_said(rig: Rig) -> None:
    target = rig.mount / "target"
    target.write_text("untouched")
    rig.file.unlink()
    rig.file.symlink_to(target)
    assert not rig.psi.watch(rig.cgroup)
    assert "it is a link" in " ".join(rig.trouble)
    assert target.read_text() == "untouched"


def test_the_kernel_has_psi_where_it_has_the_directory(tmp_path: Path) -> None:
    assert not has_psi(tmp_path)
    (tmp_path / "pressure").mkdir()
    (tmp_path / "pressure" / "memory").touch()
    assert has_psi(tmp_path)


def test_the_capability_is_out_of_force_only_meanwhile() -> None:
    def effective() -> int:
        status = Path("/proc/thread-self/status").read_text()
        return int(status.partition("CapEff:")[2].split()[0], 16)

    before = effective()
    with unprivileged():
        assert effective() == before & ~psi_module.CAP_SYS_RESOURCE
    assert effective() == before
