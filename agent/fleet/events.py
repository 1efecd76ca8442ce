"""oomward's Events of the API as rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from agent.fleet.answers import Row
from agent.fleet.api import Json, text
from agent.model import AGENT_CONTROLLER
from agent.wording.times import unix_s

TIMES = (
    ("series", "lastObservedTime"),
    ("deprecatedLastTimestamp",),
    ("eventTime",),
    ("metadata", "creationTimestamp"),
)


@dataclass(frozen=True, slots=True)
class EventRow:
    """One Event. ``at_unix_s``: when it was seen last; None: it does not say. ``node`` None: it is of recover.

    Field names are JSON keys.
    """

    at_unix_s: float | None
    event_type: str
    event_reason: str
    namespace: str
    object_kind: str
    object_name: str
    times: int
    node: str | None
    event_name: str
    note: str


def rows(events: Iterable[Json], since_unix_s: float | None) -> list[Row]:
    """One each, in no order. ``since_unix_s`` None: all."""
    found = map(_row, events)
    return [asdict(row) for row in found if since_unix_s is None or (row.at_unix_s or 0.0) >= since_unix_s]


def _row(event: Json) -> EventRow:
    series = event.get("series")
    count = series.get("count") if isinstance(series, dict) else event.get("deprecatedCount")
    of_agent = text(event, "reportingController") == AGENT_CONTROLLER
    return EventRow(
        at_unix_s=next((at for path in TIMES if (at := unix_s(text(event, *path))) is not None), None),
        event_type=text(event, "type"),
        event_reason=text(event, "reason"),
        namespace=text(event, "regarding", "namespace") or text(event, "metadata", "namespace"),
        object_kind=text(event, "regarding", "kind"),
        object_name=text(event, "regarding", "name"),
        times=count if isinstance(count, int) else 1,
        node=(text(event, "reportingInstance") or None) if of_agent else None,
        event_name=text(event, "metadata", "name"),
        note=text(event, "note"),
    )
