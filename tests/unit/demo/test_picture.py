"""The pictures of the demo in the docs: whole, without anything from elsewhere, and of the demo as it is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.demo import picture
from tests.demo.facts import to_json
from tests.demo.pods import NAMES
from tests.unit.demo.results import result

SPACE = "{http://www.w3.org/2000/svg}"
ROOT = Path(__file__).parents[3]


def words(svg: str) -> list[str]:
    return " ".join(text.text or "" for text in ElementTree.fromstring(svg).iter(f"{SPACE}text")).split()


@pytest.mark.parametrize("width", picture.WIDTHS)
def test_a_picture_has_all_its_columns_and_no_address_but_the_format_s_name(width: int) -> None:
    svg = picture.picture(result(), width)
    assert re.findall(r"https?://[^\"\s]+", svg) == ["http://www.w3.org/2000/svg"]
    assert "url(" not in re.sub(r"url\(#[\w-]+\)", "", svg)
    assert all(
        text.get("textLength") for text in ElementTree.fromstring(svg).iter(f"{SPACE}text") if text.get("clip-path")
    )
    assert {*NAMES, "SURVIVED", "ProcessOOMKilled", "PASS"} <= set(words(svg))
    assert svg == picture.picture(result(), width)


@pytest.mark.parametrize("width", picture.WIDTHS)
def test_those_in_the_docs_are_of_a_run_that_passed_and_of_the_demo_as_it_is(width: int) -> None:
    """Anything that is not from a run is the same in both."""
    shown = words(picture.path(width).read_text())
    assert "PASS" in shown
    now = words(picture.picture(result(), width))
    intro = now[: now.index("After")]
    assert shown[: len(intro)] == intro
    assert [w for w in shown if w.isupper()][:9] == [w for w in now if w.isupper()][:9]


def test_both_are_shown_in_the_documents() -> None:
    assert "](docs/pictures/demo-80.svg)" in (ROOT / "README.md").read_text()
    assert "](pictures/demo-120.svg)" in (ROOT / "docs" / "tutorial.md").read_text()


@pytest.mark.parametrize(("ok", "status", "made"), [(True, 0, 2), (False, 1, 0), (None, 1, 0)])
def test_pictures_are_made_of_a_demo_that_passed_and_of_no_other(
    ok: bool | None, status: int, made: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``ok`` None: there was no demo."""
    monkeypatch.setattr(picture, "REPO", tmp_path)
    monkeypatch.setattr(picture, "PICTURES", tmp_path / "pictures")
    monkeypatch.setattr(picture, "RESULT", tmp_path / "result.json")
    if ok is not None:
        (tmp_path / "result.json").write_text(json.dumps({**to_json(result()), "ok": ok}))
    assert picture.main() == status
    assert len(list(tmp_path.glob("pictures/*.svg"))) == made
