"""docs/benchmarks.md: what the kept figures make of it, with a row for every goal of the design."""

from __future__ import annotations

import pytest

from tests.bench.__main__ import KEPT, PAGE, REMARKS, ordered
from tests.bench.goals import GOALS
from tests.bench.groups import parts
from tests.bench.page import NOT_MEASURED, page

TEXT = PAGE.read_text()


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_page_is_what_the_kept_figures_make_of_it() -> None:
    assert page(ordered(), REMARKS.read_text()) == TEXT


def test_every_part_of_every_group_has_been_measured_and_kept() -> None:
    assert {path.stem for path in KEPT.glob("*.json")} == {f"{part.group}-{part.name}" for part in parts()}


@pytest.mark.parametrize("goal", GOALS, ids=lambda goal: goal.key)
def test_every_goal_has_a_row_with_what_was_measured_and_whether_it_is_met(goal: object) -> None:
    (row,) = [cells(line) for line in TEXT.splitlines() if line.startswith(f"| {goal.text} |")]  # type: ignore[attr-defined]
    assert len(row) == 3
    assert row[1] != NOT_MEASURED
    assert row[2] in ("yes", "**no**", "**in part**")
