"""docs/benchmarks.md: what the kept figures make of it, with a row for every goal of the design."""

from __future__ import annotations

import pytest

from tests.bench.__main__ import KEPT, PAGE, REMARKS, ordered
from tests.bench.figures import Table
from tests.bench.goals import GOALS
from tests.bench.groups import parts
from tests.bench.page import NOT_MEASURED, page
from tests.bench.picture import PICTURES, Picture, number, pictures, svg

TEXT = PAGE.read_text()


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_page_is_what_the_kept_figures_make_of_it() -> None:
    assert page(ordered(), REMARKS.read_text()) == TEXT


def test_the_pictures_are_what_the_kept_figures_make_of_them() -> None:
    made = pictures(table for result in ordered() for table in result.tables)
    assert len(made) == len(PICTURES), "each has its table"
    assert {path.name: path.read_text() for path in KEPT.glob("*.svg")} == made


@pytest.mark.parametrize(
    ("cell", "length"), [("125 of 125 (100 %)", 100.0), ("7 of 95 (7.4 %)", 7.4), ("54,809", 54809.0), ("-", 0.0)]
)
def test_a_bar_is_as_long_as_its_cell_says(cell: str, length: float) -> None:
    assert number(cell) == length


def test_what_a_cell_says_is_no_markup_of_the_picture() -> None:
    table = Table("From <a> to <b>", ("tool", "p99"), (("<script>", "1"),))
    assert "<script>" not in svg(table, Picture(("tool",), "p99", "ms"))


def test_every_part_of_every_group_has_been_measured_and_kept() -> None:
    assert {path.stem for path in KEPT.glob("*.json")} == {f"{part.group}-{part.name}" for part in parts()}


@pytest.mark.parametrize("goal", GOALS, ids=lambda goal: goal.key)
def test_every_goal_has_a_row_with_what_was_measured_and_whether_it_is_met(goal: object) -> None:
    (row,) = [cells(line) for line in TEXT.splitlines() if line.startswith(f"| {goal.text} |")]  # type: ignore[attr-defined]
    assert len(row) == 3
    assert row[1] != NOT_MEASURED
    assert row[2] in ("yes", "**no**", "**in part**")
