"""How commands print: tables, sections of named lines, and JSON.

Without a terminal each row is one line of plain text, and rich is not imported: that costs a command more memory than all the rest of it.
On a terminal (output/terminal.py) the least important columns are left out, then cells are folded.
"""

from __future__ import annotations

import json
import os
from enum import StrEnum
from io import TextIOWrapper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, TextIO

    from agent.look.view import Listing, T
    from agent.wording.view import Cell, Shown, View

NAME_WIDTH = 9  # of a section's lines
GAP = 2  # blanks between columns
FORCED = ("FORCE_COLOR", "TTY_COMPATIBLE")  # to rich these stand for a terminal


class Output(StrEnum):
    """Values of ``--output``."""

    TABLE = "table"
    JSON = "json"
    PATCH = "patch"  # of ``advise`` only: commands for a shell, from the document


def show(shown: Shown, output: Output, file: TextIO) -> None:
    """Print one command's output, without its troubles."""
    if output is Output.JSON:
        print_json(shown.document, file)
    elif output is Output.PATCH:
        _print_patches((shown.document or {}).get("patches", ()), file)
    elif shown.view is not None:
        print_view(shown.view, file)


def show_rows(listing: Listing[T], rows: Sequence[T], output: Output, file: TextIO) -> None:
    """Print rows in the given order."""
    show(listing.shown(rows), output, file)


def print_json(document: object, file: TextIO) -> None:
    """ASCII only: no surrogate or escape sequence in a name reaches the terminal."""
    file.write(json.dumps(document, indent=2, ensure_ascii=True) + "\n")


def _print_patches(patches: Sequence[Mapping[str, Any]], file: TextIO) -> None:
    """Each command below its reasons, for a shell; where there is no patch, what to do instead."""
    for one in patches:
        of = f"{one['workload_kind']} {one['namespace']}/{one['workload']}"
        lines = [f"# {of}, {why}" for why in one["why"]]
        lines.append(one["command"] or f"# {of}: no patch; {one['advice']}")
        file.write("\n".join([*lines, ""]))


def print_view(view: View, file: TextIO) -> None:
    """A table or sections for people."""
    if is_terminal(file):
        from agent.commands.output import terminal  # noqa: PLC0415 (only a terminal needs rich)

        terminal.print_view(view, file)
        return
    if isinstance(file, TextIOWrapper):
        file.reconfigure(errors="backslashreplace")  # do not fail on a pipe without UTF-8
    lines = _sections(view) if "sections" in view else _table(view)
    file.write("\n".join([*lines, ""]))


def is_terminal(file: TextIO) -> bool:
    return file.isatty() or any(os.environ.get(name) for name in FORCED)


def text_of(cell: Cell) -> str:
    return "".join(text for text, _ in cell)


def _sections(view: View) -> list[str]:
    lines: list[str] = []
    for title, named in view["sections"]:
        lines += ["", title] if lines else [title]
        lines += [f"  {name:{NAME_WIDTH}}{text_of(cell)}" for name, cell in named]
    return lines


def _table(view: View) -> list[str]:
    """A line per row: nothing is cut or folded."""
    if not view["rows"]:
        return [view["nothing"]]
    columns = view["columns"]
    rows = [[column["header"] for column in columns], *([text_of(cell) for cell in row] for row in view["rows"])]
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    return [_line(row, columns, widths) for row in rows]


def _line(row: list[str], columns: list[dict[str, object]], widths: list[int]) -> str:
    cells = []
    for text, column, width in zip(row, columns, widths, strict=True):
        blanks = " " * (width - _width(text))
        cells.append(blanks + text if column["right"] else text + blanks)
    return (" " * GAP).join(cells).rstrip()


def _width(text: str) -> int:
    """Columns of a terminal: East Asian wide characters need two, combining ones none."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width  # noqa: PLC0415 (rare)

    return sum(0 if combining(one) else 2 if east_asian_width(one) in "WF" else 1 for one in text)
