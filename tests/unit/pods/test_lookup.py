"""What is remembered of removed and ended containers is shared by the pods: nobody's very many push out another's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from agent.cgroup.files import CgroupFiles
from agent.cgroup.layout import classify
from agent.kernel.processes import ProcessIdentity
from agent.model import Cgroup, ContainerKind, Identity, Pod, PodContainer
from agent.pods import lookup as lookup_module
from agent.pods.lookup import MANY, Lookup
from agent.pods.registry import Registry


class Living:
    def __init__(self, cgroups: dict[str, Cgroup]) -> None:
        self.cgroups = cgroups

    def containers(self, pod_key: str | None) -> list[Cgroup]:
        return [each for each in self.cgroups.values() if each.place.pod_key == pod_key]


def cgroup(pod: int, container: int) -> Cgroup:
    uid = f"{pod:08d}-1111-2222-3333-444444444444"
    return Cgroup(classify(f"kubepods/pod{uid}/{container:064x}"), pod * 10_000 + container)


@pytest.fixture
def lookup(monkeypatch: pytest.MonkeyPatch) -> Lookup:
    monkeypatch.setattr(lookup_module, "MOST_ENDED", 10)
    monkeypatch.setattr(lookup_module, "MOST_LIMITS", 10)
    files = SimpleNamespace(is_whole=True, populated=lambda _: True, limit_bytes=lambda of: of.inode)
    cgroups = {each.path: each for each in [cgroup(1, 1), *(cgroup(2, number) for number in range(50))]}
    return Lookup(cast(CgroupFiles, files), Registry(), Living(cgroups), {}, lambda _: None)


def test_that_the_agent_ended_a_container_is_known_however_many_of_another_pod_it_ends(lookup: Lookup) -> None:
    lookup.ending(cgroup(1, 1))
    for number in range(50):
        lookup.ending(cgroup(2, number))
    assert lookup.ended_by_agent(cgroup(1, 1).inode) is True
    assert [lookup.ended_by_agent(cgroup(2, number).inode) for number in (0, 49)] == [None, True]


def test_the_limit_of_a_removed_container_is_known_however_many_another_pod_has(lookup: Lookup) -> None:
    assert lookup.limit_bytes(cgroup(1, 1).path) == 10_001
    for number in range(50):
        lookup.limit_bytes(cgroup(2, number).path)
    lookup._live.cgroups.pop(cgroup(1, 1).path)  # type: ignore[attr-defined]
    assert lookup.limit_bytes(cgroup(1, 1).path) == 10_001
    assert len(lookup._limits) == 10


UID = "00000003-1111-2222-3333-444444444444"
KINDS = {"debug": ContainerKind.EPHEMERAL}
FIRST, SECOND = f"{1:064x}", f"{2:064x}"


def scope(container_id: str, runtime: str = "cri-containerd") -> str:
    return f"kubepods/pod{UID}/{runtime}-{container_id}"


def names(asked: str, live: dict[str, int], ids: dict[str, str | None], removed: int | None = None) -> Identity:
    """By the live cgroups of a pod with their inodes, and the API's ids of its containers. No name of a process counts."""
    registry = Registry()
    containers = tuple(
        PodContainer(name, KINDS.get(name, ContainerKind.REGULAR), container_id=container_id)
        for name, container_id in ids.items()
    )
    registry.put(Pod(UID, "shop", "web", "node-1", containers=containers), 0.0)
    files = cast(CgroupFiles, SimpleNamespace(is_whole=True))
    cgroups = {path: Cgroup(classify(path), inode) for path, inode in live.items()}
    lookup = Lookup(files, registry, Living(cgroups), {}, lambda _: None)
    if removed is not None:
        lookup.forget(Cgroup(classify(asked), removed))
        lookup._limits[asked] = None  # was read while it was there
    return lookup.names_at(asked)


def is_sandbox(asked: str, live: dict[str, int], ids: dict[str, str | None]) -> bool:
    return names(asked, live, ids).sandbox


def test_what_was_first_in_its_pod_and_has_no_name_is_the_sandbox() -> None:
    live = {scope(FIRST): 10, scope(SECOND): 11}
    assert is_sandbox(scope(FIRST), live, {"main": SECOND})
    assert is_sandbox(scope(FIRST), {scope(FIRST): 10}, {"main": None}), "before any container"


def test_a_container_that_the_api_has_not_named_yet_is_no_sandbox() -> None:
    live = {scope(FIRST): 10, scope(SECOND): 11}
    assert not is_sandbox(scope(SECOND), live, {"main": None})
    assert not is_sandbox(scope(SECOND), live, {"main": "c" * 64}), "a new instance"
    assert not is_sandbox(scope(SECOND), {scope(FIRST): 10}, {"main": None}), "removed by now"
    assert not is_sandbox(scope(FIRST), live, {"main": None}), "neither has a name: which came first is not all"


def test_cri_o_has_no_sandbox_of_its_own_so_the_first_may_be_a_container() -> None:
    first, second = scope(FIRST, "crio"), scope(SECOND, "crio")
    assert not is_sandbox(first, {first: 10}, {"main": None})
    assert is_sandbox(first, {first: 10, second: 11}, {"main": SECOND})


THIRD = f"{3:064x}"


def test_a_container_that_restarted_during_an_outage_of_the_api_has_its_name_where_only_one_can_have_restarted() -> (
    None
):
    old, side = f"{8:064x}", f"{9:064x}"
    live = {scope(FIRST): 10, scope(side): 12, scope(THIRD): 30}
    assert names(scope(THIRD), live, {"main": old, "side": side}).container == "main"
    assert (
        names(scope(THIRD), {scope(FIRST): 10, scope(side): 12}, {"main": old, "side": side}, removed=30).container
        == "main"
    )
    assert names(scope(THIRD), live, {"main": old, "side": f"{7:064x}"}).container is None, "either may be it"
    assert names(scope(THIRD), live, {"main": None, "side": side}).container is None, "the pod is just starting"
    assert names(scope(THIRD), {scope(THIRD): 30}, {"main": old}).container is None, "it may be a new sandbox"
    assert names(scope(THIRD), live, {"main": old, "side": side, "debug": None}).container is None, "it may be that"


def is_alone(removed: str, live: dict[str, int], *containers: PodContainer) -> bool:
    """Whether a container that was removed was the only one of its pod; each live cgroup has a limit."""
    registry = Registry()
    registry.put(Pod(UID, "shop", "web", "node-1", containers=containers), 0.0)
    files = cast(CgroupFiles, SimpleNamespace(is_whole=True, limit_bytes=lambda _: 1 << 20))
    cgroups = {path: Cgroup(classify(path), inode) for path, inode in live.items()}
    lookup = Lookup(files, registry, Living(cgroups), {}, lambda _: None)
    lookup._limits[removed] = None  # that it is in a pod of ours is known
    return lookup.alone(removed)


def test_the_next_start_of_a_container_is_no_other_container_beside_it() -> None:
    """An agent that starts finds a kill of before its start when the container has long restarted: it had its own limit, not its pod's."""
    again = PodContainer("app", ContainerKind.REGULAR, container_id=SECOND, previous_id=FIRST)
    assert is_alone(scope(FIRST), {scope(SECOND): 12}, again)


def test_another_container_with_a_limit_is_another_also_beside_one_that_restarted() -> None:
    app = PodContainer("app", ContainerKind.REGULAR, container_id=None, previous_id=FIRST)
    other = PodContainer("other", ContainerKind.REGULAR, container_id=SECOND)
    assert not is_alone(scope(FIRST), {scope(SECOND): 12}, app, other)


def test_a_container_that_nobody_can_name_may_be_another() -> None:
    assert not is_alone(scope(FIRST), {scope(SECOND): 12}, PodContainer("app", ContainerKind.REGULAR))


# ------------------------------------------------------------------------------------------------------------------- PID 1


class Processes:
    """A container's processes, how often they were listed, and its PID 1."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pids: tuple[int, ...] = ()
        self.init: ProcessIdentity | None = None
        self.listed = 0
        monkeypatch.setattr(lookup_module, "init_process", lambda pids: self.init if pids else None)
        files = cast(CgroupFiles, SimpleNamespace(is_whole=True, pids=self._list))
        self.lookup = Lookup(files, Registry(), Living({}), {}, lambda _: None)

    def _list(self, _cgroup: Cgroup) -> tuple[int, ...]:
        self.listed += 1
        return self.pids


def test_a_container_of_many_processes_and_no_pid_1_is_searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    processes, container = Processes(monkeypatch), cgroup(1, 1)
    processes.pids = tuple(range(500, 500 + MANY + 1))
    for _ in range(3):
        processes.lookup.learn_init(container)
    assert processes.listed == 1
    assert processes.lookup.init_pid(container) is None
    processes.lookup.forget(container)
    processes.init = ProcessIdentity(500, 7)
    processes.lookup.learn_init(container)
    assert processes.lookup.init_pid(container) == 500, "another cgroup has its number"


def test_a_container_that_just_begins_is_searched_again_until_its_pid_1_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is empty at first, then the runtime's own processes are in it."""
    processes, container = Processes(monkeypatch), cgroup(1, 1)
    for pids in ((), (500,), tuple(range(500, 500 + MANY))):
        processes.pids = pids
        processes.lookup.learn_init(container)
        assert processes.lookup.init_pid(container) is None
    processes.init = ProcessIdentity(502, 7)
    processes.lookup.learn_init(container)
    processes.lookup.learn_init(container)
    assert processes.lookup.init_pid(container) == 502
    assert processes.listed == 4
