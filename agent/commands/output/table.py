"""How commands print: tables, sections of named lines, and JSON. Text from the kernel or a pod goes through ``safe()``.

On a terminal the least important columns are left out, then cells are folded; without a terminal each row is one line. rich
handles colours, NO_COLOR and TERM=dumb; markup is off.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from io import TextIOWrapper
from typing import Generic, TextIO, TypeVar

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from agent.wording.text import bytes_text, safe

NAME_LIMIT = 320  # namespace/pod: at most 63 + 1 + 253
UNKNOWN = "?"
NAME_WIDTH = 9  # of a section's lines
UNLIMITED = 100_000  # columns: more than any table has

T = TypeVar("T")
Line = tuple[str, Text]


class Output(StrEnum):
    """Values of ``--output``."""

    TABLE = "table"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Column(Generic[T]):
    """``spare`` 0: always shown; of the others the highest is left out first on a narrow terminal."""

    header: str
    cell: Callable[[T], Text]
    spare: int = 0
    right: bool = False


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """Rows of one kind. ``name`` is their key in JSON, ``nothing`` the text of an empty table."""

    name: str
    columns: Sequence[Column[T]]
    to_json: Callable[[T], dict[str, object]]
    nothing: str

    def show(self, rows: Sequence[T], output: Output, file: TextIO) -> None:
        """Print rows in the given order."""
        if output is Output.JSON:
            print_json(self.name, [self.to_json(row) for row in rows], file)
        else:
            console = console_on(file)
            console.print(fitted(rows, self.columns, console) if rows else self.nothing)


def plain(text: str | None) -> Text:
    """A name, safe to print; None: unknown."""
    return Text(UNKNOWN if text is None else safe(text, NAME_LIMIT))


def size(size_bytes: int | None, without: str = UNKNOWN) -> Text:
    """A size; None is shown as ``without``."""
    return Text(without if size_bytes is None else bytes_text(size_bytes))


class _Console(Console):
    """rich's own ends the process with 1 when nobody reads its output any more."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def console_on(file: TextIO) -> Console:
    """Lines are not folded without a terminal."""
    if isinstance(file, TextIOWrapper):
        file.reconfigure(errors="backslashreplace")  # do not fail on a terminal without UTF-8
    console = _Console(file=file, markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        console.width = UNLIMITED
    return console


def print_json(name: str, content: object, file: TextIO) -> None:
    """ASCII only: no surrogate or escape sequence in a name reaches the terminal."""
    file.write(json.dumps({name: content}, indent=2, ensure_ascii=True) + "\n")


def fitted(rows: Sequence[T], columns: Sequence[Column[T]], console: Console) -> Table:
    """The table with as many columns as fit; if the ``spare`` 0 columns do not fit, they are folded."""
    kept = list(columns)
    while True:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for column in kept:
            table.add_column(column.header, justify="right" if column.right else "left", overflow="fold")
        for row in rows:
            table.add_row(*(column.cell(row) for column in kept))
        natural = Measurement.get(console, replace(console.options, max_width=UNLIMITED), table)
        last = max(kept, key=lambda column: column.spare)
        if last.spare == 0 or natural.maximum <= console.width:
            return table
        kept.remove(last)


def print_sections(sections: Iterable[tuple[str, Iterable[Line]]], file: TextIO) -> None:
    """Titles with named lines, separated by blank lines; long lines are folded on a terminal only."""
    console = console_on(file)
    for number, (title, lines) in enumerate(sections):
        if number:
            console.print()
        console.print(Text(title, style="bold"))
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(no_wrap=True, min_width=NAME_WIDTH)
        grid.add_column(overflow="fold")
        for name, text in lines:
            if console.is_terminal:
                grid.add_row(f"  {name}", text)
            else:
                console.print(Text(f"  {name:{NAME_WIDTH}}").append(text))
        if console.is_terminal:
            console.print(grid)
