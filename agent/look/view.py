"""Makes a Shown from rows: a document for programs, and a table or sections for people."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from agent.wording.text import bytes_text, safe
from agent.wording.view import Cell, Shown

if TYPE_CHECKING:
    from agent.wording.view import View

DOCUMENT_VERSION = 1  # of docs/reference/json.md; a key that is renamed or removed raises it, a new one does not
NAME_LIMIT = 320  # namespace/pod: at most 63 + 1 + 253
UNKNOWN = "?"

T = TypeVar("T")
Line = tuple[str, Cell]  # a name and its text
Sections = Iterable[tuple[str, Iterable[Line]]]


@dataclass(frozen=True, slots=True)
class Column(Generic[T]):
    """``spare`` 0: always shown; of the others the highest is left out first on a narrow terminal."""

    header: str
    cell: Callable[[T], Cell]
    spare: int = 0
    right: bool = False


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """Rows of one kind. ``name`` is their key in JSON, ``nothing`` the text of an empty table."""

    name: str
    columns: Sequence[Column[T]]
    to_json: Callable[[T], dict[str, Any]]
    nothing: str

    def shown(self, rows: Sequence[T], troubles: list[str] | None = None) -> Shown:
        """Rows in the given order."""
        return Shown(self.document(rows), self.view(rows), troubles or [])

    def document(self, rows: Sequence[T]) -> dict[str, Any]:
        return document(self.name, [self.to_json(row) for row in rows])

    def view(self, rows: Sequence[T]) -> View:
        columns = [{"header": one.header, "spare": one.spare, "right": one.right} for one in self.columns]
        cells = [[column.cell(row) for column in self.columns] for row in rows]
        return {"columns": columns, "rows": cells, "nothing": self.nothing}


def document(name: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What a command prints as JSON: the version of its format, and its rows."""
    return {"oomward": DOCUMENT_VERSION, name: rows}


def sections_view(sections: Sections) -> View:
    """Titles with named lines."""
    return {"sections": [[title, [list(line) for line in lines]] for title, lines in sections]}


def styled(text: str, style: str = "") -> Cell:
    return [[text, style]]


def plain(text: str | None) -> Cell:
    """A name, safe to print; None: unknown."""
    return styled(UNKNOWN if text is None else safe(text, NAME_LIMIT))


def size(size_bytes: int | None, without: str = UNKNOWN) -> Cell:
    """A size; None is shown as ``without``."""
    return styled(without if size_bytes is None else bytes_text(size_bytes))
