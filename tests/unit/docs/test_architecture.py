"""The picture of the rooms is the code's: drawn from its imports, each room with a row, each module that a row names there."""

from __future__ import annotations

import importlib.util
import re
from fnmatch import fnmatchcase
from types import ModuleType

import pytest

from tests.unit.docs.pages import ROOT

PAGE = ROOT / "docs" / "architecture.md"


@pytest.fixture(scope="module")
def picture() -> ModuleType:
    spec = importlib.util.spec_from_file_location("picture", ROOT / "scripts" / "picture.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows() -> dict[str, tuple[int, str]]:
    """What the table says, by room: its floor, and what it owns."""
    table = re.findall(r"^\| (\d+) \| `([a-z_]+)/?` \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    return {name: (int(floor), text) for floor, name, text in table}


def test_the_picture_is_what_the_code_imports(picture: ModuleType) -> None:
    drawn = picture.PLACE.search(PAGE.read_text())
    assert drawn is not None
    assert picture.picture() in drawn[0], "draw it anew: python scripts/picture.py"


def test_every_room_has_a_row_and_every_row_a_room(picture: ModuleType) -> None:
    assert set(rows()) == picture.rooms()


def test_every_module_that_a_row_names_is_there() -> None:
    gone = []
    for room, (_, text) in rows().items():
        inside = ROOT / "agent" / room
        named = re.findall(r"`([a-z_0-9]+)/?`", text) if inside.is_dir() else []
        gone += [
            f"{room}/{name}" for name in named if not ((inside / f"{name}.py").exists() or (inside / name).is_dir())
        ]
    assert gone == []


def test_every_module_of_a_room_is_named_in_its_row() -> None:
    """A folder stands for what is in it, ``table_*`` for all with that beginning."""
    missing = []
    for room, (_, text) in rows().items():
        inside = ROOT / "agent" / room
        named = re.findall(r"`([a-z_0-9*]+)/?`", text)
        there = [at for at in inside.iterdir() if at.is_dir() or at.suffix == ".py"] if inside.is_dir() else []
        found = sorted(at.stem for at in there if not at.stem.startswith("_"))
        missing += [f"{room}/{one}" for one in found if not any(fnmatchcase(one, name) for name in named)]
    assert missing == []
