"""Which Event counts a kill, and when its new count may be sent: the first kill at once, those that follow at widening intervals.

Pure; times are of the monotonic clock. An Event's text can't change later, so it stops counting when nothing happened for a
while, or after an hour, and the next kill starts another with words of its own.
"""

from __future__ import annotations

from dataclasses import replace

from agent.model import Notice

QUIET_S = 600.0
LONGEST_S = 3600.0
FIRST_INTERVAL_S = 10.0
LONGEST_INTERVAL_S = 600.0


def is_open(event: Notice, more: Notice) -> bool:
    """Whether ``event`` still counts what happened at ``more.last_s``."""
    return abs(more.last_s - event.last_s) <= QUIET_S and abs(more.last_s - event.first_s) <= LONGEST_S


def added(event: Notice, more: Notice) -> Notice:
    """``event`` with what ``more`` counts. Until the API has it, the words are the newest."""
    return replace(
        event,
        note=event.note if event.sent_count else more.note,
        count=event.count + more.count,
        last_at_unix_s=max(event.last_unix_s, more.last_unix_s),
        last_s=max(event.last_s, more.last_s),
    )


def sent(event: Notice, count: int, now_s: float) -> Notice:
    """The API has ``count`` of it. What is counted next waits 10 s, and twice as long each time, up to 10 minutes."""
    interval_s = min(FIRST_INTERVAL_S * 2 ** min(event.requests, 16), LONGEST_INTERVAL_S)
    return replace(
        event, sent_count=max(count, event.sent_count), requests=event.requests + 1, due_s=now_s + interval_s
    )
