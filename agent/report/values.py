"""Values of a JSON document, each of the kind that it should be, or else None. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeVar

from agent.wording.times import YEAR_10000_UNIX_S

Document = Mapping[str, Any]
E = TypeVar("E", bound=StrEnum)
MOST_BYTES = 1 << 62


def rows(document: Document | None, name: str) -> list[Document]:
    """Nothing for what is no list."""
    return dicts((document or {}).get(name))


def dicts(value: object) -> list[Document]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def text(row: Document, name: str) -> str | None:
    """None also for an empty text."""
    value = row.get(name)
    return value if isinstance(value, str) and value else None


def number(row: Document, name: str) -> int | None:
    """A whole number, not negative."""
    value = row.get(name)
    return value if type(value) is int and 0 <= value < MOST_BYTES else None


def choice(of: type[E], value: object) -> E | None:
    """None also for a word of a newer agent."""
    if not isinstance(value, str):
        return None
    try:
        return of(value)
    except ValueError:
        return None


def time_unix_s(row: Document) -> float | None:
    value = row.get("at_unix_s")
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < YEAR_10000_UNIX_S:
        return float(value)
    return None
