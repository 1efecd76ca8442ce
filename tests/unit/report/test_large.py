"""A cluster with far too much of everything: the page stays small, and is made in a moment."""

from __future__ import annotations

import pytest

from agent.report.page import page
from tests.browser import example

MOST_BYTES = 500_000


@pytest.mark.long
def test_fifty_thousand_kills_with_hostile_names_make_a_small_page() -> None:
    report = example.hostile(kills=50_000)
    assert len(report.kills) > 49_900
    assert len(page(report).encode()) < MOST_BYTES
