"""Tables and sections on a terminal, by rich, which handles colours, NO_COLOR and TERM=dumb; markup is off."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from io import TextIOWrapper
from typing import TYPE_CHECKING, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from agent.commands.output.layout import section_lines, table_lines
from agent.commands.output.table import UNLIMITED
from agent.look.view import NAME_LIMIT
from agent.wording.text import count, safe

if TYPE_CHECKING:
    from agent.wording.view import View

AT_ONCE = 500  # lines: rich takes longer for each alone, and for very many


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


def print_view(view: View, file: TextIO, *, wide: bool = False) -> None:
    """A table with as many columns as fit, or sections with long lines folded."""
    console = console_on(file)
    lines = lines_of(view, console, wide=wide)
    for first in range(0, len(lines), AT_ONCE):
        console.print(Text("\n").join(lines[first : first + AT_ONCE]), soft_wrap=True)


def lines_of(view: View, console: Console, *, wide: bool = False) -> list[Text]:
    """As layout.py has them; "nothing" for an empty table."""
    if "sections" in view:
        return section_lines(view["sections"], console)
    return table_lines(view, console, wide=wide) if view["rows"] else [Text(view["nothing"])]


class Screen:
    """A table or sections, drawn in place over and over; a context manager that gives the terminal back."""

    def __init__(self, file: TextIO, *, wide: bool = False) -> None:
        self.wide = wide
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
        """The clock, the view as far as it fits, and the troubles below."""
        self._live.update(self._page(view, troubles, clock), refresh=True)

    def _page(self, view: View, troubles: Sequence[str], clock: str) -> Group:
        console = self._console
        notes = [Text(f"oomward: {safe(trouble, NAME_LIMIT)}", style="yellow") for trouble in troubles]
        lines = lines_of(view, console, wide=self.wide)
        room = max(
            1, console.height - 2 - sum(_height(note, console) for note in notes)
        )  # the clock, and the last line
        shown = _fitting(lines, console, room)
        rows = f"{count(len(view['rows']), 'row')}, " if "rows" in view else ""
        title = Text(f"{clock}  {rows}Ctrl-C exits", style="dim")
        left_out = len(lines) - len(shown)
        more = (
            [Text(f"… and {count(left_out, 'more line')}: the terminal has too few", style="dim")] if left_out else []
        )
        return Group(title, *shown, *more, *notes)


def _height(line: Text, console: Console) -> int:
    return len(line.wrap(console, console.width))


def _fitting(lines: Sequence[Text], console: Console, room: int) -> list[Text]:
    """All, or the first that leave a line for the sentence about the others."""
    heights: Iterable[int] = [_height(line, console) for line in lines]
    if sum(heights) <= room:
        return list(lines)
    shown: list[Text] = []
    used = 1
    for line, height in zip(lines, heights, strict=True):
        used += height
        if used > room and shown:
            break
        shown.append(line)
    return shown
