"""Titles with named lines below, as printed by ``explain`` and ``diagnose``. Takes Text that is safe to print."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TextIO

from rich.table import Table
from rich.text import Text

from agent.commands.output.cells import console_on

Line = tuple[str, Text]
NAME_WIDTH = 9


def print_sections(sections: Iterable[tuple[str, Sequence[Line]]], file: TextIO) -> None:
    """Separated by blank lines; long lines are folded on a terminal only."""
    console = console_on(file)
    for number, (title, lines) in enumerate(sections):
        if number:
            console.print()
        console.print(Text(title, style="bold"))
        if console.is_terminal:
            console.print(_grid(lines))
            continue
        for name, text in lines:
            console.print(Text(f"  {name:{NAME_WIDTH}}").append(text))


def _grid(lines: Sequence[Line]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, min_width=NAME_WIDTH)
    table.add_column(overflow="fold")
    for name, text in lines:
        table.add_row(f"  {name}", text)
    return table
