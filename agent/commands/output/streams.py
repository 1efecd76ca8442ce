"""Standard output and standard error, which may be closed, full, or read by nobody any more."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from io import TextIOWrapper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TextIO

MOST_SAID = 1200  # characters of one trouble


def standard_output() -> TextIO:
    """What its encoding lacks is written as an escape. Raises OSError if it is closed."""
    if sys.stdout is None:
        raise OSError(errno.EBADF, "standard output is closed")
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    return sys.stdout


def flush() -> None:
    """Raises OSError if standard output can't be written."""
    if sys.stdout is not None:
        sys.stdout.flush()


def say(troubles: Iterable[str]) -> None:
    """Print each on a line of standard error, if that can be written."""
    from agent.wording.text import safe  # noqa: PLC0415 (most commands have nothing to say)

    for trouble in troubles:
        say_as_it_is(safe(trouble, MOST_SAID))


def say_as_it_is(text: str) -> None:
    """On standard error, if that can be written."""
    if sys.stderr is None:
        return
    try:
        print(f"oomward: {text}", file=sys.stderr, flush=True)  # noqa: T201
    except OSError:
        drop(sys.stderr)


def drop(file: TextIO | None) -> None:
    """What is still buffered; else the interpreter would try again at its end."""
    if file is None:
        return
    with suppress(OSError, ValueError):  # no descriptor is free, or the file has none
        os.dup2(os.open(os.devnull, os.O_RDWR), file.fileno())
