"""v1 notifications with real eventfds and an ordinary directory in a cgroup's place (tests/kernel_v1 has a real kernel)."""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from agent.kernel.v1events import V1Events, V1EventsUnavailableError


@pytest.fixture
def events() -> Iterator[V1Events]:
    events = V1Events()
    yield events
    events.close()


def cgroup(parent: Path, name: str) -> Path:
    directory = parent / name
    directory.mkdir()
    (directory / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 0\n")
    (directory / "cgroup.event_control").touch()
    return directory


def fire(directory: Path) -> None:
    """As the kernel would: by the eventfd that was registered."""
    os.eventfd_write(int((directory / "cgroup.event_control").read_text().split()[0]), 1)


def is_readable(events: V1Events) -> bool:
    return bool(select.select([events.fileno()], [], [], 0)[0])


def test_only_those_that_fired_are_told_once(tmp_path: Path, events: V1Events) -> None:
    one, two = cgroup(tmp_path, "one"), cgroup(tmp_path, "two")
    assert events.register(one)
    assert events.register(two)
    assert not is_readable(events)
    fire(two)
    fire(two)
    assert is_readable(events)
    assert events.read() == [two]
    assert events.read() == []
    assert not is_readable(events)


def test_many_at_once_are_all_told(tmp_path: Path, events: V1Events) -> None:
    all_of_them = {cgroup(tmp_path, str(i)) for i in range(40)}
    for directory in all_of_them:
        events.register(directory)
        fire(directory)
    assert set(events.read()) == all_of_them


def test_a_cgroup_that_is_gone_is_no_error(tmp_path: Path, events: V1Events) -> None:
    assert not events.register(tmp_path / "gone")


def test_registering_twice_asks_once(tmp_path: Path, events: V1Events) -> None:
    one = cgroup(tmp_path, "one")
    assert events.register(one)
    asked = (one / "cgroup.event_control").read_text()
    assert events.register(one)
    assert (one / "cgroup.event_control").read_text() == asked


def test_one_that_cannot_be_waited_for_is_an_error_that_says_so_and_leaves_nothing(
    tmp_path: Path, events: V1Events
) -> None:
    """As with more descriptors than fs.epoll.max_user_watches allows."""

    class Full:
        def register(self, *_: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    one, real = cgroup(tmp_path, "one"), events._epoll
    before = len(os.listdir("/proc/self/fd"))
    events._epoll = cast(select.epoll, Full())
    with pytest.raises(V1EventsUnavailableError, match="No space left"):
        events.register(one)
    assert len(os.listdir("/proc/self/fd")) == before
    events._epoll = real
    assert events.register(one)


def test_after_unregister_nothing_is_told_and_no_descriptor_stays(tmp_path: Path, events: V1Events) -> None:
    one = cgroup(tmp_path, "one")
    before = len(os.listdir("/proc/self/fd"))
    events.register(one)
    fire(one)
    events.unregister(one)
    events.unregister(one)
    assert events.read() == []
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_link_in_the_cgroups_place_is_not_followed(tmp_path: Path, events: V1Events) -> None:
    link = tmp_path / "link"
    link.symlink_to(cgroup(tmp_path, "one"))
    assert not events.register(link)
    assert (tmp_path / "one" / "cgroup.event_control").read_text() == ""


def test_a_link_in_the_control_files_place_is_refused(tmp_path: Path, events: V1Events) -> None:
    one = cgroup(tmp_path, "one")
    target = tmp_path / "target"
    target.touch()
    (one / "cgroup.event_control").unlink()
    (one / "cgroup.event_control").symlink_to(target)
    with pytest.raises(V1EventsUnavailableError, match=r"cgroup\.event_control of .*one: .*; run as root"):
        events.register(one)
    assert target.read_text() == ""


def test_closing_twice_is_fine(tmp_path: Path) -> None:
    events = V1Events()
    events.register(cgroup(tmp_path, "one"))
    events.close()
    events.close()


def test_without_a_free_descriptor_the_cgroup_is_named_as_any_that_can_not_be_followed(
    tmp_path: Path, events: V1Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_initial: int, _flags: int) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "eventfd", refused)
    with pytest.raises(V1EventsUnavailableError, match="Too many open files"):
        events.register(cgroup(tmp_path, "one"))
