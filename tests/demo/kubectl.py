"""Output as from kubectl: a pod's STATUS, ages, and the Events section of ``kubectl describe pod``.

By kubectl's pkg/describe (DescribeEvents), pkg/printers (printPod) and apimachinery's duration.HumanDuration.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

Json = dict[str, Any]
HEADERS = ("Type", "Reason", "Age", "From", "Message")
RULES = ("----", "------", "----", "----", "-------")
GAP = 2  # spaces between columns, and before the first one
LEAST_MESSAGE = 45  # columns; with fewer a message is wrapped below its line and not in its column
HANGING = 6


def status(container_status: Json | None) -> str:
    """STATUS of a pod with one container, by that container's status in the API; None: the kubelet reported none yet."""
    if container_status is None:
        return "Pending"
    state = container_status["state"]
    return str(
        state["waiting"]["reason"] if "waiting" in state else state.get("terminated", {"reason": "Running"})["reason"]
    )


def age(passed: timedelta) -> str:
    """Of a duration: ``12s``, ``3m21s``, ``14m``, ``5h3m``; ``<invalid>`` from minus 2 s down. Days and years are left out here."""
    seconds = int(passed.total_seconds())  # towards zero, as Go does it
    minutes, hours = seconds // 60, seconds // 3600
    if seconds < -1:
        return "<invalid>"
    if seconds < 120:
        return f"{max(seconds, 0)}s"
    if minutes < 10:
        return f"{minutes}m{seconds % 60}s" if seconds % 60 else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    return f"{hours}h{minutes % 60}m" if hours < 8 and minutes % 60 else f"{hours}h"


def events_section(events: Sequence[Json], now: datetime) -> list[str]:
    """The lines of the Events section for Events of events.k8s.io/v1, each Event in one line, the oldest first."""
    if not events:
        return ["Events:  <none>"]
    shown = [_cells(event, now) for event in sorted(events, key=lambda event: str(event["eventTime"]))]
    table = [HEADERS, RULES, *shown]
    widths = [max(len(row[column]) for row in table) + GAP for column in range(len(HEADERS) - 1)]
    lines = ["".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)) for row in table]
    return ["Events:", *(" " * GAP + line for line in lines)]


def _cells(event: Json, now: datetime) -> tuple[str, ...]:
    since = age(now - datetime.fromisoformat(event["eventTime"]))
    if series := event.get("series"):
        last = age(now - datetime.fromisoformat(series["lastObservedTime"]))
        since = f"{last} (x{series['count']} over {since})"
    return event["type"], event["reason"], since, event["reportingController"], event["note"].strip()


def wrapped(lines: Sequence[str], width: int) -> list[str]:
    """The section at ``width`` columns: a line that is too long goes on in the Message column, or indented where that is narrow."""
    column = lines[1].find("Message") if len(lines) > 1 else 0
    indent = column if width - column >= LEAST_MESSAGE else HANGING
    wrapper = textwrap.TextWrapper(width, subsequent_indent=" " * indent, break_on_hyphens=False)
    return [part for line in lines for part in (wrapper.wrap(line) if len(line) > width else [line])]
