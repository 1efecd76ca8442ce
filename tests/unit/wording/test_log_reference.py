"""The page about the log lists every event and field of the lines about kills, as the code has them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from agent.wording.kill_record import kill_fields
from agent.wording.kills import LINES, kill_line
from tests.unit.wording.kills import CASES, KILL

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "reference" / "log.md").read_text()
EVENT = re.compile(r'event="(\w+)"|"event": "(\w+)"')


def cells(section: str) -> list[str]:
    """The names in the first column of a section's table."""
    text = PAGE.partition(f"## {section}\n")[2].partition("\n## ")[0]
    return [
        name for cell in re.findall(r"^\| (`[^|]*) \|", text, re.MULTILINE) for name in re.findall(r"`(\w+)`", cell)
    ]


def test_every_event_is_listed_and_no_other() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "agent").rglob("*.py"))
    found = {one or other for one, other in EVENT.findall(sources)} | set(LINES)
    assert sorted(cells("Lines about kills")) == sorted(found)


def test_every_field_is_listed_and_no_other() -> None:
    assert sorted(cells("Fields")) == sorted(kill_fields(KILL))


def test_the_example_is_a_line() -> None:
    (example,) = re.findall(r"^\{.*\}$", PAGE, re.MULTILINE)
    assert set(json.loads(example)) <= {*kill_fields(KILL), "level", "message", "time"}


@pytest.mark.parametrize("name", CASES)
def test_a_search_for_one_beginning_finds_one_line_of_a_kill(name: str) -> None:
    lines = [kill_line(CASES[name], event) for event in LINES]
    for begins in LINES.values():
        assert sum(begins in line for line in lines) == 1
