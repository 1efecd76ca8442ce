"""Waits double, are jittered, and have an end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.kube.backoff import FIRST_S, MOST_S, Backoff


def test_without_luck_each_wait_is_twice_the_one_before_up_to_the_most() -> None:
    backoff = Backoff(lambda: 1.0)
    assert [backoff.next_s() for _ in range(9)] == [0.5, 1, 2, 4, 8, 16, MOST_S, MOST_S, MOST_S]


@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=40))
def test_each_wait_is_between_half_and_the_whole(chances: list[float]) -> None:
    left = iter(chances)
    backoff = Backoff(lambda: next(left))
    for tries in range(len(chances)):
        whole = min(MOST_S, FIRST_S * 2**tries)
        assert whole / 2 <= backoff.next_s() <= whole


def test_after_a_success_it_begins_anew() -> None:
    backoff = Backoff(lambda: 1.0)
    for _ in range(5):
        backoff.next_s()
    backoff.reset()
    assert backoff.next_s() == FIRST_S


def test_a_server_that_is_away_for_ever_does_not_overflow_it() -> None:
    backoff = Backoff(lambda: 1.0)
    assert {backoff.next_s() for _ in range(5000)} >= {MOST_S}


def test_agents_of_many_nodes_do_not_come_back_as_one() -> None:
    waits = [Backoff().next_s() for _ in range(200)]
    assert len(set(waits)) > 150
    assert sum(waits) / len(waits) == pytest.approx(0.375, abs=0.05)
