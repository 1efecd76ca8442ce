"""A reading is used again for a second: a storm of kills in one cgroup reads its files once per second, and what is kept is bounded."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.cgroup.errors import CgroupError
from agent.cgroup.files import CgroupFiles
from agent.cgroup.layout import classify
from agent.model import Cgroup, ContainerKind, MemoryUse, Pod, PodContainer
from agent.pods import lookup as lookup_module
from agent.pods.lookup import Lookup
from agent.pods.recent import Recent
from agent.pods.registry import Registry
from tests.unit.cgroup.fakes import CONTAINER, POD, make, remove

MIB = 1 << 20
UID = "1b4e28ba-2fa1-11d2-883f-0016d3cca427"
OTHER = f"{POD}/{'b' * 64}"


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_path_is_read_again_after_a_second_and_not_before() -> None:
    clock, reads = Clock(), list[str]()
    recent = Recent[int](1.0, 10, clock)

    def read(path: str) -> int:
        reads.append(path)
        return len(reads)

    assert [recent.get("a", read), recent.get("a", read), recent.get("b", read)] == [1, 1, 2]
    clock.now += 0.99
    assert recent.get("a", read) == 1
    clock.now += 0.02
    assert (recent.get("a", read), reads) == (3, ["a", "b", "a"])


def test_no_more_than_so_many_are_kept() -> None:
    recent, reads = Recent[None](1.0, 3, Clock()), list[str]()
    for path in "abcda":
        recent.get(path, reads.append)
    assert (reads, len(recent._found)) == (list("abcda"), 3)


class Live:
    def __init__(self, *cgroups: Cgroup) -> None:
        self.cgroups = {each.path: each for each in cgroups}

    def containers(self, pod_key: str | None) -> list[Cgroup]:
        return [each for each in self.cgroups.values() if each.place.pod_key == pod_key and each.place.container_id]


class World:
    def __init__(self, mount: Path, *cgroups: Cgroup) -> None:
        self.errors: list[CgroupError] = []
        registry = Registry()
        containers = tuple(
            PodContainer(name, ContainerKind.REGULAR, container_id=name[0] * 64) for name in ("app", "blob")
        )
        registry.put(Pod(UID, "shop", "web", "node-1", containers=containers), 0.0)
        self.files = CgroupFiles(mount, "v2", check_magic=False)
        self.lookup = Lookup(self.files, registry, Live(*cgroups), {}, self.errors.append)


def test_the_memory_of_a_live_cgroup_is_read_by_kind_and_of_a_removed_one_it_is_not_known(tmp_path: Path) -> None:
    mount = tmp_path / "mount"
    mount.mkdir()
    world = World(mount, make(mount, CONTAINER, memory__stat=f"anon {MIB}\nfile 7\n"))
    use = world.lookup.memory_use(CONTAINER)
    assert use == MemoryUse(anon=MIB, file=7, swap=0, by_report=False)
    assert world.lookup.memory_use(OTHER) is None
    remove(mount, CONTAINER)
    assert world.lookup.memory_use(CONTAINER) == use, "a second has not passed"
    world.lookup._uses._found.clear()
    assert world.lookup.memory_use(CONTAINER) is None
    assert world.errors == []


def test_a_pods_containers_are_named_with_their_memory_its_sandbox_has_no_name(tmp_path: Path) -> None:
    mount = tmp_path / "mount"
    mount.mkdir()
    sandbox = make(mount, f"{POD}/{'0' * 64}", memory__current="3\n")
    cgroups = make(mount, CONTAINER, memory__current="1\n"), make(mount, OTHER, memory__current="2\n")
    found = World(mount, sandbox, *cgroups).lookup.containers_use(POD)
    assert sorted((one.usage_bytes, one.name) for one in found) == [(1, "app"), (2, "blob"), (3, None)]


def test_of_a_pod_with_very_many_containers_none_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup_module, "MOST_SIBLINGS", 1)
    cgroups = [Cgroup(classify(path), 5) for path in (CONTAINER, OTHER)]
    assert World(tmp_path, *cgroups).lookup.containers_use(POD) == ()
