"""A signal ends the agent wherever it arrives, also in the middle of a line of the log."""

from __future__ import annotations

import io
import logging
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from agent import run as program

NUMBERS = (signal.SIGTERM, signal.SIGINT)


class Loop:
    stopped = False
    went_on = False

    def continued(self) -> None:
        self.went_on = True

    def stop(self) -> None:
        self.stopped = True


class Interrupted(io.StringIO):
    """Standard error; a signal arrives while a line is written, and another write meanwhile is refused (io.BufferedWriter)."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number
        self.writing = False

    def write(self, text: str) -> int:
        if self.writing:
            raise RuntimeError("reentrant call inside <_io.BufferedWriter name='<stderr>'>")
        self.writing = True
        signal.raise_signal(self.number)
        self.writing = False
        return super().write(text)


@pytest.fixture(autouse=True)
def process_left_as_it_was() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (*NUMBERS, signal.SIGCONT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number.name)
def test_a_signal_in_the_middle_of_a_log_line_stops_the_loop(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop: Any = Loop()
    file = Interrupted(number)
    monkeypatch.setattr("sys.stderr", file)
    monkeypatch.setattr(program.logger, "handlers", [logging.StreamHandler(file)])
    monkeypatch.setattr(program.logger, "propagate", False)
    program.logger.setLevel(logging.INFO)
    program._handle_signals(loop)
    program.logger.info("a line of the log")
    assert loop.stopped
    assert file.getvalue() == "a line of the log\n"


def test_after_a_stop_the_loop_is_told_that_it_was_stopped() -> None:
    loop: Any = Loop()
    program._handle_signals(loop)
    signal.raise_signal(signal.SIGCONT)
    assert (loop.went_on, loop.stopped) == (True, False)
