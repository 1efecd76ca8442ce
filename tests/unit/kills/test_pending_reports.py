"""Reports wait for their counters, and each serves once."""

from __future__ import annotations

import pytest

from agent.kills.pending_reports import KEEP_S, PendingReports, below
from tests.unit.kills.world import POD, ROOT, A, Agent, B, World, report


@pytest.fixture
def world() -> World:
    world = World()
    world.make(ROOT, POD, A, B)
    return world


def test_a_report_serves_one_kill_and_not_the_next(world: World) -> None:
    agent = Agent(world)
    agent.attributor.reported(report(A, 4312), world.now)
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
    witnesses = PendingReports(lambda _: None)
    witnesses.add(report(A, 2, sequence=20), 0.0)
    witnesses.add(report(A, 1, sequence=10), 1.0)
    witnesses.add(report(B, 3, sequence=30), 1.0)
    assert [r.first_sequence for r in witnesses.of(A)] == [10, 20]
    assert len(witnesses) == 3
    assert [r.first_sequence for r in witnesses.expire(KEEP_S + 0.5)] == [20]
    assert witnesses.oldest_sequence == 10
    assert [r.first_sequence for r in witnesses.expire(KEEP_S + 1.5)] == [10, 30]
    assert witnesses.oldest_sequence is None


def test_what_lies_elsewhere_is_told_apart() -> None:
    witnesses = PendingReports(lambda _: None)
    for number, path in enumerate((A, "system.slice/sshd.service", None)):
        witnesses.add(report(path, 1, sequence=number), 0.0)
    assert [r.first_sequence for r in witnesses.elsewhere([ROOT])] == [1]
    assert [r.first_sequence for r in witnesses.nameless()] == [2]
    assert below("a/b", "") is below("a/b", "a") is below("a", "a") is True
    assert below("ab", "a") is False
