"""The stand-in kubelet's back-off is the kubelet's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lab.backoff import FIRST_S, MOST_S, RESET_AFTER_S, delay_s


@pytest.mark.parametrize(
    ("crashes", "expected_s"),
    [(0, 0.0), (1, 0.0), (2, 10.0), (3, 20.0), (4, 40.0), (5, 80.0), (6, 160.0), (7, 300.0), (50, 300.0)],
)
def test_the_first_restart_comes_at_once_and_then_after_10_s_doubling_to_300(crashes: int, expected_s: float) -> None:
    assert delay_s([1.0] * crashes) == expected_s


def test_a_run_of_ten_minutes_forgets_the_crashes_before_it() -> None:
    assert delay_s([1.0, 1.0, 1.0, RESET_AFTER_S]) == 0.0
    assert delay_s([1.0, 1.0, RESET_AFTER_S, 1.0, 1.0]) == FIRST_S


def test_the_factor_shrinks_delay_and_reset_alike() -> None:
    assert delay_s([1.0] * 4, 0.1) == pytest.approx(4.0)
    assert delay_s([1.0, 1.0, RESET_AFTER_S * 0.1], 0.1) == 0.0


@given(st.lists(st.floats(0, 2 * RESET_AFTER_S)))
def test_the_delay_never_leaves_its_bounds_and_a_further_crash_never_shortens_it(runs_s: list[float]) -> None:
    assert 0.0 <= delay_s(runs_s) <= MOST_S
    assert delay_s([*runs_s, 0.0]) >= delay_s(runs_s)
