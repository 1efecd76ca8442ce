"""Times as the API, the log and the commands write them: RFC 3339."""

from __future__ import annotations

from datetime import UTC, datetime

YEAR_10000_UNIX_S = 253402300800.0


def rfc3339(at_unix_s: float, precision: str = "seconds") -> str:
    """In UTC; ``precision`` as datetime.isoformat has it."""
    return datetime.fromtimestamp(at_unix_s, UTC).isoformat(timespec=precision).replace("+00:00", "Z")


def unix_s(text: str) -> float | None:
    """Seconds of a time. None for a text that is none, for a time after the year 9999, which can't be written, and for the zero times that
    stand for "never" (years 1 and 1970).
    """
    try:
        seconds = datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return None
    return seconds if 0 < seconds < YEAR_10000_UNIX_S else None
