"""cgroup v1 counts each cgroup by itself: a container's count is the sum of those below it, and one that goes takes its count along.

crun under systemd puts the processes into a child of the container's cgroup, and docker in docker makes many; the child goes first.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.model import MemoryEvents, OomKill, Outcome
from tests.unit.kills.world import A, Agent, World, report

CHILD = f"{A}/container"


@pytest.fixture
def world() -> World:
    """Of containers and the node only: nothing in between counts."""
    world = World()
    world.make(A)
    world.tallies = {A: MemoryEvents(0)}
    return world


def count(world: World, agent: Agent, kills: int) -> None:
    """The sum of what is there now."""
    world.tallies[A] = replace(world.tallies[A], oom_kill=kills)
    agent.read(A)


def settled(agent: Agent) -> list[tuple[str | None, Outcome | None]]:
    return [(kill.container, kill.outcome) for kill in agent.after(0.6).settled]


@pytest.fixture
def agent(world: World) -> Agent:
    agent = Agent(world)
    agent.after(0.0)
    return agent


def lost_kill(world: World, agent: Agent, sequence: int = 1, child: str = CHILD) -> OomKill:
    """A kill in a child that went before anyone could read its counter."""
    world.node_kills += 1
    agent.attribution.reported(report(child, 9, sequence=sequence), world.now)
    agent.attribution.counted_node(world.node_kills, world.now)
    agent.read(A)
    (kill,) = agent.after(0.6).kills
    return kill


def test_a_kill_in_a_child_that_went_is_the_containers_by_the_log(world: World, agent: Agent) -> None:
    """Seen on a busy node: the container's own cgroup stood for half a second longer, and the kill was reported as nobody's."""
    kill = lost_kill(world, agent)
    assert (kill.container, [victim.pid for victim in kill.victims]) == ("name-a", [9])


def test_such_a_container_has_died_only_when_it_goes(world: World, agent: Agent) -> None:
    assert lost_kill(world, agent).outcome is None
    agent.attribution.removed(world.remove(A), world.now)
    assert settled(agent) == [("name-a", Outcome.DIED)]


def test_such_a_container_that_goes_on_has_survived(world: World, agent: Agent) -> None:
    lost_kill(world, agent)
    assert settled(agent) == [("name-a", Outcome.SURVIVED)]


def test_a_kill_is_counted_though_an_earlier_ones_child_took_its_count_along(world: World, agent: Agent) -> None:
    world.node_kills += 1
    agent.attribution.reported(report(f"{A}/one", 8), world.now)
    count(world, agent, 1)
    assert len(agent.after(0.1).kills) == 1
    count(world, agent, 0)
    agent.after(0.6)
    world.node_kills += 1
    agent.attribution.reported(report(f"{A}/two", 9, sequence=20), world.now)
    count(world, agent, 1)
    (kill,) = agent.after(0.1).kills
    assert [victim.pid for victim in kill.victims] == [9]


def test_a_kill_that_was_read_is_recorded_though_its_child_goes_meanwhile(world: World, agent: Agent) -> None:
    world.node_kills += 1
    count(world, agent, 1)
    count(world, agent, 0)
    agent.attribution.counted_node(world.node_kills, world.now)
    found = [*agent.after(0.6).kills, *agent.after(6.0).kills]
    assert [kill.container for kill in found] == ["name-a"]


def test_a_count_that_went_while_no_agent_ran_hides_no_later_kill(world: World, agent: Agent) -> None:
    world.node_kills += 1
    count(world, agent, 1)
    agent.after(0.6)
    world.tallies[A] = MemoryEvents(0)
    later = Agent(world, agent.kept, seen_this_boot=True)
    later.after(0.6)
    world.node_kills += 1
    count(world, later, 1)
    assert [kill.container for kill in later.after(0.6).kills] == ["name-a"]


def test_the_late_report_of_a_recorded_kill_is_not_given_to_a_kill_outside_of_pods(world: World, agent: Agent) -> None:
    world.node_kills += 1
    count(world, agent, 1)
    (first,) = agent.after(0.6).kills
    assert first.victims == ()
    world.node_kills += 1
    agent.attribution.counted_node(world.node_kills, world.now)
    agent.after(0.4)
    agent.attribution.reported(report(CHILD, 9), world.now)
    found = agent.after(0.2)
    assert [kill.kill_id for kill in found.amended] == [first.kill_id]
    assert [kill.victims for kill in found.kills] == [()]


def test_the_reports_of_a_recorded_kill_and_of_one_that_waits_for_its_name_are_not_given_to_a_kill_outside_of_pods(
    world: World, agent: Agent
) -> None:
    world.unnamed.add(A)
    world.node_kills += 1
    count(world, agent, 1)
    (first,) = agent.after(5.1).kills
    world.node_kills += 2
    count(world, agent, 2)
    agent.attribution.counted_node(world.node_kills, world.now)
    for pid in (8, 9):
        agent.attribution.reported(report(CHILD, pid, sequence=10 * pid), world.now)
    (outside,) = agent.after(0.6).kills
    assert (outside.cgroup_path, outside.victims) == ("", ())
    world.unnamed.clear()
    (second,) = agent.after(0.1).kills
    (amended,) = agent.after(0.1).amended
    assert (second.cgroup_path, amended.kill_id) == (A, first.kill_id)
