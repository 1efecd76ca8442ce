"""The kernel counts a group kill's first victim twice. However late the second count comes, it is no kill of its own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.model import OomKill, Outcome
from tests.unit.kills.world import POD, ROOT, A, Agent, B, World, report


@pytest.fixture
def world() -> World:
    world = World()
    world.make(ROOT, POD, A, B)
    world.grouped.add(A)
    return world


def recorded_group_kill(agent: Agent) -> OomKill:
    """Of two processes, each counted once so far."""
    agent.world.kill(A, raw=2, groups=1)
    agent.read()
    agent.attribution.reported(report(A, 1, 2, group=A), agent.world.now)
    (kill,) = agent.after(0.5).kills
    assert (kill.processes, kill.group_kill, len(kill.victims)) == (2, True, 2)
    return kill


def later_kills(agent: Agent) -> list[tuple[str, int]]:
    kills: list[OomKill] = []
    for _ in range(8):
        agent.read()
        kills += agent.after(0.25).kills
    return [(kill.cgroup_path, kill.processes) for kill in kills]


def test_a_second_count_that_comes_after_the_kill_was_recorded_is_no_other_kill(world: World) -> None:
    """Seen in the lab under load (7.2): 0.6 s after the first, and recorded as one more kill, of the whole node's memory."""
    agent = Agent(world)
    recorded_group_kill(agent)
    world.kill(A, raw=1, hit=False)
    assert later_kills(agent) == []


def test_it_is_none_either_where_only_the_pods_counter_shows_it_any_more(world: World) -> None:
    agent = Agent(world)
    recorded_group_kill(agent)
    world.kill(A, raw=1, hit=False)
    agent.attribution.removed(world.remove(A), world.now)
    assert later_kills(agent) == []


def test_more_than_the_second_count_is_a_kill(world: World) -> None:
    agent = Agent(world)
    recorded_group_kill(agent)
    world.kill(A, raw=2)
    assert later_kills(agent) == [(A, 1)]


def test_the_same_count_in_another_container_is_a_kill(world: World) -> None:
    agent = Agent(world)
    recorded_group_kill(agent)
    world.kill(B, raw=1)
    assert later_kills(agent) == [(B, 1)]


def test_a_count_that_comes_much_later_is_a_kill(world: World) -> None:
    agent = Agent(world)
    recorded_group_kill(agent)
    agent.after(6.0)
    world.kill(A, raw=1)
    assert later_kills(agent) == [(A, 1)]


def test_a_count_that_the_log_reports_is_a_kill(world: World) -> None:
    agent = Agent(world)
    recorded_group_kill(agent)
    world.kill(A, raw=1)
    agent.attribution.reported(report(A, 9, sequence=90), world.now)
    assert later_kills(agent) == [(A, 1)]


def test_where_the_second_count_was_there_already_none_is_expected(world: World) -> None:
    agent = Agent(world)
    world.kill(A, raw=3, groups=1)
    agent.read()
    agent.attribution.reported(report(A, 1, 2, group=A), world.now)
    (kill,) = agent.after(0.5).kills
    assert kill.processes == 2
    world.kill(A, raw=1)
    assert later_kills(agent) == [(A, 1)]


def test_of_a_group_kill_that_lacks_more_counts_every_victim_is_still_counted(world: World) -> None:
    """Recorded too early on a busy node: the rest are victims, not second counts."""
    agent = Agent(world)
    world.kill(A, raw=2, groups=1)
    agent.read()
    agent.attribution.reported(report(A, 1, 2, 3, group=A), world.now)
    (kill,) = agent.after(0.5).kills
    world.kill(A, raw=2, hit=False)
    assert kill.processes + sum(processes for _, processes in later_kills(agent)) >= 3


def restarted(agent: Agent, kill: OomKill) -> Agent:
    """kill -9, and another agent with its ledger."""
    world = agent.world
    after = Agent(world, dict(agent.kept), seen_this_boot=True, recorded=(kill,))
    after.attribution.forget_removed()
    return after


def test_it_is_none_either_when_another_agent_is_the_first_to_read_it(world: World) -> None:
    agent = Agent(world)
    kill = recorded_group_kill(agent)
    world.kill(A, raw=1, hit=False)
    assert later_kills(restarted(agent, kill)) == []


def test_nor_when_the_container_is_gone_by_then(world: World) -> None:
    agent = Agent(world)
    kill = recorded_group_kill(agent)
    world.kill(A, raw=1, hit=False)
    after = restarted(agent, kill)
    after.attribution.removed(world.remove(A), world.now)
    assert later_kills(after) == []


def test_more_than_that_is_a_kill_for_another_agent_too(world: World) -> None:
    agent = Agent(world)
    kill = recorded_group_kill(agent)
    world.kill(A, raw=2)
    assert later_kills(restarted(agent, kill)) == [(A, 1)]


def test_a_group_kill_that_was_counted_completely_leaves_nothing_to_come_after_a_restart(world: World) -> None:
    agent = Agent(world)
    world.kill(A, raw=3, groups=1)
    agent.read()
    agent.attribution.reported(report(A, 1, 2, group=A), world.now)
    (kill,) = agent.after(0.5).kills
    world.kill(A, raw=1)
    assert later_kills(restarted(agent, kill)) == [(A, 1)]


def test_nor_does_one_long_ago_in_a_container_that_goes_on(world: World) -> None:
    """A group inside of the container was killed; the container lives."""
    agent = Agent(world)
    kill = replace(recorded_group_kill(agent), outcome=Outcome.SURVIVED)
    agent.after(60.0)
    world.kill(A, raw=1)
    assert later_kills(restarted(agent, kill)) == [(A, 1)]
