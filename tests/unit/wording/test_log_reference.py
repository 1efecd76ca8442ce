"""The page about the log lists every event and field of the lines about kills, as the code has them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from agent.model import Identity
from agent.wording.kill_record import kill_fields
from agent.wording.kills import LINES, kill_line
from agent.wording.pressure import pressure_fields
from tests.unit.wording.kills import CASES, KILL
from tests.unit.wording.test_events_reference import AT_LIMIT, SEEN

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
    assert sorted(cells("Lines about kills") + cells("Lines about pressure")) == sorted(found)


def test_every_field_is_listed_and_no_other() -> None:
    assert sorted(cells("Fields")) == sorted(kill_fields(KILL))


def test_fields_of_a_line_about_pressure_are_of_the_same_types_as_a_kills() -> None:
    """A store of logs refuses a field that is a text in one line and an object in another."""
    names = Identity("shop", "web-1", "u-1", "worker")
    found = pressure_fields(names, AT_LIMIT, 0.5, SEEN, shared=False)
    kills = json.loads(json.dumps(kill_fields(replace(KILL, use=AT_LIMIT.use))))
    for name in set(found) - {"stalled"}:
        assert type(json.loads(json.dumps(found[name]))) is type(kills[name]), name
        assert f"`{name}`" in PAGE
    assert set(json.loads(json.dumps(found["memory"]))) == set(kills["memory"])
    largest = [{"pid": one.pid, "comm": one.comm, "uid": None, "rss_bytes": one.rss_bytes} for one in SEEN]
    assert found["largest"] == largest
    assert set(largest[0]) == set(kills["largest"][0])


def test_the_example_is_a_line() -> None:
    (example,) = re.findall(r"^\{.*\}$", PAGE, re.MULTILINE)
    assert set(json.loads(example)) <= {*kill_fields(KILL), "level", "message", "time"}


@pytest.mark.parametrize("name", CASES)
def test_a_search_for_one_beginning_finds_one_line_of_a_kill(name: str) -> None:
    lines = [kill_line(CASES[name], event) for event in LINES]
    for begins in LINES.values():
        assert sum(begins in line for line in lines) == 1
