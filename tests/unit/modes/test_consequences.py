"""A container in which more is killed than it tolerates is armed, or killed as a whole, and its next instance starts afresh."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.model import (
    KillAttempt,
    KillOutcome,
    Mode,
    ObjectRef,
    OnExceeded,
    Outcome,
    Pod,
    PodDeleted,
    Rule,
    Rules,
    Scope,
    Tolerance,
)
from tests.unit.cgroup.fakes import make, remove
from tests.unit.loop.world import CONTAINER, ID, MODE, POD, UID, World, pod

NEXT_ID = "b" * 64
NEXT = f"{POD}/{NEXT_ID}"
ASK = "oomward.dev/tolerate"
THEN = "oomward.dev/on-exceeded"
EXCEEDED = 'oomward_tolerance_exceeded_total{container="main",namespace="default",pod="herder-1"}'


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, announce=False)
    yield world
    world.end()


def tolerant(label: str | None = "single", container_id: str = ID, **annotations: str) -> Pod:
    keys = {"tolerate": ASK, "then": THEN, "scope": "oomward.dev/tolerate-scope"}
    spoken = {keys[name]: value for name, value in annotations.items()}
    return pod({MODE: label} if label else {}, spoken, ids={"main": container_id})


def start(world: World, one: Pod) -> None:
    world.make(knob=1)
    world.told(one)


def kill(world: World, times: int = 1, path: str = CONTAINER) -> None:
    for _ in range(times):
        world.kill(path)
        world.turn(after_s=1.0)


def exceeded_events(world: World) -> int:
    return len({n.name for n in world.posted if n.reason.value == "OOMToleranceExceeded"})


def test_what_is_tolerated_changes_nothing_and_one_more_arms_the_container(world: World) -> None:
    start(world, tolerant(tolerate="3/10m"))
    kill(world, 3)
    assert world.knob() == 0
    assert exceeded_events(world) == 0
    assert world.metric(EXCEEDED) == 0, "increase() does not see a series that begins at 1"
    kill(world)
    assert world.knob() == 1, "the next OOM kill takes the whole container"
    assert exceeded_events(world) == 1
    assert world.metric(EXCEEDED) == 1
    assert world.killed == [], "by the kernel, not by us"
    labels = '{container="main",namespace="default",pod="herder-1"}'
    assert world.metric(f"oomward_container_oom_group_desired{labels}") == 1


def test_kills_from_before_the_api_named_the_pod_count(world: World) -> None:
    world.make(knob=1)
    for _ in range(3):
        world.kill()
        world.turn(after_s=7.0)  # names may come so late
    assert {one.pod_uid for one in world.ledger.kills()} == {None}
    world.told(tolerant(tolerate="1/10m"))
    assert world.knob() == 1
    assert exceeded_events(world) == 1


def test_a_mirror_pod_that_is_made_again_does_not_start_afresh(world: World) -> None:
    """`kubectl delete pod` of a static pod: the kubelet makes another mirror, and the container runs on."""
    key = "f" * 32
    path = f"kubepods/burstable/pod{key}/{ID}"
    world.make(path, knob=1)
    mirror = replace(tolerant(tolerate="2/10m"), config_hash=key)
    world.told(mirror)
    kill(world, 2, path)
    assert world.knob(path) == 0
    world.message(PodDeleted(mirror.uid))
    world.told(replace(mirror, uid="2b4e28ba-2fa1-11d2-883f-0016d3cca427"))
    kill(world, 1, path)
    assert world.knob(path) == 1


def test_a_container_that_goes_while_its_pod_is_looked_at_leaves_nothing_behind(world: World) -> None:
    start(world, tolerant(tolerate="1/10m", then="restart"))
    kill(world, 2)
    attempts, posted = len(world.killed), len(world.posted)

    def between() -> None:
        if CONTAINER in world.tree.cgroups:
            remove(world.mount, CONTAINER)
            world.node.tree_events(world.tree.read(world.now), world.now)

    modes = world.node.modes
    modes.pod_changed(world.registry.pods[UID], world.now, between)
    assert (modes.in_force, world.killed[attempts:], world.posted[posted:]) == ({}, [], [])


def test_an_armed_container_is_held_armed_and_stays_so_long_after(world: World) -> None:
    start(world, tolerant(tolerate="1/1m"))
    kill(world, 2)
    world.write(CONTAINER, 0)
    assert world.knob() == 1
    world.turn(after_s=86_400)
    kill(world)
    assert world.knob() == 1
    assert exceeded_events(world) == 1


@pytest.mark.parametrize("restart", [False, True])
def test_a_tolerance_that_was_exceeded_is_not_forgotten_when_its_kills_are_no_longer_kept(
    world: World, restart: bool
) -> None:
    start(world, tolerant(tolerate="3/1m"))
    kill(world, 4)
    assert world.knob() == 1
    assert world.ledger.prune(world.unix_s(), 30, 0, 100) > 0
    assert world.ledger.kills() == []
    if restart:
        world.end()
        world.begin()
        world.listed(tolerant(tolerate="3/1m"))
    kill(world)
    world.told(tolerant(tolerate="3/1m"))
    assert world.knob() == 1
    assert exceeded_events(world) == 1


def test_the_next_instance_of_the_container_starts_afresh(world: World) -> None:
    start(world, tolerant(tolerate="1/1m"))
    kill(world, 2)
    world.make(NEXT, knob=1)  # before the other goes: here inodes are used again, in the kernel they are not
    world.remove(CONTAINER)
    world.told(tolerant(tolerate="1/1m", container_id=NEXT_ID))
    assert world.knob(NEXT) == 0
    kill(world, 1, NEXT)
    assert world.knob(NEXT) == 0, "one is tolerated again"
    kill(world, 1, NEXT)
    assert world.knob(NEXT) == 1
    assert exceeded_events(world) == 2


def test_a_restart_of_the_agent_forgets_nothing_and_tells_nothing_twice(world: World) -> None:
    start(world, tolerant(tolerate="3/10m"))
    kill(world, 2)
    world.end()
    world.kill_unseen()
    world.begin()
    world.listed(tolerant(tolerate="3/10m"))
    world.turn(after_s=1.0)
    assert world.knob() == 0, "two before, one meanwhile: three"
    kill(world)
    assert world.knob() == 1
    world.end()
    world.begin()
    world.listed(tolerant(tolerate="3/10m"))
    assert world.knob() == 1
    assert exceeded_events(world) == 1


def test_without_the_api_an_armed_container_stays_armed_over_a_restart(world: World) -> None:
    start(world, tolerant(tolerate="1/10m"))
    kill(world, 2)
    world.end()
    world.begin()
    world.turn(after_s=1.0)
    assert world.knob() == 1


def test_what_the_annotation_says_now_counts(world: World) -> None:
    start(world, tolerant(tolerate="1/10m"))
    kill(world, 2)
    world.told(tolerant(tolerate="5/10m"))
    assert world.knob() == 0
    world.told(tolerant(tolerate="1/10m"))
    assert world.knob() == 1
    world.told(tolerant())
    assert world.knob() == 0
    assert exceeded_events(world) == 1


@pytest.mark.parametrize("label", ["group", None])
def test_only_mode_single_has_anything_to_tolerate(world: World, label: str | None) -> None:
    start(world, tolerant(label, tolerate="1/10m", then="restart"))
    kill(world, 3)
    assert world.knob() == 1, "as the kubelet has it"
    assert exceeded_events(world) == 0
    assert world.killed == []


def test_restart_does_not_wait_for_the_next_kill(world: World) -> None:
    start(world, tolerant(tolerate="1/10m", then="restart"))
    kill(world)
    assert world.killed == []
    kill(world)
    assert set(world.killed) == {CONTAINER}
    assert [n.reason.value for n in world.posted if "OOMC" in n.reason.value or "OOMT" in n.reason.value] == [
        "OOMToleranceExceeded",
        "OOMContainerRestarted",
    ]
    assert world.metric('oomward_containers_killed_total{reason="tolerance"}') == 1


def test_a_restart_that_does_not_come_about_is_told(world: World) -> None:
    world.kill_outcomes = [KillAttempt(KillOutcome.DENIED, "run as root")] * 99
    start(world, tolerant(tolerate="1/10m", then="restart"))
    kill(world, 2)
    (failed,) = [n for n in world.posted if n.reason.value == "OOMModeFailed"]
    assert "run as root" in failed.note
    assert world.metric('oomward_containers_killed_total{reason="failed"}') == 1


def test_an_agent_that_died_before_the_restart_does_it_when_it_is_back(world: World) -> None:
    start(world, tolerant(tolerate="1/10m"))
    kill(world, 2)
    world.end()
    world.begin()
    world.listed(tolerant(tolerate="1/10m", then="restart"))
    assert set(world.killed) == {CONTAINER}


@pytest.mark.parametrize(("scope", "armed"), [("own", 0), ("any", 1)])
def test_kills_that_were_not_its_own_doing_count_only_if_asked(world: World, scope: str, armed: int) -> None:
    """The node's shortage kills in it: its own counter knows of no hit of a limit."""
    start(world, tolerant(tolerate="1/10m", scope=scope))
    for number in range(1, 4):
        events = f"low 0\nhigh 0\nmax 0\noom 0\noom_kill {number}\noom_group_kill 0\n"
        for path in ("kubepods", POD, CONTAINER):
            (world.mount / path / "memory.events").write_text(events)
        world.turn()
        world.turn(after_s=1.0)
    kills = world.ledger.kills()
    assert sum(k.processes for k in kills) == 3
    assert {k.scope for k in kills} <= {Scope.KUBEPODS, Scope.NODE, None}
    assert world.knob() == armed


def test_a_rule_may_say_it(tmp_path: Path) -> None:
    rules = Rules((Rule("ci", Mode.SINGLE, tolerance=Tolerance(1, 600.0, OnExceeded.RESTART, said_by="rule ci")),))
    world = World(tmp_path, rules, announce=False)
    start(world, pod())
    kill(world, 2)
    assert set(world.killed) == {CONTAINER}
    world.end()


def test_bad_words_are_told_once_on_the_pod(world: World) -> None:
    for _ in range(2):
        world.told(tolerant(tolerate="often", then="explode"))
    notes = sorted(n.note for n in world.posted if n.reason.value == "OOMModeInvalid")
    assert len(notes) == 2
    assert "5/10m" in notes[1]
    assert "arm, restart" in notes[0]


def make_v1(tmp_path: Path, *, emulate_group: bool = True) -> World:
    world = World(tmp_path, version="v1", announce=False, emulate_group=emulate_group)
    make(world.mount, CONTAINER, memory__usage_in_bytes="0\n", memory__oom_control="oom_kill 0\n")
    (world.mount / CONTAINER / "memory.oom.group").unlink()
    world.turn()
    return world


def kill_v1(world: World, count: int) -> None:
    cgroup = world.tree.cgroups[CONTAINER]
    (world.mount / CONTAINER / "memory.oom_control").write_text(f"oom_kill {count}\n")
    world.node.kills.read(cgroup, world.now)
    world.turn()
    world.turn(after_s=1.0)


def test_on_v1_the_agent_kills_the_rest_of_a_group_where_it_is_asked_to(tmp_path: Path) -> None:
    world = make_v1(tmp_path)
    world.told(pod({MODE: "group"}))
    assert world.reasons() == [], "nothing is out of reach"
    labels = '{container="main",namespace="default",pod="herder-1"}'
    assert world.metric(f"oomward_container_oom_group{labels}") == 1
    kill_v1(world, 1)
    assert set(world.killed) == {CONTAINER}
    assert "OOMContainerRestarted" in world.reasons()
    assert world.metric('oomward_containers_killed_total{reason="group"}') == 1
    world.end()


@pytest.mark.parametrize(("label", "emulate"), [("single", True), (None, True), ("group", False)])
def test_on_v1_nobody_else_is_killed(tmp_path: Path, label: str | None, emulate: bool) -> None:
    world = make_v1(tmp_path, emulate_group=emulate)
    world.told(pod({MODE: label} if label else {}))
    kill_v1(world, 1)
    assert sum(k.processes for k in world.ledger.kills()) == 1
    assert world.killed == []
    world.end()


def test_what_the_kill_was_is_recorded_as_ever(world: World) -> None:
    start(world, tolerant(tolerate="1/10m", then="restart"))
    kill(world, 2)
    kills = world.ledger.kills()
    assert [replace(k, outcome=None).mode for k in kills] == [Mode.SINGLE, Mode.SINGLE]
    assert {k.outcome for k in kills} <= {Outcome.SURVIVED, Outcome.DIED, None}


def test_a_restart_is_reported_though_the_api_has_not_answered_since_the_agents_start(world: World) -> None:
    start(world, tolerant(tolerate="2/10m", then="restart"))
    kill(world, 2)
    world.end()
    world.kill_unseen()
    world.begin()
    world.turn(after_s=1.0)
    assert set(world.killed) == {CONTAINER}
    reasons = {"OOMToleranceExceeded", "OOMContainerRestarted"}
    told = {(notice.reason.value, notice.about) for notice in world.posted if notice.reason.value in reasons}
    pod = tolerant()
    assert told == {(reason, ObjectRef("Pod", pod.name, pod.namespace, pod.uid)) for reason in reasons}
    assert world.metric(EXCEEDED) == 1
    assert world.metric('oomward_containers_killed_total{reason="tolerance"}') == 1
    world.listed(tolerant(tolerate="2/10m", then="restart"))
    assert exceeded_events(world) == 1


def test_a_kill_after_which_the_agent_ends_the_container_is_not_blamed_on_its_pid_1(world: World) -> None:
    start(world, tolerant(tolerate="1/10m", then="restart"))
    kill(world, 2)
    assert world.killed == [CONTAINER]
    (world.mount / CONTAINER / "cgroup.events").write_text("populated 0\nfrozen 0\n")
    world.turn(after_s=1.0)
    notes = [notice.note for notice in world.posted if notice.action == "OOMKill"]
    assert notes
    assert all("PID 1" not in note for note in notes)
    assert "then the agent ended the container" in notes[-1]
