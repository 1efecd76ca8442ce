"""Tables and sections on a terminal, by rich, which handles colours, NO_COLOR and TERM=dumb; markup is off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from agent.commands.output.table import GAP, NAME_WIDTH
from agent.look.view import NAME_LIMIT
from agent.wording.text import safe
from agent.wording.view import Cell

if TYPE_CHECKING:
    from agent.wording.view import View

UNLIMITED = 100_000  # columns: more than any table has


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


def print_view(view: View, file: TextIO) -> None:
    """A table with as many columns as fit, or sections with long lines folded."""
    console = console_on(file)
    if "sections" in view:
        _print_sections(view["sections"], console)
    else:
        console.print(fitted(view, console) if view["rows"] else view["nothing"])


def fitted(view: View, console: Console) -> Table:
    """The table with as many columns as fit; if the ``spare`` 0 columns do not fit, they are folded."""
    kept: list[tuple[int, dict[str, Any]]] = list(enumerate(view["columns"]))
    while True:
        table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
        for _, column in kept:
            table.add_column(column["header"], justify="right" if column["right"] else "left", overflow="fold")
        for row in view["rows"]:
            table.add_row(*(_text(row[at]) for at, _ in kept))
        natural = Measurement.get(console, replace(console.options, max_width=UNLIMITED), table)
        last = max(kept, key=lambda one: int(one[1]["spare"]))
        if last[1]["spare"] == 0 or natural.maximum <= console.width:
            return table
        kept.remove(last)


def _text(cell: Cell) -> Text:
    text = Text()
    for piece, style in cell:
        text.append(piece, style or None)
    return text


def _print_sections(sections: Sequence[Any], console: Console) -> None:
    for number, (title, lines) in enumerate(sections):
        if number:
            console.print()
        console.print(Text(title, style="bold"))
        grid = Table.grid(padding=(0, GAP, 0, 0))
        grid.add_column(no_wrap=True, min_width=NAME_WIDTH)
        grid.add_column(overflow="fold")
        for name, cell in lines:
            grid.add_row(f"  {name}", _text(cell))
        console.print(grid)


class Screen:
    """A table that is drawn in place, over and over; a context manager that gives the terminal back."""

    def __init__(self, file: TextIO) -> None:
        self._console = console_on(file)
        self._live = Live(console=self._console, screen=True, auto_refresh=False)

    @property
    def usable(self) -> bool:
        return self._console.is_terminal and not self._console.is_dumb_terminal

    def __enter__(self) -> Screen:
        self._live.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.__exit__(None, None, None)

    def draw(self, view: View, troubles: Sequence[str], clock: str) -> None:
        """The clock, the table as far as it fits, and the troubles below."""
        self._live.update(self._page(view, troubles, clock), refresh=True)

    def _page(self, view: View, troubles: Sequence[str], clock: str) -> Group:
        console, rows = self._console, view["rows"]
        notes = [Text(f"oomward: {safe(trouble, NAME_LIMIT)}", style="yellow") for trouble in troubles]
        notes_height = sum(len(note.wrap(console, console.width)) for note in notes)
        room = max(1, console.height - 3 - notes_height)  # the clock, the header, and the last line
        left_out = len(rows) - room
        title = Text(f"{clock}  {len(rows)} containers, Ctrl-C exits", style="dim")
        table = fitted(view | {"rows": rows[:room]}, console) if rows else Text(view["nothing"])
        more = [Text(f"… and {left_out} more: the terminal has too few lines", style="dim")] if left_out > 0 else []
        return Group(title, table, *more, *notes)
