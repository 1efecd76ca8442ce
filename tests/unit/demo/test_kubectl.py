"""The demo prints what kubectl would. The tables here are real ones, of kubectl 1.33 and 1.37 for the same Events."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.demo.kubectl import age, events_section, status, wrapped
from tests.unit.demo.results import AT, event

EVENTS = [
    event("p", "ProcessOOMKilled", 57.9, "OOM killer killed process 1.\n", count=19, last_s=30.2),
    event("p", "OOMModeApplied", 59.2, "Container app is in mode single."),
    event("p", "OOMModeApplied", 0.9, "y"),
]
KUBECTLS = """\
Events:
  Type     Reason            Age                 From               Message
  ----     ------            ----                ----               -------
  Normal   OOMModeApplied    59s                 oomward.dev/agent  Container app is in mode single.
  Warning  ProcessOOMKilled  30s (x19 over 57s)  oomward.dev/agent  OOM killer killed process 1.
  Normal   OOMModeApplied    0s                  oomward.dev/agent  y"""


def test_events_are_kubectls_table() -> None:
    assert "\n".join(events_section(EVENTS, AT)) == KUBECTLS


def test_without_events_kubectl_says_so() -> None:
    assert events_section([], AT) == ["Events:  <none>"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-2, "<invalid>"), (-1.9, "0s"), (0, "0s"), (0.9, "0s"), (12, "12s"), (119, "119s"), (120, "2m"), (201, "3m21s"), (599, "9m59s"),
        (600, "10m"), (3600 * 3 - 1, "179m"), (3600 * 3, "3h"), (3600 * 5 + 180, "5h3m"), (3600 * 8 + 180, "8h"),
    ],
)  # fmt: skip
def test_ages_are_kubectls(seconds: float, text: str) -> None:
    assert age(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ({"running": {}}, "Running"),
        ({"terminated": {"reason": "OOMKilled"}}, "OOMKilled"),
        ({"waiting": {"reason": "CrashLoopBackOff"}}, "CrashLoopBackOff"),
    ],
)
def test_status_is_that_of_kubectl_get_pods(state: dict[str, object], text: str) -> None:
    assert status({"state": state}) == text


@given(
    st.integers(80, 200), st.lists(st.text("abc xyz.", max_size=300), min_size=1, max_size=4), st.integers(1, 99_999)
)
def test_wrapped_lines_fit_begin_as_kubectls_and_lose_no_word(width: int, notes: list[str], count: int) -> None:
    events = [event("p", "ContainerOOMKilled", 600 + i, note, count, 300.0) for i, note in enumerate(notes)]
    lines = events_section(events, AT)
    shown = wrapped(lines, width)
    assert max(map(len, shown)) <= width
    assert " ".join(shown).split() == " ".join(lines).split()
    assert [line[:40] for line in shown if not line.startswith("      ")] == [line[:40] for line in lines]


def test_where_there_is_room_a_message_goes_on_in_its_column() -> None:
    note = "word " * 40
    lines = events_section([event("p", "OOMModeApplied", 1, note)], AT)
    column = lines[1].index("Message")
    assert {line[:column] for line in wrapped(lines, 120)[4:]} == {" " * column}
    assert {line[:7] for line in wrapped(lines, 80)[4:]} == {"      w"}
