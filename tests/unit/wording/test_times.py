"""Times are RFC 3339 both ways; what can't be written is no time."""

from __future__ import annotations

import pytest

from agent.wording.times import rfc3339, unix_s


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "9999-12-31T23:59:59-01:00", "99999-01-01"],
)
def test_what_is_no_time_or_stands_for_never_or_can_not_be_written_is_none(text: str) -> None:
    assert unix_s(text) is None


@pytest.mark.parametrize("text", ["2026-11-28T13:35:27Z", "9999-12-31T23:59:59Z"])
def test_a_time_is_written_as_it_was_read(text: str) -> None:
    seconds = unix_s(text)
    assert seconds is not None
    assert rfc3339(seconds) == text
