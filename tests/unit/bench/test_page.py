"""docs/benchmarks.md: what the kept figures make of it, with a row for every goal of the design."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from tests.bench.__main__ import KEPT, PAGE, REMARKS, ordered
from tests.bench.figures import Result, Table, Verdict
from tests.bench.goals import GOALS, KEYS
from tests.bench.groups import GROUPS, parts
from tests.bench.page import NOT_MEASURED, goals, page

TEXT = PAGE.read_text()


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def a_result(*verdicts: Verdict) -> Result:
    return Result("start", "x", "lab", {"n": 1}, (Table("A title", ("a", "b"), ((1, "2"),), "a note"),), verdicts)


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


def test_every_table_of_the_page_has_rows_as_wide_as_its_head() -> None:
    tables = re.findall(r"(?:^\|.*\n)+", TEXT, re.MULTILINE)
    assert len(tables) > len(GROUPS)
    for table in tables:
        widths = {len(cells(line)) for line in table.splitlines()}
        assert len(widths) == 1, table


def test_every_result_says_when_on_which_kernel_on_which_machine_and_how_much() -> None:
    for result in ordered():
        assert result.at
        assert result.sizes
        assert {"kernel", "processor", "host kernel", "load"} <= result.machine.keys()


def test_every_verdict_is_of_a_goal_and_every_goal_is_of_a_group() -> None:
    assert {verdict.goal for result in ordered() for verdict in result.verdicts} == KEYS.keys()
    assert {group for goal in GOALS for group in goal.groups} <= set(GROUPS)


def test_a_goal_that_nobody_measured_says_so() -> None:
    assert goals([]).count(NOT_MEASURED) == 2 * len(GOALS)


def test_a_goal_that_is_met_here_and_not_there_is_met_in_part_with_each_verdict() -> None:
    here, there = Verdict("write", "1 ms here", met=True), Verdict("write", "9 ms there", met=False)
    (row,) = [line for line in goals([a_result(here, there)]).splitlines() if "1 ms here" in line]
    assert cells(row)[1:] == ["1 ms here: yes<br>9 ms there: **no**", "**in part**"]
    (row,) = [line for line in goals([a_result(there)]).splitlines() if "9 ms there" in line]
    assert cells(row)[1:] == ["9 ms there", "**no**"]


def test_other_figures_make_another_page() -> None:
    result = a_result(Verdict("write", "1 ms", met=True))
    text = page([result], "Remarks.")
    assert "| 1 | 2 |" in text
    assert "a note" in text
    assert page([replace(result, tables=())], "Remarks.") != text
