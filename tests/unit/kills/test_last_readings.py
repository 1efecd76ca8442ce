"""A container may go between two victims' counts and our next look at it: its group kill is one kill all the same."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from agent.model import OomKill, Outcome
from tests.unit.kills.world import POD, ROOT, A, Agent, B, World, report

OTHER = f"{ROOT}/burstable/pod99999999-2222-3333-4444-555555555555"
C = f"{OTHER}/{'c' * 64}"


@pytest.fixture
def world() -> World:
    world = World()
    world.make(ROOT, POD, A, B)
    return world


def go(agent: Agent, *paths: str) -> None:
    """The kernel's word of their end comes when they are all gone."""
    for cgroup in [agent.world.remove(path) for path in paths]:
        agent.attribution.removed(cgroup, agent.world.now)


def all_kills(agent: Agent) -> list[OomKill]:
    kills: list[OomKill] = []
    for _ in range(16):
        agent.read()
        kills += agent.after(0.5).kills
    return kills


def told(kills: Sequence[OomKill]) -> list[tuple[str, int, bool, int]]:
    return [(kill.cgroup_path, kill.processes, kill.group_kill, len(kill.victims)) for kill in kills]


@pytest.mark.parametrize("logged", [True, False], ids=["logged", "not logged"])
@pytest.mark.parametrize("named", [True, False], ids=["named", "named late"])
@pytest.mark.parametrize("seen", [1, 2, 3])
def test_a_container_that_went_in_the_midst_of_its_group_kill_is_told_of_once(
    world: World, seen: int, named: bool, logged: bool
) -> None:
    """Seen in the lab under load (7.2, crun): of four counts two were read, and crun had removed the cgroup by the next look."""
    world.grouped.add(A)
    if not named:
        world.unnamed.add(A)
    agent = Agent(world)
    world.kill(A, raw=seen, groups=int(seen > 1))
    agent.read(A)
    world.kill(A, raw=4 - seen, groups=int(seen == 1), hit=False)
    if logged:
        agent.attribution.reported(report(A, 1, 2, 3, group=A), world.now)
    go(agent, A)
    (kill,) = all_kills(agent)
    assert told([kill]) == [(A, 3, True, 3 if logged else 0)]
    assert kill.outcome is Outcome.DIED


@pytest.mark.parametrize("named", [True, False], ids=["named", "named late"])
def test_a_container_that_went_with_its_pod_in_the_midst_of_its_group_kill_is_told_of_once(
    world: World, named: bool
) -> None:
    if not named:
        world.unnamed.add(A)
    agent = Agent(world)
    world.kill(A, raw=2, groups=1)
    agent.read(A, POD)
    world.kill(A, raw=2, hit=False)
    agent.attribution.reported(report(A, 1, 2, 3, group=A), world.now)
    go(agent, A, B, POD)
    assert told(all_kills(agent)) == [(A, 3, True, 3)]


def test_two_that_went_with_their_pods_in_the_midst_of_their_group_kills_are_each_told_of_once(world: World) -> None:
    world.make(OTHER, C)
    agent = Agent(world)
    for path in (A, C):
        world.kill(path, raw=2, groups=1)
    agent.read(A, C)
    for path, victims in ((A, (1, 2, 3)), (C, (4, 5, 6, 7))):
        world.kill(path, raw=len(victims) - 1, hit=False)
        agent.attribution.reported(report(path, *victims, sequence=10 * victims[0], group=path), world.now)
    go(agent, A, B, C, POD, OTHER)
    assert sorted(told(all_kills(agent))) == [(A, 3, True, 3), (C, 4, True, 4)]


def test_counts_that_the_kernel_has_not_told_of_yet_are_the_group_kills_that_they_are_of(world: World) -> None:
    """Word of a change comes 10 ms late when another change was told of just before (cgroup_file_notify, 6.1 and 7.2)."""
    agent = Agent(world)
    world.kill(A, raw=2, groups=1)
    agent.read(A)
    world.kill(A, raw=2, hit=False)
    agent.attribution.reported(report(A, 1, 2, 3, group=A), world.now)
    (kill,) = agent.after(0.0).kills
    assert told([kill]) == [(A, 3, True, 3)]
    assert all_kills(agent) == []


@pytest.mark.parametrize("logged", [True, False], ids=["logged", "not logged"])
@pytest.mark.parametrize("first", ["late", "A"])
def test_a_kill_of_another_container_is_not_added_to_the_group_kill_of_one_that_went(
    world: World, first: str, logged: bool
) -> None:
    """Both came to the pod's account while nobody could read A or the other any more: the log says how many were A's."""
    agent = Agent(world)
    late = f"{POD}/{'d' * 64}"
    world.make(late)
    agent.see(late)
    world.kill(A, raw=2, groups=1)
    agent.read(A)
    world.kill(A, raw=2, hit=False)
    world.kill(late)
    agent.attribution.reported(report(A, 1, 2, 3, group=A), world.now)
    if logged:
        agent.attribution.reported(report(late, 9, sequence=50), world.now)
    go(agent, *((late, A) if first == "late" else (A, late)))
    assert sorted(told(all_kills(agent))) == [(A, 3, True, 3), (late, 1, False, int(logged))]


def test_after_such_a_kill_the_next_container_that_vanishes_unread_is_named_for_its_own(world: World) -> None:
    agent = Agent(world)
    world.kill(A, raw=2, groups=1)
    agent.read(A)
    world.kill(A, raw=2, hit=False)
    go(agent, A)
    assert len(all_kills(agent)) == 1
    world.kill(B)
    go(agent, B)
    assert told(all_kills(agent)) == [(B, 1, False, 0)]


def test_a_report_that_comes_late_is_in_the_event_of_a_container_that_vanished_unread(world: World) -> None:
    """Seen in the lab: the agent was stopped for two seconds in the midst of a turn, and its rise looked as old as that."""
    agent = Agent(world)
    world.kill(A)
    go(agent, A)
    agent.read()
    found = agent.after(0.6)
    (kill,) = found.kills
    assert (kill.cgroup_path, kill.victims, found.settled) == (A, (), ())
    agent.attribution.reported(report(A, 9), world.now)
    (amended,) = agent.after(0.1).amended
    (settled,) = agent.after(0.5).settled
    assert settled == amended
    assert (settled.kill_id, [victim.pid for victim in settled.victims]) == (kill.kill_id, [9])


def test_a_container_that_vanished_unread_and_is_reported_by_nobody_is_told_of_half_a_second_later(
    world: World,
) -> None:
    agent = Agent(world)
    world.kill(A)
    go(agent, A)
    agent.read()
    (kill,) = agent.after(0.6).kills
    assert agent.after(0.5).settled == (kill,)


def test_the_late_report_of_a_kill_that_waits_for_its_name_is_not_used_for_an_older_one_of_that_container(
    world: World,
) -> None:
    world.unnamed.add(A)
    agent = Agent(world)
    world.kill(A)
    go(agent, A)
    agent.read()
    (older,) = agent.after(0.6).kills
    world.make(A)
    agent.see(A)
    world.kill(A)
    agent.read(A)
    agent.attribution.reported(report(A, 9), world.now)
    assert agent.after(0.1).amended == ()
    (kill,) = agent.after(5.0).kills
    assert (older.victims, len(kill.victims)) == ((), 1)


def test_a_container_that_went_and_of_whose_end_no_word_has_come_yet_is_told_of_once(world: World) -> None:
    agent = Agent(world)
    world.kill(A, raw=2, groups=1)
    agent.read(A, POD, ROOT)
    world.kill(A, raw=2, hit=False)
    cgroup = world.remove(A)
    (kill,) = agent.after(0.081).kills
    agent.attribution.removed(cgroup, world.now)
    assert told([kill]) == [(A, 3, True, 0)]
    assert all_kills(agent) == []


def test_where_counters_are_not_hierarchical_the_nodes_own_completes_a_group_kill_as_far_as_the_log_says(
    world: World,
) -> None:
    """cgroup v1: /proc/vmstat counts kills outside of pods too, so without the log nothing more is anybody's."""
    world.cgroups = {A: world.cgroups[A]}
    agent = Agent(world)
    world.kill(A, raw=2, groups=1)
    agent.read(A)
    world.kill(A, raw=2, hit=False)
    world.node_kills += 1
    agent.attribution.reported(report(A, 1, 2, 3, group=A), world.now)
    go(agent, A)
    agent.attribution.counted_node(world.node_kills, world.now)
    found = [*agent.after(0.1).kills, *agent.after(0.6).kills]
    assert [(kill.cgroup_path, kill.processes) for kill in found] == [(A, 3), ("", 1)]


@pytest.mark.parametrize("notified_first", ["the one that was read", "the one that was not"])
def test_kills_of_a_container_that_nobody_saw_are_not_added_to_those_of_another_of_its_pod(
    world: World, notified_first: str
) -> None:
    """Seen in the storm: a container ended, its successor came and was killed as well, and the agent heard of all that at once."""
    agent = Agent(world)
    world.grouped.add(A)
    world.kill(A, raw=2, groups=1)
    agent.read()
    unseen = f"{POD}/{'d' * 64}"
    world.kill(A, raw=2, hit=False)
    read = world.remove(A)
    world.make(unseen)
    world.kill(unseen, raw=4, groups=1)
    missed = world.remove(unseen)
    if notified_first == "the one that was not":
        agent.attribution.missed(missed.place, world.now)
    agent.attribution.removed(read, world.now)
    if notified_first == "the one that was read":
        agent.attribution.missed(missed.place, world.now)
    kills = all_kills(agent)
    assert sum(kill.processes for kill in kills if kill.cgroup_path in (A, unseen)) <= 3 + 3
    assert sum(kill.processes for kill in kills if kill.cgroup_path == A) <= 3, "it had no more"
    assert sum(kill.processes for kill in kills) in (6, 7)
