"""Tables that become cards on a phone, with most of their rows folded. Pure.

The styles there take the meaning of table, row and cell from the elements, so each also has its role.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from agent.report.markup import Html, join, tag
from agent.wording.text import count

T = TypeVar("T")
UNFOLDED = 10  # rows that are shown without a click


@dataclass(frozen=True, slots=True)
class Column(Generic[T]):
    """``width``: share of the table's, in percent; those of a table add up to 100. ``class_``: of its cells."""

    header: str
    width: int
    cell: Callable[[T], Html]
    class_: str | None = None


def table(caption: str, columns: Sequence[Column[T]], rows: Sequence[T], unfolded: int = UNFOLDED) -> Html:
    """The first column names the row. Rows behind ``unfolded`` are in a second table, which a click shows."""
    shown = _table(caption, columns, rows[:unfolded])
    if len(rows) <= unfolded:
        return shown
    more = count(len(rows) - unfolded, "more row")
    return join(
        shown, tag("details", tag("summary", f"Show {more}"), _table(f"{caption}, continued", columns, rows[unfolded:]))
    )


def _table(caption: str, columns: Sequence[Column[T]], rows: Sequence[T]) -> Html:
    widths = tag("colgroup", *(tag("col", width=f"{one.width}%") for one in columns))
    heads = (tag("th", one.header, role="columnheader", scope="col", class_=one.class_) for one in columns)
    head = tag("thead", tag("tr", *heads, role="row"), role="rowgroup")
    body = tag("tbody", *(_row(columns, row) for row in rows), role="rowgroup")
    return tag("table", tag("caption", caption), widths, head, body, role="table")


def _row(columns: Sequence[Column[T]], row: T) -> Html:
    first, *others = columns
    cells = [tag("th", first.cell(row), role="rowheader", scope="row", class_=first.class_)]
    cells += [tag("td", one.cell(row), role="cell", class_=one.class_, data_label=one.header) for one in others]
    return tag("tr", *cells, role="row")
