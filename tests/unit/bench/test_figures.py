"""A published figure is one that was measured, and 100 % means all."""

from __future__ import annotations

from tests.bench.figures import quantile, share


def test_a_quantile_is_a_value_that_was_measured() -> None:
    values = [5.0, 1.0, 4.0, 2.0, 3.0]
    assert [quantile(values, at) for at in (0.0, 0.5, 0.99, 1.0)] == [1.0, 3.0, 5.0, 5.0]
    assert quantile([float(n) for n in range(1, 101)], 0.99) == 99.0


def test_a_share_is_100_percent_only_if_nothing_is_missing() -> None:
    assert share(10_000, 10_000) == "10,000 of 10,000 (100 %)"
    assert share(9_999, 10_000) == "9,999 of 10,000 (99.9 %)"
    assert share(0, 0) == "none"
