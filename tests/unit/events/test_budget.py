"""So many Events at once, then one every so often, for each pod and for the node."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.events.schedule import Budgets
from agent.model import Budget

POD, NODE = Budget(3, 60.0), Budget(5, 1.0)


@pytest.fixture
def budgets() -> Budgets:
    return Budgets(POD, NODE)


def test_a_pod_has_its_burst_and_then_one_a_minute(budgets: Budgets) -> None:
    for _ in range(3):
        assert budgets.ready_s("a") <= 100.0
        budgets.spend("a", 100.0)
    assert budgets.ready_s("a") == 160.0
    budgets.spend("a", 160.0)
    assert budgets.ready_s("a") == 220.0
    assert budgets.ready_s("b") <= 100.0, "another pod has its own"


def test_all_pods_share_the_nodes(budgets: Budgets) -> None:
    for uid in "abcde":
        assert budgets.node_ready_s() <= 100.0
        budgets.spend(uid, 100.0)
    assert budgets.node_ready_s() == 101.0


def test_a_pod_that_was_quiet_has_its_whole_burst_again_and_no_more(budgets: Budgets) -> None:
    for _ in range(3):
        budgets.spend("a", 100.0)
    for _ in range(3):
        assert budgets.ready_s("a") <= 1000.0
        budgets.spend("a", 1000.0)
    assert budgets.ready_s("a") == 1060.0


def test_pods_that_have_been_quiet_are_not_kept(budgets: Budgets) -> None:
    for number in range(10_000):
        budgets.spend(f"pod-{number}", number * 1.0)
    assert len(budgets._full_at_s) <= 60


@given(st.lists(st.floats(0.0, 30.0), max_size=60), st.integers(1, 8), st.floats(0.1, 30.0))
def test_whatever_is_asked_no_more_is_granted_than_burst_and_rate_allow(
    pauses: list[float], burst: int, every_s: float
) -> None:
    budgets = Budgets(Budget(burst, every_s), Budget(10**6, 0.001))
    now, spent = 0.0, []
    for pause in pauses:
        now += pause
        if budgets.ready_s("a") <= now:
            budgets.spend("a", now)
            spent.append(now)
    for first, at in enumerate(spent):
        for last in range(first, len(spent)):
            assert last - first + 1 <= burst + (spent[last] - at) / every_s + 1e-6
