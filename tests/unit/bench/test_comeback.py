"""Many agents after an API server's restart: the real pod watch, with time that passes only when it waits."""

from __future__ import annotations

import itertools
from random import Random

import pytest

from agent.kube.backoff import MOST_S
from tests.bench.comeback import NOTICED_S, ROUND_TRIP_S, Agent, Outage, simulate

AGENTS = 300


def run(outage: Outage, seed: int = 1) -> Agent:
    agent = Agent(outage, Random(seed))
    agent.run()
    return agent


def test_after_a_cut_an_agent_waits_a_little_and_watches_on_without_a_list() -> None:
    ((at_s, verb, answered),) = run(Outage(0.0)).requests
    assert (verb, answered) == ("watch", True)
    assert 0.25 <= at_s <= 0.5 + NOTICED_S


def test_while_the_server_is_away_tries_become_rarer() -> None:
    requests = run(Outage(300.0)).requests
    gaps = [after[0] - before[0] for before, after in itertools.pairwise(requests)]
    assert [answered for _, _, answered in requests].count(True) == 1
    assert max(gaps[:3]) < min(gaps[-3:])
    assert max(gaps) <= MOST_S + 2 * ROUND_TRIP_S


def test_when_every_version_is_too_old_it_lists_once_and_watches() -> None:
    requests = run(Outage(10.0, forgets=True)).requests
    assert [verb for _, verb, answered in requests if answered] == ["watch", "list", "watch"]


@pytest.mark.parametrize("outage", [Outage(0.0), Outage(60.0), Outage(60.0, forgets=True)], ids=str)
def test_all_of_them_come_back_and_are_counted(outage: Outage) -> None:
    back = simulate(outage, AGENTS)
    assert back.answered >= AGENTS * (3 if outage.forgets else 1)
    assert back.p99_back_s <= (2 if outage.forgets else 1) * (MOST_S + 1)
    assert (back.peak_lists > 0) == outage.forgets


def test_the_longer_it_was_away_the_more_the_agents_are_spread() -> None:
    assert simulate(Outage(60.0), AGENTS).peak_answered < simulate(Outage(0.0), AGENTS).peak_answered / 3


def test_the_same_seed_gives_the_same_figures() -> None:
    assert simulate(Outage(60.0), AGENTS) == simulate(Outage(60.0), AGENTS)
