"""Cells of tables and sections: names, sizes, times; and the console. All text goes through ``safe()``."""

from __future__ import annotations

from io import TextIOWrapper
from typing import TextIO

from rich.console import Console
from rich.text import Text

from agent.commands.output.table import WITHOUT_END
from agent.wording.kills import bytes_text, safe

NAME_LIMIT = 320  # namespace/pod: at most 63 + 1 + 253
UNKNOWN = "?"


def plain(text: str | None) -> Text:
    """A name, safe to print; None: unknown."""
    return Text(UNKNOWN if text is None else safe(text, NAME_LIMIT))


def size(size_bytes: int | None, without: str = UNKNOWN) -> Text:
    """A size for people; None is shown as ``without``."""
    return Text(without if size_bytes is None else bytes_text(size_bytes))


def console_on(file: TextIO) -> Console:
    """For output that is not a table: lines are not folded without a terminal."""
    if isinstance(file, TextIOWrapper):
        file.reconfigure(errors="backslashreplace")
    console = Console(file=file, markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        console.width = WITHOUT_END
    return console
