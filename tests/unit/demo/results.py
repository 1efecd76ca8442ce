"""A demo's result as the tests of this folder change it: one that has shown what it promises."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.demo.facts import Json, Result, Row
from tests.demo.pods import ANNOTATED, LABELLED, PLAIN

AT = datetime(2026, 11, 28, 7, 15, 43, tzinfo=UTC)
NOTE = (
    "OOM-killed worker (PID 836, 255.5 MiB) in container app at the container's memory limit of 256 MiB. "
    "The container is still running (mode single). 36 OOM kills in the last hour."
)


def ago(seconds: float) -> str:
    """As the API has it."""
    return (AT - timedelta(seconds=seconds)).isoformat(timespec="microseconds").replace("+00:00", "Z")


def event(pod: str, reason: str, first_s: float, note: str = NOTE, count: int = 1, last_s: float = 0.0) -> Json:
    """An Event that began ``first_s`` before the end and was seen last ``last_s`` before it."""
    found: Json = {
        "regarding": {"kind": "Pod", "name": pod},
        "type": "Normal" if reason == "OOMModeApplied" else "Warning",
        "reason": reason,
        "reportingController": "oomward.dev/agent",
        "eventTime": ago(first_s),
        "note": note,
    }
    return found | ({"series": {"count": count, "lastObservedTime": ago(last_s)}} if count > 1 else {})


ROWS = {
    PLAIN: Row(PLAIN, "CrashLoopBackOff", 17.2, 0.137, 3, 4, 0, "group"),
    LABELLED: Row(LABELLED, "Running", None, 1.0, 0, 36, 36, "single"),
    ANNOTATED: Row(ANNOTATED, "Running", None, 1.0, 0, 35, 35, "single"),
}
EVENTS = [
    event(PLAIN, "ContainerOOMKilled", 58.2, count=3, last_s=29.4),
    event(LABELLED, "OOMModeApplied", 59.6),
    event(LABELLED, "ProcessOOMKilled", 58.1, count=19, last_s=29.9),
    event(ANNOTATED, "OOMModeApplied", 59.1),
    event(ANNOTATED, "ProcessOOMKilled", 57.8, count=18, last_s=29.1),
]
METRICS = [
    f'oomward_oom_kills_total{{container="app",mode="single",namespace="default",pod="{LABELLED}",scope="container"}} 36.0'
]


def result(**changes: Any) -> Result:
    """``changes`` are fields of the result."""
    found = Result(AT.isoformat(), 61.4, tuple(ROWS.values()), 79, 83, 4, 0, EVENTS, METRICS)
    return replace(found, **changes)


def with_row(pod: str, **changes: Any) -> Result:
    """``changes`` are fields of that pod's row."""
    return result(rows=tuple(replace(row, **changes) if row.pod == pod else row for row in ROWS.values()))
