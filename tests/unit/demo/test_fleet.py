"""The picture of `kubectl oomward` in the docs is what the commands print."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from agent.fleet.tables import HISTORY, TOP
from tests.demo import fleet

SPACE = "{http://www.w3.org/2000/svg}"


def lines(svg: str) -> list[str]:
    """As the terminal shows them, without the blanks."""
    rows: dict[float, list[tuple[float, str]]] = {}
    for text in ElementTree.fromstring(svg).iter(f"{SPACE}text"):
        if text.get("clip-path"):
            rows.setdefault(float(text.attrib["y"]), []).append((float(text.attrib["x"]), text.text or ""))
    return ["".join("".join(part for _, part in sorted(rows[y])).split()) for y in sorted(rows)]


@pytest.fixture(scope="module")
def said() -> list[str]:
    return fleet.outputs()


def test_the_picture_shows_what_the_commands_print_today(said: list[str]) -> None:
    """Otherwise: make fleet-picture."""
    assert lines(fleet.PICTURE.read_text()) == lines(fleet.picture(said))


def test_the_picture_has_the_tables_columns_that_80_columns_have_room_for(said: list[str]) -> None:
    shown = lines(fleet.PICTURE.read_text())
    always = [
        "".join(one.header for one in table if not one.spare and not one.wide and not one.prose)
        for table in (TOP, HISTORY)
    ]
    assert shown[1].startswith(always[0])
    assert always[1] in shown


def test_no_line_of_it_is_folded_or_wider_than_the_terminal(said: list[str]) -> None:
    counts = [1 + len(fleet.CONTAINERS_MADE) + 1, 1 + len(fleet.KILLS_MADE) + 1]
    assert [len(one.splitlines()) for one in said] == counts
    assert "worker-4 (no agent)" in said[0]
