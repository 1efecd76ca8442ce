"""Small statistics, and how figures are shown and kept."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tests.bench.figures import Result, Table, Verdict, leave, ms, quantile, results_in, share, spread


def test_a_quantile_is_a_value_that_was_measured() -> None:
    values = [5.0, 1.0, 4.0, 2.0, 3.0]
    assert [quantile(values, at) for at in (0.0, 0.5, 0.99, 1.0)] == [1.0, 3.0, 5.0, 5.0]
    assert quantile([float(n) for n in range(1, 101)], 0.99) == 99.0


def test_of_nothing_there_is_no_quantile_and_it_is_shown_as_a_dash() -> None:
    assert all(math.isnan(value) for value in spread([]))
    assert ms(quantile([], 0.5)) == "-"


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.0004567, "0.46"), (0.00999, "9.99"), (0.0123, "12.3"), (0.4567, "457"), (61.5, "61,500")]
)
def test_times_have_as_many_digits_as_mean_something(seconds: float, shown: str) -> None:
    assert ms(seconds) == shown


def test_a_share_is_100_percent_only_if_nothing_is_missing() -> None:
    assert share(10_000, 10_000) == "10,000 of 10,000 (100 %)"
    assert share(9_999, 10_000) == "9,999 of 10,000 (99.9 %)"
    assert share(0, 0) == "none"


def test_what_is_left_behind_is_read_back_as_it_was(tmp_path: Path) -> None:
    table = Table("title", ("a", "b"), ((1, "x"), (2.5, "y")), "note")
    result = Result("start", "lab", "lab", {"n": 3}, (table,), (Verdict("write", "1 ms", met=True),), {"p50_s": 0.1})
    leave(result, tmp_path)
    (found,) = results_in(tmp_path)
    assert (found.tables, found.verdicts, found.numbers) == (result.tables, result.verdicts, result.numbers)
    assert found.machine["kernel"].startswith("Linux ")
    assert found.at.endswith(" UTC")
