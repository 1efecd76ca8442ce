"""What filled the limit of a kill without a report: read from the cgroup whose limit was hit, and only where it says something."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.model import ContainerUse, MemoryUse, OomKill, OomReport, Scope
from tests.unit.kills.world import ROOT, A, Agent, B, World, pod_of, report

MIB = 1 << 20
POD = pod_of(A)
AFTER = MemoryUse(anon=5 * MIB, file=200 * MIB, by_report=False)
BY_REPORT = MemoryUse(anon=90 * MIB)


@pytest.fixture
def world() -> World:
    world = World()
    world.make(ROOT, POD, A, B)
    world.limits |= {A: 100 * MIB, B: 100 * MIB, POD: 256 * MIB}
    world.uses |= {A: AFTER, POD: replace(AFTER, file=MIB), ROOT: replace(AFTER, file=2)}
    return world


def the_kill(agent: Agent, limit_of: str | None = None, said: OomReport | None = None) -> OomKill:
    agent.world.kill(A, limit_of=limit_of)
    if said is not None:
        agent.attribution.reported(said, agent.world.now)
    agent.read()
    (kill,) = agent.after(0.6).kills
    return kill


def test_a_kill_without_a_report_has_the_memory_of_the_container_whose_limit_was_hit(world: World) -> None:
    kill = the_kill(Agent(world, kmsg=False))
    assert (kill.scope, kill.use, kill.containers) == (Scope.CONTAINER, AFTER, ())


def test_at_the_pods_limit_it_is_the_pods_memory(world: World) -> None:
    kill = the_kill(Agent(world, kmsg=False), limit_of=POD)
    assert (kill.scope, kill.use) == (Scope.POD, world.uses[POD])


def test_a_kill_whose_report_says_it_reads_nothing(world: World) -> None:
    kill = the_kill(Agent(world), said=replace(report(A, 9), use=BY_REPORT))
    assert (kill.use, world.uses_read) == (BY_REPORT, [])


def test_a_report_without_statistics_is_completed_from_the_cgroup(world: World) -> None:
    assert the_kill(Agent(world), said=report(A, 9)).use == AFTER


@pytest.mark.parametrize("domain", [ROOT, None])
def test_another_limit_than_its_pods_says_nothing_of_the_memory_of_the_container(
    world: World, domain: str | None
) -> None:
    agent = Agent(world, kmsg=False)
    world.kill(A, limit_of=domain, hit=domain is not None)
    agent.read()
    (kill,) = agent.after(0.6).kills
    assert kill.scope in (Scope.KUBEPODS, None, Scope.NODE)
    assert (kill.use, world.uses_read) == (None, [])


def test_a_container_that_is_gone_has_no_memory_to_read(world: World) -> None:
    agent = Agent(world, kmsg=False)
    world.kill(A)
    agent.read(A, POD, ROOT)
    agent.attribution.removed(world.remove(A), world.now)
    kills = [kill for _ in range(3) for kill in agent.after(0.6).kills]
    assert [kill.use for kill in kills] == [None]
    assert world.uses_read == []


def test_a_kill_from_before_the_agent_says_nothing_of_the_memory_of_now(world: World) -> None:
    first = Agent(world, kmsg=False)
    world.kill(A)
    later = Agent(world, kept=first.kept, seen_this_boot=True, kmsg=False)
    kills = [kill for _ in range(3) for kill in later.after(0.6).kills]
    assert [kill.use for kill in kills] == [None]


def test_a_late_report_replaces_what_was_read(world: World) -> None:
    agent = Agent(world)
    kill = the_kill(agent)
    assert kill.use == AFTER
    agent.attribution.reported(replace(report(A, 9), use=BY_REPORT), world.now)
    (amended,) = agent.after(0.1).amended
    assert amended.use == BY_REPORT


def test_a_late_report_of_another_limit_takes_back_what_was_read_below_the_wrong_one(world: World) -> None:
    agent = Agent(world)
    assert the_kill(agent).use == AFTER
    agent.attribution.reported(report(A, 9, domain=POD), world.now)
    (amended,) = agent.after(0.1).amended
    assert (amended.scope, amended.use) == (Scope.POD, None)


@pytest.mark.parametrize("said", [None, replace(report(A, 9, domain=POD), limit_bytes=256 * MIB, use=BY_REPORT)])
def test_what_the_killed_process_had_is_its_containers_share_of_the_pods_limit(
    world: World, said: OomReport | None
) -> None:
    world.containers[POD] = (ContainerUse("name-a", 6 * MIB), ContainerUse("name-b", 50 * MIB), ContainerUse(None, MIB))
    kill = the_kill(Agent(world, kmsg=said is not None), limit_of=POD, said=said)
    assert [(one.name, one.usage_bytes // MIB) for one in kill.containers] == [
        ("name-a", 205),
        ("name-b", 50),
        (None, 1),
    ]


def test_another_container_that_used_most_of_the_pods_limit_comes_first(world: World) -> None:
    world.containers[POD] = (ContainerUse("name-a", 6 * MIB), ContainerUse("name-b", 200 * MIB))
    kill = the_kill(Agent(world, kmsg=False), limit_of=POD)
    assert [one.name for one in kill.containers] == ["name-b", "name-a"]
