"""The soak's arithmetic: what a starved machine took away, percentiles, growth."""

from __future__ import annotations

import pytest

from tests.soak.figures import Spread, by_lateness, by_processor, growth, spread


@pytest.mark.parametrize(
    ("since_s", "until_s", "stolen_s"),
    [(0.0, 10.0, 3.0), (4.0, 4.5, 0.5), (0.0, 3.5, 0.5), (4.5, 10.0, 0.5 + 1.0), (5.5, 6.0, 0.0), (9.0, 10.0, 0.0)],
)
def test_only_lateness_within_a_time_counts_for_it(since_s: float, until_s: float, stolen_s: float) -> None:
    """Late at 5 by 2 seconds: nobody ran from 3 to 5; and from 6 to 7."""
    assert by_lateness([(5.0, 2.0), (7.0, 1.0)]).within_s(since_s, until_s) == stolen_s


def test_a_machine_that_is_slow_lost_what_it_did_not_get() -> None:
    """Idle for the first ten seconds; then busy, with a fifth of a processor."""
    idle = [(float(s), min(10.0, float(s))) for s in range(21)]
    used = [(s + 0.5, max(0.0, s - 9.5) / 5) for s in range(20)]
    lost = by_processor(used, idle)
    assert lost.within_s(1.0, 9.0) == pytest.approx(0.0)
    assert lost.within_s(12.0, 17.0) == pytest.approx(4.0)
    assert lost.worst_s == pytest.approx(0.8)


def test_nothing_is_lost_where_nothing_is_known() -> None:
    assert (by_processor([], []).total_s, by_lateness([]).within_s(0.0, 9.0), by_lateness([]).worst_s) == (
        0.0,
        0.0,
        0.0,
    )


def test_percentiles_are_values_that_were_measured() -> None:
    assert spread([float(n) for n in range(1, 201)]) == Spread(200, 100.0, 198.0, 200.0)
    assert spread([3.0]) == Spread(1, 3.0, 3.0, 3.0)
    assert spread([]).count == 0


def test_growth_is_what_comes_after_the_warm_up() -> None:
    flat = [(float(s), 50.0 if s >= 30 else float(s)) for s in range(91)]
    assert growth(flat) == pytest.approx(0.0)
    leaking = [(float(s), 50.0 + s / 10) for s in range(91)]
    assert growth(leaking) == pytest.approx(6.0)
    assert growth([]) == 0.0
