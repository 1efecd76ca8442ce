"""oomward's Events of the API as rows."""

from __future__ import annotations

from collections.abc import Iterable

from agent.fleet.answers import Row
from agent.fleet.api import Json, text
from agent.wording.times import rfc3339, unix_s

AGENT = "oomward.dev/agent"  # its reportingInstance is its node
TIMES = (
    ("series", "lastObservedTime"),
    ("deprecatedLastTimestamp",),
    ("eventTime",),
    ("metadata", "creationTimestamp"),
)


def rows(events: Iterable[Json], since_unix_s: float | None) -> list[Row]:
    """One row each; ``time`` is when it was seen last. ``since_unix_s`` None: all."""
    found = []
    for event in events:
        at_unix_s = next((at for path in TIMES if (at := unix_s(text(event, *path))) is not None), None)
        if since_unix_s is None or (at_unix_s is not None and at_unix_s >= since_unix_s):
            found.append(_row(event, at_unix_s))
    return found


def _row(event: Json, at_unix_s: float | None) -> Row:
    series = event.get("series")
    count = series.get("count") if isinstance(series, dict) else event.get("deprecatedCount")
    return {
        "time": None if at_unix_s is None else rfc3339(at_unix_s, "microseconds"),
        "type": text(event, "type"),
        "reason": text(event, "reason"),
        "kind": text(event, "regarding", "kind"),
        "namespace": text(event, "regarding", "namespace") or text(event, "metadata", "namespace"),
        "regarding": text(event, "regarding", "name"),
        "count": count if isinstance(count, int) else 1,
        "node": (text(event, "reportingInstance") or None) if text(event, "reportingController") == AGENT else None,
        "name": text(event, "metadata", "name"),
        "note": text(event, "note"),
    }
