"""Records as dicts, for JSON. ``dataclasses.asdict`` does the same and copies each value deeply, which costs five times as much."""

from __future__ import annotations

from typing import Any

__all__ = ["plain"]

_AS_THEY_ARE = frozenset((type(None), bool, int, float, str))  # most values


def plain(record: Any) -> dict[str, Any]:
    """The fields of a dataclass by their names; dataclasses in fields, and in tuples of them, likewise. Other values are as they are."""
    values = ((name, getattr(record, name)) for name in record.__dataclass_fields__)
    return {name: value if type(value) in _AS_THEY_ARE else _plain(value) for name, value in values}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_plain(one) for one in value) if value else value
    return plain(value) if hasattr(value, "__dataclass_fields__") else value
