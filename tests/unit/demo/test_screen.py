"""The demo is never silent for more than 5 s, on a terminal or not, and shows what it gets."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tests.demo.facts import to_json
from tests.demo.screen import LONGEST_SILENCE_S, TICK_S, Screen
from tests.unit.demo.results import ROWS, result


class Clock:
    """It goes only when a test moves it."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Recorded(io.StringIO):
    """Output that knows when it was written."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self.times_s: list[float] = []

    def write(self, text: str) -> int:
        self.times_s.append(self._clock())
        return super().write(text)


def state() -> bytes:
    return json.dumps(
        {"what": "state", "seconds": 4.2, "left": 55.8, "rows": [to_json(r) for r in ROWS.values()]}
    ).encode()


def phase(text: str) -> bytes:
    return json.dumps({"what": "phase", "text": text}).encode()


def screen(terminal: bool = False) -> tuple[Screen, Recorded, Clock]:
    clock = Clock()
    out = Recorded(clock)
    console = Console(file=out, width=80, force_terminal=terminal, highlight=False, color_system=None)
    return Screen(console, clock), out, clock


MESSAGES: tuple[Callable[[], bytes], ...] = (
    state,
    lambda: phase("The pods run"),
    lambda: b"Traceback",
    lambda: b"[1, 2]",
)


@given(
    terminal=st.booleans(),
    steps=st.lists(st.tuples(st.floats(0.0, TICK_S), st.none() | st.sampled_from(MESSAGES)), max_size=120),
)
def test_with_a_look_every_half_second_something_is_printed_every_5_s(terminal: bool, steps: list[Any]) -> None:
    """Whatever comes from the kernel, and when. The ticker's thread is not used here: the test makes its looks."""
    shown, out, clock = screen(terminal)
    if shown._live is not None:
        shown._live.start()
    shown.phase("Booting a Linux kernel")
    for late_s, message in steps:
        if message is not None:
            shown.take(message())
        clock.now_s += TICK_S + late_s  # a busy machine wakes the thread late
        shown.tick()
    if shown._live is not None:
        shown._live.stop()
    times_s = [*out.times_s, clock()]
    assert max(after - before for before, after in pairwise(times_s)) <= LONGEST_SILENCE_S


def test_the_ticker_looks_by_itself_and_ends_with_the_screen() -> None:
    shown, _, _ = screen(terminal=True)
    with shown:
        shown.phase("Booting a Linux kernel")
        assert shown._ticker.is_alive()
    assert not shown._ticker.is_alive()


def test_what_is_no_message_is_shown_as_it_is() -> None:
    shown, out, _ = screen()
    for line in (b"Traceback (most recent call last):\n", b"[bold]7\n", b"\xff\n"):
        shown.take(line)
    assert out.getvalue().splitlines() == ["Traceback (most recent call last):", "[bold]7", "\ufffd"]


def test_without_a_terminal_the_lines_say_how_long_it_takes_and_how_the_pods_are() -> None:
    shown, out, clock = screen()
    shown.take(phase("Starting oomward"))
    clock.now_s += 4
    shown.tick()
    shown.take(phase("The pods run"))
    shown.take(state())
    clock.now_s += 4
    shown.tick()
    assert out.getvalue().splitlines() == [
        "Starting oomward …",
        "  … 4 s",
        "The pods run …",
        "  … 4 s. Restarts: without-label 3, with-label 0, with-annotation 0",
    ]


def test_on_a_terminal_there_is_the_table_and_what_was_done_before_it() -> None:
    shown, out, clock = screen(terminal=True)
    assert shown._live is not None
    with shown._live:
        shown.take(phase("Starting oomward"))
        clock.now_s += 2
        shown.take(phase("The pods run"))
        shown.take(state())
        shown.tick()
    text = out.getvalue()
    assert "Starting oomward: 2 s" in text
    assert "After 4 s (56 s left)" in text
    assert "next try in 18 s" in text


def test_the_result_is_kept() -> None:
    shown, _, _ = screen()
    assert shown.result is None
    shown.take(json.dumps({"what": "result", **to_json(result())}).encode())
    assert shown.result == result()
