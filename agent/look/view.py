"""Makes a Shown from rows: a document for programs, and a table or sections for people."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from agent.model import AgentError
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
    """``spare`` 0: always shown; of the others the highest is left out first on a narrow terminal.

    ``prose``: its text may be folded between words; a name or a time may not. ``wide``: only for ``--output wide``. ``sort``: what
    ``--sort-by`` compares, None for an unknown value, which comes last; a number's largest comes first, and so does ``right``'s.
    """

    header: str
    cell: Callable[[T], Cell]
    spare: int = 0
    right: bool = False
    prose: bool = False
    wide: bool = False
    sort: Callable[[T], Any] | None = None

    @property
    def sort_key(self) -> str:
        """As ``--sort-by`` has it."""
        return self.header.lower().replace(" ", "-")


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """Rows of one kind. ``name`` is their key in JSON, ``nothing`` the text of an empty table."""

    name: str
    columns: Sequence[Column[T]]
    to_json: Callable[[T], dict[str, Any]]
    nothing: str

    def shown(self, rows: Sequence[T], troubles: list[str] | None = None, where: str = "") -> Shown:
        """Rows in the given order. ``where`` says what was asked for, for an empty table."""
        return Shown(self.document(rows), self.view(rows, where), troubles or [])

    def ordered(self, rows: Sequence[T], by: str | None) -> list[T]:
        """By the column of this name; None: as they are. Raises AgentError if there is no such column to sort by."""
        if by is None:
            return list(rows)
        for column in self.columns:
            if column.sort is not None and column.sort_key == by:
                known = [(column.sort(row), row) for row in rows]
                first = sorted((one for one in known if one[0] is not None), key=itemgetter(0), reverse=column.right)
                return [row for _, row in first] + [row for key, row in known if key is None]
        raise AgentError(f"there is no column {safe(by)} to sort by")

    def document(self, rows: Sequence[T]) -> dict[str, Any]:
        return document(self.name, [self.to_json(row) for row in rows])

    def view(self, rows: Sequence[T], where: str = "") -> View:
        names = ("header", "spare", "right", "prose", "wide")
        columns = [{name: getattr(one, name) for name in names} for one in self.columns]
        cells = [[column.cell(row) for column in self.columns] for row in rows]
        nothing = f"{self.nothing.rstrip('.')}{where}." if where else self.nothing
        return {"columns": columns, "rows": cells, "nothing": nothing}


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
