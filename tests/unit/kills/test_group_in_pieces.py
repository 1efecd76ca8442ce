"""A busy node's kernel is interrupted between two victims of a group kill: seen for 0.47 s (7.2). It is one kill all the same."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.kills.pending_reports import joined
from agent.kills.split import split_increase
from agent.model import OomReport, Outcome
from tests.unit.kills.world import POD, ROOT, A, Agent, B, World, report


@pytest.fixture
def world() -> World:
    world = World()
    world.make(ROOT, POD, A)
    world.grouped.add(A)
    return world


def bare(*pids: int, sequence: int) -> OomReport:
    """A report of which the log had the kill lines only; its cgroup is known of the dying process."""
    return replace(report(A, *pids, sequence=sequence), oom_memcg=None)


def test_a_victim_whose_line_comes_after_the_report_was_closed_is_the_groups(world: World) -> None:
    agent = Agent(world)
    world.kill(A, raw=2, groups=1, limit_of=POD)
    world.empty.clear()
    agent.read()
    agent.attribution.reported(report(A, 876, 866, group=A, domain=POD), world.now)
    assert agent.after(0.47).kills == (), "a process is left in it"
    world.kill(A, hit=False)
    agent.read()
    agent.attribution.reported(bare(874, sequence=30), world.now)
    assert agent.after(0.42).kills == ()
    world.kill(A, hit=False)
    world.empty.add(A)
    agent.read()
    (kill,) = agent.after(0.1).kills
    assert (kill.processes, kill.group_kill, kill.outcome) == (3, True, Outcome.DIED)
    assert [victim.pid for victim in kill.victims] == [876, 866, 874]
    found = agent.after(11.0)
    assert (found.kills, found.unmatched_reports) == ((), 0)


def test_reports_without_a_head_beside_a_groups_are_of_its_victims() -> None:
    group, rest = report(A, 1, 2, group=A), [bare(3, sequence=20), bare(4, 1, sequence=30)]
    (share,) = split_increase(5, 1, joined([group, *rest]))
    assert share.report is not None
    assert (share.processes, share.raw, [victim.pid for victim in share.report.victims]) == (4, 5, [1, 2, 3, 4])
    assert share.report.last_sequence == rest[-1].last_sequence


def test_a_report_with_a_head_of_its_own_is_a_kill_of_its_own() -> None:
    """One process was killed alone, then the mode was changed to group."""
    single, group = report(A, 1), report(A, 2, 3, sequence=20, group=A)
    assert [share.processes for share in split_increase(4, 1, joined([single, group]))] == [1, 2]


def test_without_a_groups_report_each_is_a_kill_of_its_own() -> None:
    assert [share.processes for share in split_increase(2, 0, joined([bare(1, sequence=1), bare(2, sequence=20)]))] == [
        1,
        1,
    ]


def test_kill_lines_of_another_container_are_not_the_groups() -> None:
    other = replace(report(B, 7, sequence=20), oom_memcg=None)
    assert [found.task_memcg for found in joined([report(A, 1, 2, group=A), other])] == [f"/{A}", f"/{B}"]


@pytest.mark.parametrize(
    ("raw", "groups", "processes"),
    [(4, 1, [3]), (6, 3, [1, 1, 1]), (10, 3, [3, 2, 2]), (3, 3, [1, 1, 1]), (2, 3, [1, 1]), (1, 1, [1])],
)
def test_group_kills_without_a_report_are_as_many_as_the_kernel_counted(
    raw: int, groups: int, processes: list[int]
) -> None:
    """After a SIGSTOP, say, the counter shows several at once."""
    shares = split_increase(raw, groups, [])
    assert [share.processes for share in shares] == processes
    assert sum(share.raw for share in shares) == raw
    assert all(share.group for share in shares)


def test_group_kills_of_which_one_has_a_report_are_as_many_too() -> None:
    shares = split_increase(2 + 6, 3, [report(A, 1, group=A)])
    assert [(share.report is not None, share.raw) for share in shares] == [(True, 2), (False, 3), (False, 3)]


@pytest.mark.parametrize("reported", [0, 1, 3])
def test_several_group_kills_while_the_agent_was_stopped_are_several(world: World, reported: int) -> None:
    """Of a cgroup that a container made for itself, or of a container that the runtime restarts in the same cgroup."""
    agent = Agent(world)
    for _ in range(3):
        world.kill(A, raw=3, groups=1)
    agent.read()
    for number in range(reported):
        one = report(A, 10 * number + 1, 10 * number + 2, group=A, sequence=100 * (number + 1))
        agent.attribution.reported(one, world.now)
    kills = agent.after(6.0).kills
    assert [(kill.processes, kill.group_kill) for kill in kills] == [(2, True)] * 3
    named = [[victim.pid for victim in kill.victims] for kill in kills if kill.victims]
    assert named == [[10 * number + 1, 10 * number + 2] for number in range(reported)]
