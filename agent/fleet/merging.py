"""From the nodes' rows to the cluster's: which are meant, in which order, and what several nodes say about one workload. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeGuard

from agent.fleet import FleetError
from agent.fleet.answers import Row
from agent.wording.text import safe, some

SEVERITY = ("fail", "warn", "pass")  # of a check, the worst first
SUMMED = ("pods", "kills", "processes", "survived")
LARGEST = ("limit_bytes", "peak_bytes")
LARGEST_NUMBER = 1 << 64
WORKLOAD = ("namespace", "kind", "name", "container")


def chosen(rows: Iterable[Row], namespace: str | None, names: frozenset[tuple[str, str]] | None) -> list[Row]:
    """Rows of a namespace (None: any), and of these pods, as namespace and name (None: any)."""
    return [
        row
        for row in rows
        if (namespace is None or row.get("namespace") == namespace)
        and (names is None or (_text(row, "namespace"), _text(row, "pod")) in names)
    ]


def used(row: Row) -> float | None:
    """Usage by limit; None: there is no limit, or one of both is not known."""
    usage, limit = row.get("usage_bytes"), row.get("limit_bytes")
    return usage / limit if is_number(usage) and is_number(limit) and limit > 0 else None


def by_name(rows: Iterable[Row]) -> list[Row]:
    """By namespace, pod, container and node."""
    return sorted(rows, key=lambda row: [_text(row, key) for key in ("namespace", "pod", "container", "node")])


def by_use(rows: Iterable[Row]) -> list[Row]:
    """The nearest to its limit first; those without a limit last, the largest first."""

    def key(row: Row) -> tuple[float, float]:
        share, usage = used(row), row.get("usage_bytes")
        return -1.0 if share is None else share, usage if is_number(usage) else -1

    return sorted(by_name(rows), key=key, reverse=True)


def by_time(rows: Iterable[Row], *, newest_first: bool) -> list[Row]:
    """By ``time``, as text: RFC 3339 in UTC, all with the same precision."""
    return sorted(rows, key=lambda row: _text(row, "time"), reverse=newest_first)


def sorted_by(rows: Sequence[Row], field: str) -> list[Row]:
    """By a field: numbers largest first, text A to Z, rows without it last. Raises FleetError if no row has such a field."""
    name = field.strip("{}").removeprefix(".").lower().replace("-", "_")
    known = sorted({key for row in rows for key, value in row.items() if not isinstance(value, list | dict)})
    key = next((one for one in (name, f"{name}_bytes") if one in known), None)
    if key is None and rows:
        raise FleetError(f"there is no field {safe(field)} to sort by: the fields are {some(known, 40)}")

    def order(row: Row) -> tuple[int, float, str]:
        value = row.get(key or "")
        if value is None:
            return 2, 0.0, ""
        return (0, -float(value), "") if is_number(value) else (1, 0.0, str(value))

    return sorted(rows, key=order)


def advice(rows: Iterable[Row]) -> list[Row]:
    """A row per workload and container: counts added up, the largest limit and peak, and the highest of the next limits with its reason.

    ``nodes`` are those that know of it.
    """
    found: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(_text(row, key) for key in WORKLOAD), []).append(row)
    merged = [_workload(its) for its in found.values()]
    return sorted(merged, key=lambda row: [_text(row, key) for key in ("namespace", "name", "kind", "container")])


def _workload(rows: list[Row]) -> Row:
    first = max(rows, key=lambda row: (_number(row, "next_limit_bytes"), _number(row, "kills")))
    merged = {key: value for key, value in first.items() if key != "node"}
    for key in SUMMED:
        merged[key] = sum(_number(row, key) for row in rows)
    for key in LARGEST:
        merged[key] = max((row[key] for row in rows if is_number(row.get(key))), default=None)
    merged["last_kill"] = max((_text(row, "last_kill") for row in rows), default="") or None
    return {**merged, "nodes": sorted({_text(row, "node") for row in rows})}


def checked(node: str, rows: Sequence[Row]) -> Row:
    """One line for a node: its worst result, how many there are of each, and the first of the worst."""
    counts = {status: sum(row.get("status") == status for row in rows) for status in SEVERITY}
    worst = next((status for status in SEVERITY if counts[status]), "pass")
    first = next((row for row in rows if row.get("status") == worst), {}) if worst != "pass" else {}
    return {"node": node, "status": worst, **counts, "name": first.get("name"), "found": first.get("found")}


def is_number(value: object) -> TypeGuard[int | float]:
    """One that can be compared and shown: finite, and not larger than any counter."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST_NUMBER


def _number(row: Row, key: str) -> float | int:
    value = row.get(key)
    return value if is_number(value) else 0


def _text(row: Row, key: str) -> str:
    value = row.get(key)
    return value if isinstance(value, str) else ""
