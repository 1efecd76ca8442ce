"""Tables and their JSON form, for every command.

Takes rows of any type and columns that make cells of them. On a terminal the least important columns are left out, then
cells are folded; without a terminal each row is one line. rich handles colours, NO_COLOR and TERM=dumb; markup is off.
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
    """Values of ``--output``."""

    TABLE = "table"
    JSON = "json"


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Column(Generic[T]):
    """``spare`` 0: always shown; of the others the highest is left out first on a narrow terminal."""

    header: str
    cell: Callable[[T], Text]
    spare: int = 0
    right: bool = False


def print_json(name: str, rows: list[dict[str, object]], file: TextIO) -> None:
    """ASCII only: no surrogate or escape sequence in a name reaches the terminal."""
    file.write(json.dumps({name: rows}, indent=2, ensure_ascii=True) + "\n")


def print_table(rows: Sequence[T], columns: Sequence[Column[T]], nothing: str, file: TextIO) -> None:
    if isinstance(file, TextIOWrapper):
        file.reconfigure(errors="backslashreplace")  # do not fail on a terminal without UTF-8
    console = Console(file=file, markup=False, emoji=False, highlight=False)
    if not rows:
        console.print(nothing)
        return
    if not console.is_terminal:
        console.width = WITHOUT_END
    console.print(fitted(rows, columns, console))


def fitted(rows: Sequence[T], columns: Sequence[Column[T]], console: Console) -> Table:
    """The table with as many columns as fit; if the ``spare`` 0 columns do not fit, they are folded."""
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
