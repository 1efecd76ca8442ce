"""The pictures of the docs: each is shown somewhere, and none makes a clone slow."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.docs.pages import ROOT, names

PICTURES = sorted((ROOT / "docs" / "pictures").iterdir())
MOST_BYTES = 150_000
SHOWN_ELSEWHERE = ("icon.svg",)  # by the chart


@pytest.mark.parametrize("picture", PICTURES, ids=names)
def test_a_picture_is_small_and_a_page_shows_it(picture: Path) -> None:
    assert picture.stat().st_size < MOST_BYTES
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    assert picture.name in SHOWN_ELSEWHERE or any(picture.name in page.read_text() for page in pages)
