"""From a limit that is reached to metric, Event and log line, with the real rooms around it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.model import AtLimit, Cgroup, CgroupKind, CgroupPlace, MemoryUse, Reason, SeenProcess
from agent.pressure import following
from tests.unit.cgroup.fakes import make
from tests.unit.loop.world import CONTAINER, ID, POD, SANDBOX, UID, World, pod
from tests.unit.pressure.world import LIMIT, MIB, FakePsi, fill, goes_on, pressed, reach
from tests.unit.wording.test_events_reference import TYPES, posted_as

EVENTS = "oomward.dev/pressure-events"
OTHER = f"{POD}/{'b' * 64}"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, pressure_events="all")
    yield world
    world.end()


def start(world: World, annotations: dict[str, str] | None = None, file_mib: float = 200.0) -> None:
    """A container that runs well, full of page cache."""
    world.listed(pod(annotations=annotations, main=LIMIT))
    world.make()
    fill(world, 50, file_mib)
    reach(world)


def events(world: World) -> list[str]:
    return [notice.note for notice in world.posted if notice.reason is Reason.LIMIT_PRESSURE]


def test_a_leak_is_reported_before_it_is_killed(world: World) -> None:
    start(world)
    goes_on(world, 5)
    assert (pressed(world), events(world)) == (None, [])
    for anon_mib in range(150, 256, 10):
        fill(world, anon_mib, 256 - anon_mib)
        goes_on(world, 2)
    assert pressed(world) == 1.0
    (note,) = events(world)
    assert note.startswith("Container main is at its memory limit of 256 MiB")


def test_a_container_full_of_page_cache_is_never_reported_however_long_it_reaches_its_limit(world: World) -> None:
    start(world)
    goes_on(world, 600)
    assert (pressed(world), world.reasons()) == (None, [])


def test_the_gauge_is_0_when_it_is_over_and_the_seconds_are_counted(world: World) -> None:
    start(world)
    fill(world, 252, 4)
    goes_on(world, 30)
    fill(world, 60, 100)
    for _ in range(15):
        world.turn(after_s=1.0)
    assert pressed(world) == 0.0
    where = '{container="main",namespace="default",pod="herder-1"}'
    seconds = world.metric(f"oomward_memory_limit_pressure_seconds_total{where}")
    assert seconds is not None
    assert 25.0 <= seconds <= 50.0
    assert world.reasons() == [Reason.LIMIT_PRESSURE], "the end is no Event"
    assert posted_as(world.posted[0]) == TYPES[Reason.LIMIT_PRESSURE]


def test_when_it_is_over_nothing_wakes_the_agent_for_it(world: World) -> None:
    start(world)
    fill(world, 252, 4)
    goes_on(world, 5)
    assert world.node.pressure.due_s() is not None
    fill(world, 60, 100)
    for _ in range(20):
        world.turn(after_s=1.0)
    assert world.node.pressure.due_s() is None


def test_a_container_that_reaches_its_limit_all_the_time_is_read_once_in_two_seconds(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(world)
    goes_on(world, 10)
    count = 0
    read = world.node.pressure.readings.at_limit

    def counted(*arguments: object) -> object:
        nonlocal count
        count += 1
        return read(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(world.node.pressure.readings, "at_limit", counted)
    for _ in range(600):
        world.now += 0.1
        reach(world)
    assert 27 <= count <= 31


def test_a_kill_at_once_says_more_than_the_warning(world: World) -> None:
    """So it is not posted for what is killed within a second; if pressure goes on afterwards, it is."""
    start(world)
    fill(world, 254, 2)
    world.now += 5.0
    reach(world)
    assert pressed(world) == 1.0
    world.kill()
    world.now += 0.5
    reach(world)
    goes_on(world, 3)
    assert events(world) == []
    goes_on(world, 12)
    assert len(events(world)) == 1


def test_what_lasts_is_reported_again_after_ten_minutes_and_says_so(world: World) -> None:
    start(world)
    fill(world, 253, 3)
    goes_on(world, 605)
    first, second = events(world)
    assert "has been for" not in first
    assert "has been for 10m" in second


def test_pressure_that_comes_back_is_counted_by_the_open_event(world: World) -> None:
    start(world)
    for _ in range(3):
        fill(world, 253, 3)
        goes_on(world, 5)
        fill(world, 50, 100)
        for _ in range(20):
            world.turn(after_s=1.0)
    names = {notice.name for notice in world.posted if notice.reason is Reason.LIMIT_PRESSURE}
    assert len(names) == 1
    assert world.posted[-1].count == 3


def test_an_agent_that_starts_again_posts_no_second_event(world: World, tmp_path: Path) -> None:
    start(world)
    fill(world, 253, 3)
    goes_on(world, 5)
    world.end()
    world.begin()
    world.listed(pod(main=LIMIT))
    goes_on(world, 5)
    names = {notice.name for notice in world.posted if notice.reason is Reason.LIMIT_PRESSURE}
    assert len(names) == 1


@pytest.mark.parametrize(
    ("setting", "annotations", "posted"),
    [
        ("requested", {}, 0),
        ("requested", {EVENTS: "true"}, 1),
        ("requested", {"pressure-events.oomward.dev/main": "true"}, 1),
        ("requested", {EVENTS: "true", "pressure-events.oomward.dev/main": "false"}, 0),
        ("requested", {"recover.oomward.dev/grow-on-pressure": "true"}, 1),
        ("requested", {EVENTS: "yes"}, 0),
        ("all", {}, 1),
        ("all", {EVENTS: "false"}, 0),
        ("off", {EVENTS: "true"}, 0),
    ],
)
def test_events_are_posted_as_the_setting_and_the_pod_have_it(
    tmp_path: Path, setting: str, annotations: dict[str, str], posted: int
) -> None:
    world = World(tmp_path, pressure_events=setting)
    start(world, annotations)
    fill(world, 253, 3)
    goes_on(world, 5)
    assert len(events(world)) == posted
    assert pressed(world) == (None if setting == "off" else 1.0), "metrics need no request"
    world.end()


def test_a_pod_that_is_named_late_is_reported_then(world: World) -> None:
    world.make()
    fill(world, 253, 3)
    reach(world)
    goes_on(world, 3)
    assert (pressed(world), events(world)) == (None, [])
    world.listed(pod(main=LIMIT))
    goes_on(world, 3)
    assert pressed(world) == 1.0
    assert len(events(world)) == 1


def test_a_pods_limit_is_its_only_containers_where_both_are_the_same(world: World) -> None:
    """The pod's is reached first: its sandbox uses some of it."""
    start(world)
    world.make(SANDBOX)
    (world.mount / POD / "memory.max").write_text(f"{LIMIT}\n")
    reach(world, POD)
    fill(world, 253, 2)
    goes_on(world, 5, path=POD)
    (note,) = events(world)
    assert note.startswith("Container main is at its memory limit of")


def test_a_limit_that_containers_share_is_said_to_be_the_pods(world: World) -> None:
    world.listed(pod(ids={"main": ID, "other": "b" * 64}))
    world.make()
    world.make(OTHER)
    (world.mount / POD / "memory.max").write_text(f"{LIMIT}\n")
    fill(world, 249, 2)
    (world.mount / CONTAINER / "memory.max").write_text("max\n")
    fill(world, 2, 2, path=OTHER)
    (world.mount / OTHER / "memory.max").write_text("max\n")
    reach(world, POD)
    goes_on(world, 5, path=POD)
    (note,) = events(world)
    assert note.startswith(
        "Container main is at the memory limit of its pod, which all its containers share, of 256 MiB"
    )


def test_a_container_that_is_removed_leaves_nothing_behind(world: World) -> None:
    start(world)
    fill(world, 253, 3)
    goes_on(world, 3)
    world.remove(CONTAINER)
    assert pressed(world) == 0.0
    assert world.node.pressure.due_s() is None


def test_psi_is_watched_from_the_first_time_until_it_has_been_calm_for_minutes(tmp_path: Path) -> None:
    psi = FakePsi()
    world = World(tmp_path, pressure_events="all", psi=psi)
    start(world)
    assert list(psi.watched) == [CONTAINER]
    world.now += following.FORGET_S - 10.0
    world.node.housekeeping(world.now)
    assert list(psi.watched) == [CONTAINER]
    world.now += 20.0
    world.node.housekeeping(world.now)
    assert psi.watched == {}
    world.end()


def test_a_stall_that_psi_signals_is_read_at_once(tmp_path: Path) -> None:
    """Half of the time nothing runs, though most of the memory could be freed."""
    psi = FakePsi()
    world = World(tmp_path, pressure_events="all", psi=psi)
    start(world)
    goes_on(world, 15, stalled=0.7)
    assert pressed(world) == 1.0
    (note,) = events(world)
    assert "stall on memory 70 %" in note
    for _ in range(30):
        world.turn(after_s=1.0)
    assert world.node.pressure.due_s() is None
    world.node.pressure.signalled({1: 2}, world.now)
    assert world.node.pressure.due_s() == world.now
    world.end()


def test_no_more_triggers_than_the_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "MOST_TRIGGERS", 2)
    psi = FakePsi()
    world = World(tmp_path, pressure_events="all", psi=psi)
    for letter in "abcd":
        path = f"{POD}/{letter * 64}"
        make(world.mount, path)
        world.turn()
        fill(world, 10, 200, path=path)
        reach(world, path)
    assert len(psi.watched) == 2
    world.end()


def test_one_pods_containers_take_no_other_pods_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "MOST_FOLLOWED", 5)
    world = World(tmp_path, pressure_events="all")
    quiet = f"kubepods/pod{UID.replace('1', '2', 1)}/{'e' * 64}"
    for path in (quiet, *(f"{POD}/{number:064x}" for number in range(20))):
        make(world.mount, path)
        world.turn()
        fill(world, 10, 200, path=path)
        reach(world, path)
    followed = {one.container.path for one in world.node.pressure._followed.values()}
    assert len(followed) == 5
    assert quiet in followed
    world.end()


def test_a_thousand_containers_at_their_limit_are_read_some_in_each_turn(tmp_path: Path) -> None:
    world = World(tmp_path, pressure_events="all")
    paths = [f"{POD}/{number:064x}" for number in range(60)]
    for path in paths:
        make(world.mount, path)
    world.turn()
    for path in paths:
        fill(world, 10, 200, path=path)
        world.node.pressure.reached(world.tree.cgroups[path], world.now)
    world.node.pressure.collect(world.now)
    read = sum(one.last is not None for one in world.node.pressure._followed.values())
    assert read == following.MOST_CHECKS
    assert world.node.pressure.due_s() == world.now, "the others in the next turn"
    world.end()


def test_the_text_of_an_event_is_safe_whatever_the_processes_are_called(world: World) -> None:
    start(world)
    fill(world, 253, 3, limit=256 * MIB)
    world.node.pressure.report._largest = lambda _: []
    goes_on(world, 3)
    assert all(note.isprintable() for note in events(world))


def test_a_pods_limit_that_is_reached_as_well_is_not_taken_for_the_containers(tmp_path: Path) -> None:
    """Nor do the pod's hits count for the container, whichever is signalled first."""
    world = World(tmp_path, pressure_events="all")
    world.listed(pod(ids={"main": ID, "other": "b" * 64}, main=LIMIT))
    world.make()
    world.make(OTHER)
    (world.mount / POD / "memory.max").write_text(f"{2 * LIMIT}\n")
    fill(world, 235, 20)
    reach(world)
    (followed,) = world.node.pressure._followed.values()
    for _ in range(30):
        world.now += 1.0
        reach(world, POD)
        assert not followed.shared
    assert followed.last is not None
    assert followed.last.reached == 10
    assert pressed(world) is None, "its own limit is not reached any more"
    world.end()


@pytest.mark.parametrize(("usage_mib", "reached"), [(255, True), (250, False)])
def test_a_first_signal_that_proves_nothing_counts_if_the_limit_is_in_use(usage_mib: int, reached: bool) -> None:
    """cgroup v1 signals any reclaim, also the node's own."""
    one = following.Followed(Cgroup(CgroupPlace("p", CgroupKind.CONTAINER), 1), False, 0.0)
    reading = AtLimit(LIMIT, usage_mib * MIB, 7, 0, MemoryUse(anon=usage_mib * MIB, file=0))
    assert following._sample(one, reading, 5.0, reached=False).reached is reached


def test_between_the_processes_of_a_large_container_the_loop_looks_at_what_else_happened(world: World) -> None:
    start(world)
    (world.mount / CONTAINER / "cgroup.procs").write_text(f"{os.getpid()}\n" * 400)
    looks: list[int] = []
    world.node.between = lambda: looks.append(1)
    fill(world, 253, 3, limit=256 * MIB)
    goes_on(world, 3)
    assert events(world)
    assert len(looks) >= 800, "for the log line, and for the Event"


def test_a_container_that_is_removed_while_its_processes_are_read_is_under_no_pressure(world: World) -> None:
    start(world)
    (world.mount / CONTAINER / "cgroup.procs").write_text(f"{os.getpid()}\n")
    container = world.tree.cgroups[CONTAINER]
    largest = world.node.pressure.report._largest

    def removed_meanwhile(one: Cgroup) -> list[SeenProcess]:
        world.node.pressure.gone(container, world.now)
        return largest(one)

    world.node.pressure.report._largest = removed_meanwhile
    fill(world, 254, 2)
    world.now += 5.0
    reach(world)
    assert pressed(world) == 0.0
    assert world.node.pressure.due_s() is None
