"""cgroup v1's eventfds fire before the kill is counted: one signal is several looks, and a look at a cgroup that went is none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

import agent.loop.v1 as v1_module
from agent.cgroup.layout import classify
from agent.kernel.v1events import V1EventsUnavailableError
from agent.loop.v1 import MUTED_S, READ_AFTER_S, V1Counters, V1Pressure
from agent.model import Cgroup, CountersTouched
from tests.unit.cgroup.fakes import make
from tests.unit.loop.world import CONTAINER, POD, World, pod

MAIN = Cgroup(classify(CONTAINER), 7)


class Eventfds:
    """The kernel's side: what is registered, and what fires at the next read."""

    def __init__(self) -> None:
        self.registered: list[Path] = []
        self.fired: list[Path] = []
        self.muted: set[Path] = set()
        self.refuse = False
        self.gone = False

    def register(self, directory: Path) -> bool:
        if self.refuse:
            raise V1EventsUnavailableError(directory, PermissionError(13, "Permission denied"))
        if not self.gone:
            self.registered.append(directory)
        return not self.gone

    def unregister(self, directory: Path) -> None:
        self.registered = [known for known in self.registered if known != directory]

    def read(self) -> list[Path]:
        fired, self.fired = self.fired, []
        return fired

    def mute(self, directory: Path) -> None:
        self.muted.add(directory)

    def unmute(self, directory: Path) -> None:
        self.muted.remove(directory)

    def fileno(self) -> int:
        return 99

    def close(self) -> None:
        self.registered = []


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Eventfds:
    kernel = Eventfds()
    monkeypatch.setattr(v1_module, "V1Events", lambda *_: kernel)
    return kernel


@pytest.fixture
def troubles() -> list[str]:
    return []


@pytest.fixture
def counters(kernel: Eventfds, troubles: list[str], tmp_path: Path) -> Iterator[V1Counters]:
    counters = V1Counters(tmp_path, troubles.append)
    yield counters
    counters.close()


def test_a_signal_is_a_look_now_and_several_later(counters: V1Counters, kernel: Eventfds, tmp_path: Path) -> None:
    counters.follow(MAIN)
    kernel.fired = [tmp_path / CONTAINER]
    assert [event.cgroup for event in counters.read(100.0)] == [MAIN]
    for after_s in READ_AFTER_S:
        assert counters.due_s() == 100.0 + after_s
        assert [event.cgroup for event in counters.read(100.0 + after_s)] == [MAIN]
    assert counters.due_s() is None
    assert counters.read(200.0) == []


def test_many_signals_at_once_are_one_look(counters: V1Counters, kernel: Eventfds, tmp_path: Path) -> None:
    counters.follow(MAIN)
    for _ in range(3):
        kernel.fired = [tmp_path / CONTAINER]
        counters.read(100.0)
    assert len(counters.read(100.0 + READ_AFTER_S[-1])) == 1
    assert counters.due_s() is None


def test_only_containers_and_what_lies_in_them_are_followed(
    counters: V1Counters, kernel: Eventfds, tmp_path: Path
) -> None:
    """The kernel signals all below the cgroup whose limit was hit, so a pod's limit signals its containers."""
    for path in ("kubepods", POD, CONTAINER, f"{CONTAINER}/inner"):
        counters.follow(Cgroup(classify(path), 7))
    assert kernel.registered == [tmp_path / CONTAINER, tmp_path / CONTAINER / "inner"]


def test_a_cgroup_that_went_is_looked_at_no_more(counters: V1Counters, kernel: Eventfds, tmp_path: Path) -> None:
    counters.follow(MAIN)
    kernel.fired = [tmp_path / CONTAINER]
    counters.read(100.0)
    counters.forget(MAIN)
    assert kernel.registered == []
    assert counters.read(101.0) == []


def test_a_new_cgroup_at_the_same_path_is_followed_anew_and_outlives_the_old_ones_end(
    counters: V1Counters, kernel: Eventfds, tmp_path: Path
) -> None:
    again = Cgroup(MAIN.place, 8)
    counters.follow(MAIN)
    counters.follow(again)
    counters.forget(MAIN)
    kernel.fired = [tmp_path / CONTAINER]
    assert [event.cgroup for event in counters.read(100.0)] == [again]
    assert kernel.registered == [tmp_path / CONTAINER]


def test_one_that_is_gone_already_is_passed_over_and_one_that_is_refused_is_told(
    counters: V1Counters, kernel: Eventfds, troubles: list[str]
) -> None:
    kernel.gone = True
    counters.follow(MAIN)
    assert troubles == []
    kernel.refuse = True
    counters.follow(MAIN)
    assert len(troubles) == 1
    assert "run as root" in troubles[0]


def test_a_signal_of_a_cgroup_inside_a_container_leads_to_a_reading_of_the_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The workload's own cgroup has hit a limit of its own, so the kernel signals only that one; kills are counted per container."""
    world = World(tmp_path, version="v1", announce=False)
    files = {"memory__usage_in_bytes": "0\n", "memory__oom_control": "oom_kill 0\n"}
    for path in (CONTAINER, f"{CONTAINER}/own"):
        make(world.mount, path, **files)
    world.turn()
    world.told(pod())
    (world.mount / CONTAINER / "own" / "memory.oom_control").write_text("oom_kill 1\n")
    nested = world.tree.cgroups[f"{CONTAINER}/own"]
    signal = CountersTouched(nested, world.now)
    monkeypatch.setattr(world.node.kills, "v1", SimpleNamespace(read=lambda _now_s: [signal], due_s=lambda: None))
    world.node.tree_events(world.node.kills.signalled(world.now), world.now)
    world.turn()
    world.turn(after_s=1.0)
    assert [(kill.container, kill.processes) for kill in world.ledger.kills()] == [("main", 1)]
    world.end()


def test_signals_of_many_cgroups_inside_a_container_are_one_reading_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel signals all below the cgroup whose limit was hit: reading the container once per signal took 16 s with 500 of them."""
    world = World(tmp_path, version="v1", announce=False)
    inside = [Cgroup(classify(f"{CONTAINER}/own{number}"), 100 + number) for number in range(5)]
    for cgroup in inside:
        make(world.mount, cgroup.path, memory__usage_in_bytes="0\n", memory__oom_control="oom_kill 0\n")
    world.turn()
    container = world.tree.cgroups[CONTAINER]
    kills = world.node.kills
    signals = [CountersTouched(cgroup, 100.0) for cgroup in (*inside, container)]
    monkeypatch.setattr(kills, "v1", SimpleNamespace(read=lambda _now_s: signals))
    assert kills.signalled(100.0) == [CountersTouched(container, 100.0)]
    world.end()


def test_reclaim_is_signalled_for_containers_and_pods_and_once_a_second_at_most(
    kernel: Eventfds, troubles: list[str], tmp_path: Path
) -> None:
    """A pod's limit is its only container's, and is reached first."""
    pressure = V1Pressure(tmp_path, troubles.append)
    whole, nested = Cgroup(classify(POD), 8), Cgroup(classify(f"{CONTAINER}/x"), 9)
    for cgroup in (MAIN, whole, nested):
        pressure.follow(cgroup)
    assert kernel.registered == [tmp_path / CONTAINER, tmp_path / POD]
    kernel.fired = [tmp_path / POD]
    assert pressure.read(5.0) == [whole]
    assert kernel.muted == {tmp_path / POD}
    assert pressure.due_s() == 5.0 + MUTED_S
    assert pressure.read(5.0 + MUTED_S) == []
    assert kernel.muted == set()
    assert pressure.due_s() is None, "nothing wakes the agent without a signal"
    pressure.forget(whole)
    assert kernel.registered == [tmp_path / CONTAINER]
