"""``ps --watch``: the same again and again, until Ctrl-C or until nobody reads it any more."""

from __future__ import annotations

import json
import os
import select
import signal
import time
from contextlib import contextmanager, nullcontext, suppress

from agent.commands import EXIT_OK
from agent.commands.output.say import say
from agent.commands.output.table import Output, is_terminal, print_view

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TextIO

    from agent.wording.view import Shown

STALLED_S = (
    60.0  # a reader that takes nothing for that long is gone: a runtime keeps the pipe of a lost `kubectl exec` open
)
LOOK_S = 1.0  # how often the parent is looked at


class ReaderGoneError(BrokenPipeError):
    """Nobody reads standard output any more."""


def wait_beside(file: TextIO, parent: Callable[[], int] = os.getppid) -> Callable[[float], None]:
    """A wait that ends with ReaderGoneError when the reader of ``file`` has closed it, or when our parent has ended."""
    try:
        descriptor = file.fileno()
    except OSError:  # in memory
        return time.sleep
    ours = parent()

    def wait(seconds: float) -> None:
        until_s = time.monotonic() + seconds
        while (left_s := until_s - time.monotonic()) > 0:
            _poll(descriptor, min(left_s, LOOK_S))
            if parent() != ours:
                raise ReaderGoneError("the process that started this one has ended")

    return wait


def _poll(descriptor: int, seconds: float) -> None:
    """Wait. Raises ReaderGoneError at POLLERR (a pipe) and POLLHUP (a terminal), which are always asked for."""
    poll = select.poll()
    poll.register(descriptor, 0)
    if poll.poll(seconds * 1000):
        raise ReaderGoneError("standard output is closed")


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Output that blocks for longer raises ReaderGoneError. For the main thread only."""

    def end(_signum: int, _frame: object) -> None:
        raise ReaderGoneError("standard output takes nothing")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def watch(
    look: Callable[[], Shown], output: Output, file: TextIO, every_s: float, wait: Callable[[float], object]
) -> int:
    """In place on a terminal, with the errors below; else table after table, or one JSON document per line.

    Raises BrokenPipeError when the reader is gone.
    """
    screen = None
    if output is Output.TABLE and is_terminal(file):
        from agent.commands.output.terminal import Screen  # noqa: PLC0415 (only a terminal needs rich)

        screen = Screen(file)
        screen = screen if screen.usable else None
    last: list[str] = []
    with suppress(KeyboardInterrupt), screen or nullcontext():
        while True:
            shown = look()
            clock = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            with _limited(STALLED_S):
                if screen is not None:
                    screen.draw(shown.view or {}, shown.troubles, clock)
                else:
                    _print(shown, output, file, clock)
                    say(shown.troubles if shown.troubles != last else ())
            last = shown.troubles
            wait(every_s)
    return EXIT_OK


def _print(shown: Shown, output: Output, file: TextIO, clock: str) -> None:
    if output is Output.JSON:
        file.write(json.dumps({"time": clock, **(shown.document or {})}, ensure_ascii=True) + "\n")
    else:
        file.write(f"{clock}\n")
        print_view(shown.view or {}, file)
        file.write("\n")
    file.flush()
