"""On a terminal of any width: no name, time or path is broken, the least important goes first, and sentences are folded between words."""

from __future__ import annotations

import re
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from agent.commands.output.table import text_of, without_wide
from agent.commands.output.terminal import Screen, lines_of
from agent.commands.probes import checks
from agent.look.advice import ADVICE, Advice
from agent.look.containers import CONTAINERS, ContainerRow
from agent.look.kills import KILLS
from agent.look.view import Column, Listing, sections_view, styled
from agent.model import Mode
from tests.unit.commands.world import MIB, Terminal
from tests.unit.profiles import examples
from tests.unit.wording.kills import KILL

if TYPE_CHECKING:
    from agent.wording.view import View

POD = "herder-7d9c8b6f5-abcde"
ROW = ContainerRow("default", POD, "herder", Mode.SINGLE, Mode.SINGLE, 256 * MIB, 200 * MIB, 256 * MIB, 7)
WHY = "3 OOM kills at the limit of 256Mi (the last 2026-11-21T22:50:40Z, the container survived)"
TOLD = Advice(
    "shop", "Deployment", "a-workload-with-a-name", "herder", 3, 256 * MIB, MIB, None, 3, 3, 3, None, None, 1, "320Mi", WHY
)  # fmt: skip
CHECKS = Listing("checks", checks.COLUMNS, checks._check_json, "")
VIEWS: dict[str, Any] = {
    "ps": CONTAINERS.view([ROW]),
    "history": KILLS.view([KILL]),
    "advise": ADVICE.view([TOLD]),
    "check": CHECKS.view([checks.warned("kernel log", "/dev/kmsg cannot be read " * 9, "Mount it.")]),
}


def drawn(view: View, width: int, *, wide: bool = False) -> list[str]:
    console = Console(file=StringIO(), width=width, force_terminal=True, color_system=None)
    return [line.plain for line in lines_of(view if wide else without_wide(view), console, wide=wide)]


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
def test_what_is_shown_is_whole_and_on_the_terminal(name: str, width: int) -> None:
    view = without_wide(VIEWS[name])
    lines = drawn(VIEWS[name], width)
    assert max(map(cell_len, lines)) <= width
    for column, cell in zip(view["columns"], view["rows"][0], strict=True):
        if column["spare"] == 0 and not column["prose"]:
            assert any(text_of(cell) in line for line in lines), column["header"]
        if column["header"] in " ".join(lines) and column["prose"]:
            assert all(any(word in line for line in lines) for word in text_of(cell).split())


def test_at_80_columns_the_usual_row_is_one_line() -> None:
    assert len(drawn(VIEWS["ps"], 80)) == len(drawn(VIEWS["history"], 80)) == 2
    assert drawn(VIEWS["ps"], 80)[0].split() == ["POD", "CONTAINER", "DESIRED", "ACTUAL", "LIMIT", "KILLS"]


def test_what_does_not_fit_goes_on_in_a_second_line_between_two_columns() -> None:
    head, more, row, rest = drawn(VIEWS["ps"], 50)
    assert (head.split(), more.split()) == (["POD", "CONTAINER", "DESIRED"], ["ACTUAL", "KILLS"])
    assert row == f"default/{POD}  herder     single"
    assert rest == "  single      7"
    assert more.startswith("  ACTUAL")


def test_wide_leaves_nothing_out() -> None:
    text = " ".join(drawn(VIEWS["ps"], 60, wide=True))
    assert all(column["header"] in text for column in VIEWS["ps"]["columns"])


@given(st.integers(20, 120), st.lists(st.text("ab/-é日", min_size=1, max_size=40), min_size=1, max_size=4))
@examples(200)
def test_no_name_is_broken_whatever_it_is_and_however_narrow_the_terminal(width: int, names: list[str]) -> None:
    columns: list[Column[str]] = [
        Column("NAME", styled),
        Column("PROSE", lambda one: styled(f"about {one} and more"), spare=1, prose=True),
        Column("SIZE", lambda _: styled("256 MiB"), right=True),
    ]
    lines = drawn(Listing("x", columns, lambda one: {"name": one}, "").view(names), width)
    assert all(any(name in line for line in lines) for name in names)
    assert sum(line.count("256 MiB") for line in lines) >= len(names)
    longest = max(map(cell_len, names))
    assert all(cell_len(line) <= max(width, longest + 2) for line in lines)


@given(st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), max_size=100), st.integers(20, 100))
@examples(100)
def test_sections_keep_each_word_whole(word: str, width: int) -> None:
    lines = drawn(sections_view([("Pod a", [("Cgroup", styled(f"some words before {word} and after"))])]), width)
    assert not word or any(word in line for line in lines)
    assert re.sub(r"\s+", "", "".join(lines)) == f"PodaCgroupsomewordsbefore{word}andafter"


@pytest.mark.parametrize(
    ("rows", "height", "title", "more"),
    [
        (1, 30, "now  1 row, Ctrl-C exits", None),
        (2, 30, "now  2 rows, Ctrl-C exits", None),
        (3, 5, "now  3 rows, Ctrl-C exits", "… and 2 more lines: the terminal has too few"),
        (2, 4, "now  2 rows, Ctrl-C exits", "… and 2 more lines: the terminal has too few"),
        (0, 30, "now  0 rows, Ctrl-C exits", None),
    ],
)
def test_a_screen_counts_its_rows_and_the_lines_that_do_not_fit(
    rows: int, height: int, title: str, more: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": str(height)}.items():
        monkeypatch.setenv(name, value)
    file = Terminal()
    view = {"columns": [{"header": "ROW", "right": False, "spare": 0}], "rows": [[styled("x")]] * rows, "nothing": "-"}
    with Screen(file) as screen:
        screen.draw(view, [], "now")
    assert title in file.getvalue()
    assert ("more line" in file.getvalue()) == (more is not None)
    assert more is None or more in file.getvalue()


@pytest.mark.parametrize("height", [4, 30])
def test_a_screen_shows_sections_too_as_far_as_they_fit(height: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": str(height)}.items():
        monkeypatch.setenv(name, value)
    file = Terminal()
    with Screen(file) as screen:
        screen.draw(sections_view([("Pod a", [(f"Line{n}", styled("x")) for n in range(9)])]), [], "now")
    text = file.getvalue()
    assert ("Line8" in text, "more lines" in text) == ((True, False) if height == 30 else (False, True))
    assert "rows" not in text
