"""From the nodes' rows to the cluster's: which are meant, in which order, and what several nodes say about one workload. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeGuard

from agent.fleet.answers import Row

SEVERITY = ("fail", "warn", "pass")  # of a check, the worst first
SUMMED = ("pod_count", "kill_count", "processes_killed", "survived_count")
LARGEST = ("spec_limit_bytes", "peak_bytes", "last_kill_unix_s")
LARGEST_NUMBER = 1 << 64
WORKLOAD = ("namespace", "workload_kind", "workload", "container")
REMOVED = "; the pods on other nodes have no container of this name"


def chosen(rows: Iterable[Row], namespace: str | None, names: frozenset[tuple[str, str]] | None) -> list[Row]:
    """Rows of a namespace (None: any), and of these pods, as namespace and name (None: any)."""
    return [
        row
        for row in rows
        if (namespace is None or row.get("namespace") == namespace)
        and (names is None or (text_in(row, "namespace"), text_in(row, "pod")) in names)
    ]


def used(row: Row) -> float | None:
    """Usage by limit; None: there is no limit, or one of both is not known. A limit of less than a byte is none."""
    usage, limit = row.get("usage_bytes"), row.get("limit_bytes")
    return usage / limit if is_number(usage) and is_number(limit) and limit >= 1 else None


def by_name(rows: Iterable[Row]) -> list[Row]:
    """By namespace, pod, container and node."""
    return sorted(rows, key=lambda row: [text_in(row, key) for key in ("namespace", "pod", "container", "node")])


def by_use(rows: Iterable[Row]) -> list[Row]:
    """The nearest to its limit first; those without a limit last, the largest first."""

    def key(row: Row) -> tuple[float, float]:
        share, usage = used(row), row.get("usage_bytes")
        return -1.0 if share is None else share, usage if is_number(usage) else -1

    return sorted(by_name(rows), key=key, reverse=True)


def by_time(rows: Iterable[Row], *, newest_first: bool) -> list[Row]:
    """By ``at_unix_s``; rows without one are the oldest."""
    return sorted(rows, key=lambda row: _number(row, "at_unix_s"), reverse=newest_first)


def advice(rows: Iterable[Row]) -> list[Row]:
    """A row per workload and container: counts added up, the largest limit and peak, and the highest of the next limits with its reason.

    ``nodes`` are those that know of it. Where pods are known, a container that none of them has gets no next limit.
    """
    found: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(text_in(row, key) for key in WORKLOAD), []).append(row)
    with_pods = {key[:-1] for key, its in found.items() if any(_number(row, "pod_count") for row in its)}
    merged = [_there(_workload(its), known=key[:-1] in with_pods) for key, its in found.items()]
    return sorted(
        merged, key=lambda row: [text_in(row, key) for key in ("namespace", "workload", "workload_kind", "container")]
    )


def _workload(rows: list[Row]) -> Row:
    first = max(rows, key=lambda row: (_number(row, "next_limit_bytes"), _number(row, "kill_count")))
    merged = {key: value for key, value in first.items() if key != "node"}
    for key in SUMMED:
        merged[key] = sum(_number(row, key) for row in rows)
    for key in LARGEST:
        merged[key] = max((row[key] for row in rows if is_number(row.get(key))), default=None)
    return {**merged, "nodes": sorted({text_in(row, "node") for row in rows})}


def _there(row: Row, *, known: bool) -> Row:
    """``known``: pods of the workload are."""
    if not known or row["pod_count"] or not text_in(row, "container") or not row.get("next_limit_bytes"):
        return row
    return {**row, "next_limit_bytes": None, "next_limit_quantity": None, "why": text_in(row, "why") + REMOVED}


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


def text_in(row: Row, key: str) -> str:
    """ "" if it is no text."""
    value = row.get(key)
    return value if isinstance(value, str) else ""
