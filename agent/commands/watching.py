"""``--watch``: the same again and again, until Ctrl-C or until nobody reads it any more."""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import sys
import time
from contextlib import contextmanager, nullcontext, suppress

from agent.commands import EXIT_OK
from agent.commands.output.streams import say
from agent.commands.output.table import Output, is_terminal, print_view, show, without_wide
from agent.wording.view import Shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TextIO

# A reader that takes nothing for that long is gone: a runtime keeps the pipe of a lost `kubectl exec` open.
STALLED_S = 60.0
LOOK_S = 1.0  # how often the parent is looked at


class ReaderGoneError(BrokenPipeError):
    """The client is gone: nobody reads standard output any more."""


def wait_beside(file: TextIO, parent: Callable[[], int] = os.getppid) -> Callable[[float], None]:
    """A wait that ends with ReaderGoneError when the client has: the reader of ``file``, the writer of standard input, or our parent.

    Standard input counts only if somebody can write to it now (`kubectl exec --stdin`).
    """
    try:
        descriptors = [file.fileno()]
    except OSError:  # in memory
        return time.sleep
    with suppress(OSError, AttributeError):  # None: closed
        if not _hung_up([sys.stdin.fileno()], 0.0):
            descriptors.append(sys.stdin.fileno())
    ours = parent()

    def wait(seconds: float) -> None:
        until_s = time.monotonic() + seconds
        while (left_s := until_s - time.monotonic()) > 0:
            if _hung_up(descriptors, min(left_s, LOOK_S)):
                raise ReaderGoneError("standard output or input is closed")
            if parent() != ours:
                raise ReaderGoneError("the process that started this one has ended")

    return wait


def _hung_up(descriptors: list[int], seconds: float) -> bool:
    """Waits. POLLERR (a pipe that nobody reads) and POLLHUP (one that nobody writes, and a terminal) are always asked for."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, 0)
    return bool(poll.poll(seconds * 1000))


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


@contextmanager
def _until_hung_up(terminal: bool) -> Iterator[None]:
    """Raises ReaderGoneError for what can't be written to a terminal that is gone (EIO: drivers/tty/n_tty.c, n_tty_write)."""
    try:
        yield
    except OSError as error:
        if terminal and error.errno == errno.EIO:
            raise ReaderGoneError("the terminal is hung up") from None
        raise


def watch(
    look: Callable[[], Shown], output: Output, file: TextIO, every_s: float, wait: Callable[[float], object]
) -> int:
    """In place on a terminal, with the errors below; else table after table, one JSON document per line, or YAML documents.

    Raises BrokenPipeError when the reader is gone.
    """
    screen = None
    if not output.of_document and is_terminal(file):
        from agent.commands.output.terminal import Screen  # noqa: PLC0415 (only a terminal needs rich)

        screen = Screen(file, wide=output is Output.WIDE)
        screen = screen if screen.usable else None
    last: list[str] = []
    with _until_hung_up(file.isatty()), suppress(KeyboardInterrupt), screen or nullcontext():
        while True:
            shown = look()
            clock = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            with _limited(STALLED_S):
                if screen is not None:
                    view = shown.view or {}
                    screen.draw(view if screen.wide else without_wide(view), shown.troubles, clock)
                else:
                    _print(shown, output, file, clock)
                    say(shown.troubles if shown.troubles != last else ())
            last = shown.troubles
            wait(every_s)
    return EXIT_OK


def _print(shown: Shown, output: Output, file: TextIO, clock: str) -> None:
    document = {**(shown.document or {}), "looked_at_unix_s": round(time.time(), 3)}
    if output is Output.JSON:
        file.write(json.dumps(document, ensure_ascii=True) + "\n")
    elif output.of_document:
        file.write("---\n" if output is Output.YAML else "")
        show(Shown(document, None, []), output, file)
    else:
        file.write(f"{clock}\n")
        print_view(shown.view or {}, file, wide=output is Output.WIDE)
        file.write("\n")
    file.flush()
