"""Reports wait for their counters, and each serves once."""

from __future__ import annotations

import pytest

from agent.kills.pending_reports import KEEP_S, PendingReports
from agent.model import is_inside, levels_above
from tests.unit.kills.world import POD, ROOT, A, Agent, B, World, report


@pytest.fixture
def world() -> World:
    world = World()
    world.make(ROOT, POD, A, B)
    return world


def test_a_report_serves_one_kill_and_not_the_next(world: World) -> None:
    agent = Agent(world)
    agent.attribution.reported(report(A, 4312), world.now)
    world.kill(A)
    agent.read()
    (first,) = agent.after(0.0).kills
    world.kill(A)
    agent.read()
    (second,) = agent.after(1.0).kills
    assert [v.pid for v in first.victims] == [4312]
    assert second.victims == (), "whom the second kill took the log has not told"
    assert second.details_missing


def test_reports_are_given_oldest_first_and_forgotten_in_time() -> None:
    reports = PendingReports(lambda _: None)
    reports.add(report(A, 2, sequence=20), 0.0)
    reports.add(report(A, 1, sequence=10), 1.0)
    reports.add(report(B, 3, sequence=30), 1.0)
    assert [r.first_sequence for r in reports.of(A)] == [10, 20]
    assert [r.first_sequence for r in reports.expire(KEEP_S + 0.5)] == [20]
    assert reports.oldest_sequence == 10
    assert [r.first_sequence for r in reports.expire(KEEP_S + 1.5)] == [10, 30]
    assert reports.oldest_sequence is None


def test_a_report_that_lost_its_cgroups_line_is_nobodys() -> None:
    reports = PendingReports(lambda _: None)
    for number, path in enumerate((A, "system.slice/sshd.service", None)):
        reports.add(report(path, 1, sequence=number), 0.0)
    assert [r.first_sequence for r in reports.nameless()] == [2]


def test_a_cgroup_is_inside_of_itself_and_of_those_above_it() -> None:
    assert is_inside("a/b", "") is is_inside("a/b", "a") is is_inside("a", "a") is True
    assert is_inside("ab", "a") is False
    assert list(levels_above("a/b/c")) == ["a/b", "a"]
