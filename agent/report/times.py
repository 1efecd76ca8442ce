"""Times as the page writes them: in UTC, months by name, so that no reader takes a day for a month. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from agent.report.markup import Html, tag
from agent.report.summary import DAY_S
from agent.wording.times import rfc3339

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def day(at_unix_s: float) -> str:
    """``22 Nov``."""
    at = datetime.fromtimestamp(at_unix_s, UTC)
    return f"{at.day} {MONTHS[at.month - 1]}"


def clock(at_unix_s: float) -> str:
    """``14:03``."""
    return f"{datetime.fromtimestamp(at_unix_s, UTC):%H:%M}"


def moment(at_unix_s: float, *, year: bool = False) -> Html:
    """``22 Nov 14:03``, for machines to the second."""
    of = f" {datetime.fromtimestamp(at_unix_s, UTC).year}" if year else ""
    return tag("time", f"{day(at_unix_s)}{of} {clock(at_unix_s)}", datetime=rfc3339(at_unix_s))


def label(at_unix_s: float, step_s: float) -> str:
    """Below a chart of which each bar is ``step_s`` long: the day, with the time where a bar is shorter."""
    return day(at_unix_s) if step_s >= DAY_S else f"{day(at_unix_s)} {clock(at_unix_s)}"


def length(seconds: float) -> str:
    """``6 hours``, ``1 day``: the largest unit that gives a whole number."""
    units = ((7 * DAY_S, "week"), (DAY_S, "day"), (3600, "hour"), (60, "minute"))
    size, unit = next(((size, unit) for size, unit in units if seconds >= size and seconds % size == 0), (1, "second"))
    number = round(seconds / size)
    return f"{number} {unit}{'' if number == 1 else 's'}"
