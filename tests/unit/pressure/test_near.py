"""Containers near their limit are found at the loop's one wake-up: what leaks slowly is seen before it is killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.cgroup.files import CgroupFiles
from agent.cgroup.layout import classify
from agent.model import Cgroup
from agent.pressure.near import MOST_ASKED, MOST_AT_ONCE, READ_AGAIN, NearLimit
from tests.unit.cgroup.fakes import make

POD = "kubepods/pod11111111-2222-3333-4444-555555555555"
MIB = 1 << 20


class Node:
    def __init__(self, mount: Path) -> None:
        self.mount = mount
        mount.mkdir()
        self.cgroups: list[Cgroup] = []
        self.near: list[str] = []
        self.check = NearLimit(
            CgroupFiles(mount, "v2", check_magic=False), lambda cgroup, _: self.near.append(cgroup.path)
        )

    def add(self, path: str, usage_mib: int, limit_mib: int | None) -> Cgroup:
        make(self.mount, path)
        self.set(path, usage_mib, limit_mib)
        cgroup = Cgroup(classify(path), (self.mount / path).stat().st_ino)
        self.cgroups.append(cgroup)
        return cgroup

    def set(self, path: str, usage_mib: int, limit_mib: int | None) -> None:
        (self.mount / path / "memory.current").write_text(f"{usage_mib * MIB}\n")
        (self.mount / path / "memory.max").write_text("max\n" if limit_mib is None else f"{limit_mib * MIB}\n")

    def wake(self, now_s: float = 0.0) -> list[str]:
        self.near.clear()
        self.check.check(self.cgroups, now_s, lambda: None)
        return self.near


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path / "mount")


def test_a_container_above_three_quarters_of_its_limit_is_near_it(node: Node) -> None:
    for number, (usage, limit) in enumerate(((74, 100), (75, 100), (99, 100), (500, None))):
        node.add(f"{POD}/{number:064x}", usage, limit)
    assert node.wake() == [f"{POD}/{1:064x}", f"{POD}/{2:064x}"]


def test_a_pod_near_its_own_limit_is_near_too(node: Node) -> None:
    node.add(POD, 90, 100)
    node.add(f"{POD}/{1:064x}", 90, None)
    assert node.wake() == [POD]


def test_a_limit_that_was_raised_counts_at_once_and_one_that_was_lowered_in_a_while(node: Node) -> None:
    path = node.add(f"{POD}/{1:064x}", 50, 100).path
    assert not node.wake()
    node.set(path, 90, 200)
    assert not node.wake()
    node.set(path, 90, 100)
    assert any(node.wake() for _ in range(READ_AGAIN + 1))


def test_of_very_many_those_that_waited_longest_come_first(node: Node) -> None:
    for number in range(3 * MOST_AT_ONCE):
        node.add(f"{POD}/{number:064x}", 90, 100)
    seen = [path for now_s in (1.0, 41.0, 81.0) for path in node.wake(now_s)]
    assert len(seen) == len(set(seen)) == 3 * MOST_AT_ONCE


def test_a_cgroup_that_was_removed_is_none(node: Node) -> None:
    gone = node.add(f"{POD}/{1:064x}", 90, 100)
    node.cgroups = [Cgroup(gone.place, 1)]
    assert not node.wake()
    node.check.gone(gone)


def test_no_wake_up_asks_more_than_its_share_and_the_others_have_their_turn(node: Node) -> None:
    for number in range(2 * MOST_ASKED + 10):
        node.add(f"{POD}/{number:064x}", 10, 100)
    last = f"{POD}/{2 * MOST_ASKED + 9:064x}"
    node.set(last, 90, 100)
    assert [list(node.wake()) for _ in range(3)] == [[], [], [last]]
