"""How commands print: tables, sections of named lines, JSON, YAML and names.

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
UNLIMITED = 1 << 20  # columns
FORCED = ("FORCE_COLOR", "TTY_COMPATIBLE")  # to rich these stand for a terminal


class Output(StrEnum):
    """Values of ``--output``."""

    TABLE = "table"
    WIDE = "wide"  # a table with more columns
    JSON = "json"
    YAML = "yaml"  # the same data
    NAME = "name"  # as kubectl has it: kind/name
    PATCH = "patch"  # of ``advise`` only: commands for a shell, from the document

    @property
    def of_document(self) -> bool:
        """Whether it is made of the document, not of the view."""
        return self not in (Output.TABLE, Output.WIDE)


def show(shown: Shown, output: Output, file: TextIO) -> None:
    """Print one command's output, without its troubles."""
    found = shown.document or {}
    match output:
        case Output.JSON:
            print_json(found, file)
        case Output.YAML:
            print_yaml(found, file)
        case Output.NAME:
            file.writelines(f"{name}\n" for name in names_in(found))
        case Output.PATCH:
            _print_patches(found.get("patches", ()), file)
        case _ if shown.view is not None:
            print_view(shown.view, file, wide=output is Output.WIDE)


def show_rows(listing: Listing[T], rows: Sequence[T], output: Output, file: TextIO) -> None:
    """Print rows in the given order."""
    show(listing.shown(rows), output, file)


def print_json(document: object, file: TextIO) -> None:
    """ASCII only: no surrogate or escape sequence in a name reaches the terminal."""
    file.write(json.dumps(document, indent=2, ensure_ascii=True) + "\n")


def print_yaml(document: object, file: TextIO) -> None:
    """ASCII only, as JSON."""
    import yaml  # noqa: PLC0415 (2 MiB)

    plain = json.loads(json.dumps(document))  # without our own types
    yaml.safe_dump(plain, file, sort_keys=False, allow_unicode=False, width=UNLIMITED)


def names_in(document: Mapping[str, Any]) -> list[str]:
    """``pod/web-1``, or ``deployment/web`` for ``advise``: each once, in the order of the rows.

    They are made for a shell: what is no name of an object is left out.
    """
    from agent.wording.text import is_object_name  # noqa: PLC0415 (only this needs it)

    found: dict[str, None] = {}
    for rows in document.values():
        for row in rows if isinstance(rows, list) else ():
            if not isinstance(row, dict):
                continue
            kind, name = ("pod", row.get("pod")) if "pod" in row else (row.get("workload_kind"), row.get("workload"))
            if isinstance(kind, str) and is_object_name(kind.lower()) and is_object_name(name):
                found[f"{kind.lower()}/{name}"] = None
    return list(found)


def _print_patches(patches: Sequence[Mapping[str, Any]], file: TextIO) -> None:
    """Each command below its reasons, for a shell; where there is no patch, what to do instead."""
    for one in patches:
        of = f"{one['workload_kind']} {one['namespace']}/{one['workload']}"
        lines = [f"# {of}, {why}" for why in one["reasons"]]
        lines.append(one["kubectl_command"] or f"# {of}: no patch; {one['advice']}")
        file.write("\n".join([*lines, ""]))


def print_view(view: View, file: TextIO, *, wide: bool = False) -> None:
    """A table or sections for people. ``wide``: with all columns, however narrow the terminal is."""
    view = view if wide else without_wide(view)
    if is_terminal(file):
        from agent.commands.output import terminal  # noqa: PLC0415 (only a terminal needs rich)

        terminal.print_view(view, file, wide=wide)
        return
    if isinstance(file, TextIOWrapper):
        file.reconfigure(errors="backslashreplace")  # do not fail on a pipe without UTF-8
    lines = _sections(view) if "sections" in view else _table(view)
    file.write("\n".join([*lines, ""]))


def without_wide(view: View) -> View:
    """Without the columns for ``--output wide``."""
    columns = view.get("columns", ())
    if not any(column.get("wide") for column in columns):
        return view
    kept = [number for number, column in enumerate(columns) if not column.get("wide")]
    rows = [[row[number] for number in kept] for row in view["rows"]]
    return {**view, "columns": [columns[number] for number in kept], "rows": rows}


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
