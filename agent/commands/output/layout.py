"""Lines of tables and sections for a terminal of some width: no name and no time is ever broken.

The least important columns are left out first. If the others do not fit either, a row goes on in a second line, between two columns.
Prose is folded between words. Only a single name that is wider than the terminal stands out of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.text import Text

from agent.commands.output.table import GAP, NAME_WIDTH

if TYPE_CHECKING:
    from rich.console import Console

    from agent.wording.view import Cell, View

LEAST_PROSE = 28  # columns: prose with less than that is hard to read
INDENT = 2  # of a row's second line
WORD = re.compile(r"\S+\s*")
Column = dict[str, Any]
Part = list[int]  # numbers of the columns on one line


def text_on(cell: Cell) -> Text:
    text = Text()
    for piece, style in cell:
        text.append(piece, style or None)
    return text


def table_lines(view: View, console: Console, *, wide: bool = False) -> list[Text]:
    """The header's lines and the rows'. ``wide``: no column is left out."""
    columns: list[Column] = view["columns"]
    cells = [[text_on(cell) for cell in row] for row in view["rows"]]
    natural = [max([len(column["header"]), *(row[at].cell_len for row in cells)]) for at, column in enumerate(columns)]
    least = [
        max(len(column["header"]), min(width, max(LEAST_PROSE, _longest_word(row[at] for row in cells))))
        if column.get("prose")
        else width
        for at, (width, column) in enumerate(zip(natural, columns, strict=True))
    ]
    kept = list(range(len(columns)))
    while not wide and _width([least[at] for at in kept]) > console.width:
        last = max(kept, key=lambda at: int(columns[at]["spare"]))
        if columns[last]["spare"] == 0:
            break
        kept.remove(last)
    parts = _parts(kept, least, console.width)
    widths = _widths(parts, natural, least, columns, console.width)
    headers = [Text(column["header"], "bold") for column in columns]
    lines: list[Text] = []
    for row in (headers, *cells):
        for number, part in enumerate(parts):
            lines += _line(part, row, widths, columns, INDENT if number else 0)
    return lines


def _longest_word(texts: Iterable[Text]) -> int:
    return max((cell_len(word) for text in texts for word in text.plain.split()), default=0)


def _width(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)


def _parts(kept: Sequence[int], least: Sequence[int], width: int) -> list[Part]:
    """As many columns on each line as fit."""
    parts: list[Part] = [[]]
    for at in kept:
        room = width - (INDENT if len(parts) > 1 else 0)
        if parts[-1] and _width([least[one] for one in [*parts[-1], at]]) > room:
            parts.append([])
        parts[-1].append(at)
    return parts


def _widths(
    parts: Sequence[Part], natural: Sequence[int], least: Sequence[int], columns: Sequence[Column], width: int
) -> dict[int, int]:
    """Each column's; what a line has left goes to its prose, from the left."""
    found = {at: least[at] for part in parts for at in part}
    for number, part in enumerate(parts):
        left = width - (INDENT if number else 0) - _width([found[at] for at in part])
        prose = [at for at in part if columns[at].get("prose")]
        for count, at in enumerate(prose):
            more = min(natural[at] - found[at], max(0, left // (len(prose) - count)))
            found[at] += more
            left -= more
    return found


def _line(
    part: Part, row: Sequence[Text], widths: dict[int, int], columns: Sequence[Column], indent: int
) -> list[Text]:
    """One line, or more where prose is folded."""
    folded = {at: _folded(row[at], widths[at]) if columns[at].get("prose") else [row[at]] for at in part}
    lines = []
    for number in range(max(len(one) for one in folded.values())):
        line = Text(" " * indent)
        for place, at in enumerate(part):
            cell = folded[at][number] if number < len(folded[at]) else Text()
            blanks = " " * max(0, widths[at] - cell.cell_len)
            before, after = (blanks, "") if columns[at]["right"] else ("", blanks)
            line.append(f"{' ' * GAP if place else ''}{before}").append_text(cell).append(after)
        line.rstrip()
        lines.append(line)
    return lines


def _folded(text: Text, width: int) -> list[Text]:
    """Between words; a word that is wider stands on a line of its own."""
    starts: list[int] = []
    used = 0
    for word in WORD.finditer(text.plain):
        if used and used + cell_len(word[0].rstrip()) > width:
            starts.append(word.start())
            used = 0
        used += cell_len(word[0])
    lines = list(text.divide(starts))
    for line in lines:
        line.rstrip()
    return lines


def section_lines(sections: Iterable[Any], console: Console) -> list[Text]:
    """Titles with named lines, folded between words."""
    lines: list[Text] = []
    indent = 2 + NAME_WIDTH
    for title, named in sections:
        lines += [Text()] if lines else []
        lines += _folded(Text(title, "bold"), console.width)
        for name, cell in named:
            head = Text(f"  {name:{NAME_WIDTH}}")
            for text in _folded(text_on(cell), max(LEAST_PROSE, console.width - indent)):
                lines.append(head + text)
                head = Text(" " * indent)
    return lines
