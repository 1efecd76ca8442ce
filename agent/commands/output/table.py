"""Tables that fit where they are printed, and their JSON twins: the machinery behind every command's output.

Takes rows of any kind and columns that say how a row's cell looks; prints to the file it is given. Fits a terminal's width by
leaving out what matters least and then by folding; without a terminal every value is whole, on one line. Colours,
NO_COLOR and TERM=dumb are rich's business; nothing is read as markup.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from io import TextIOWrapper
from typing import Generic, TextIO, TypeVar

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

WITHOUT_END = 100_000  # columns: more than any table has


class Output(StrEnum):
    """What ``--output`` may be."""

    TABLE = "table"
    JSON = "json"


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Column(Generic[T]):
    """``spare``: 0 is always there; of the others the highest is the first to be left out where it is narrow."""

    header: str
    cell: Callable[[T], Text]
    spare: int = 0
    right: bool = False


def print_json(name: str, rows: list[dict[str, object]], file: TextIO) -> None:
    """ASCII only: a lone surrogate or an escape sequence in a name can neither break the output nor reach the terminal."""
    file.write(json.dumps({name: rows}, indent=2, ensure_ascii=True) + "\n")


def print_table(rows: Sequence[T], columns: Sequence[Column[T]], nothing: str, file: TextIO) -> None:
    if isinstance(file, TextIOWrapper):
        file.reconfigure(errors="backslashreplace")  # a terminal that isn't UTF-8 is no reason to fail
    console = Console(file=file, markup=False, emoji=False, highlight=False)
    if not rows:
        console.print(nothing)
        return
    if not console.is_terminal:
        console.width = WITHOUT_END
    console.print(fitted(rows, columns, console))


def fitted(rows: Sequence[T], columns: Sequence[Column[T]], console: Console) -> Table:
    """With as many columns as there is room for; those that are always there are folded if need be."""
    kept = list(columns)
    while True:
        table = _table(rows, kept)
        spare = max(kept, key=lambda column: column.spare)
        if spare.spare == 0 or _natural_width(table, console) <= console.width:
            return table
        kept.remove(spare)


def _natural_width(table: Table, console: Console) -> int:
    return Measurement.get(console, replace(console.options, max_width=WITHOUT_END), table).maximum


def _table(rows: Sequence[T], columns: Sequence[Column[T]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column.header, justify="right" if column.right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(column.cell(row) for column in columns))
    return table
