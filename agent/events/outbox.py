"""Events from the moment they are posted until the API has them: in the ledger, and as far as there is room in the schedule.

Never waits. Events that the schedule has no room for are read from the ledger page by page when there is room, and once a minute, so
that no pod's Events wait for those of others. A kill is counted by the open Event of its group: the first is sent at once, new counts
at widening intervals. An Event's text can't change later, so it is open for an hour at most, and until 10 minutes passed without a kill.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from math import inf

from agent.events.schedule import Schedule
from agent.ledger import Ledger
from agent.metrics.metrics import Metrics
from agent.model import EventDelivered, EventFailed, Notice, OomKill
from agent.wording.shares import Shares
from agent.wording.text import safe

logger = logging.getLogger("oomward")

QUIET_S = 600.0
LONGEST_S = 3600.0
FIRST_INTERVAL_S = 10.0
LONGEST_INTERVAL_S = 600.0
EXPIRED_S = 3600.0  # the API keeps Events for an hour
MOST_GROUPS = 5000
REREAD_S = 60.0  # while the schedule has no room for some
UNREAD_S = 10.0  # after the ledger could not be read
PAGE = 50  # Events read from the ledger per turn of the loop: some 35 µs each
SEEN = ("created", "patched")  # outcomes by which a reader sees something new
_Share = tuple[str, bool]  # a pod's uid, and whether Warnings


class _Open:
    """The Event that counts a group's next kills."""

    __slots__ = ("name", "owner")

    def __init__(self, notice: Notice) -> None:
        self.name = notice.name
        self.owner = notice.about.namespace, notice.about.uid


class Outbox:
    """``send`` hands an Event to the sender's thread and returns at once. ``clock`` is monotonic, ``unix_s`` the wall clock."""

    def __init__(
        self,
        ledger: Ledger,
        metrics: Metrics,
        schedule: Schedule,
        send: Callable[[Notice], None],
        boot_id: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        unix_s: Callable[[], float] = time.time,
    ) -> None:
        self._ledger = ledger
        self._metrics = metrics
        self._schedule = schedule
        self._send = send
        self._boot_id = boot_id
        self._clock = clock
        self._unix_s = unix_s
        self._unix_at_0_s = unix_s() - clock()
        self._sending = False
        self._left_out: set[_Share] = (
            set()
        )  # those that the schedule had no room for: only the ledger has some of theirs
        self._reread_at_s = inf
        self._reading = False  # the ledger's Events are being read, page by page, and come next after ``_last_read``
        self._last_read: Notice | None = None
        self._logged: set[int | None] = set()
        # Not those of the future: the clock was set back, and they would say that they were last seen there.
        recent = (n for n in ledger.series(unix_s() - QUIET_S) if n.last_unix_s <= unix_s() + QUIET_S)
        self._newest = {notice.group: _Open(notice) for notice in recent}  # the Event that counts a group
        self._shares = Shares[str, _Open](
            "groups of kills have an Event that counts them", lambda _, event: event.owner
        )

    def post(self, notice: Notice) -> bool:
        """An Event that happens once: a name that was posted before is not posted again. Returns whether it was new."""
        notice = self._timed(notice)
        new = self._ledger.queue(notice)
        if new:
            self._put(notice)
        return new

    def post_kill(self, kill: OomKill, notice: Notice) -> None:
        """A kill is counted by the open Event of its group, or else by ``notice``, which is a new one."""
        notice = self._counted(notice)
        self._ledger.record_outcome(kill.kill_id, kill.outcome, notice)
        self._put(notice)

    def post_again(self, notice: Notice) -> None:
        """What may happen again, and is no kill: likewise counted by the open Event of its group."""
        notice = self._counted(notice)
        self._ledger.count(notice)
        self._put(notice)

    def _counted(self, notice: Notice) -> Notice:
        """The Event that counts it, as it is then."""
        notice = self._timed(notice)
        event = None
        if (newest := self._newest.pop(notice.group, None)) is not None:
            name = newest.name
            event = self._schedule[name] if name in self._schedule else self._ledger.notice(name)
        if event is not None:
            notice = _counted_by(self._timed(event), notice)
        self._newest[notice.group] = _Open(notice)
        self._shares.trim(self._newest, MOST_GROUPS)
        return notice

    def _timed(self, notice: Notice) -> Notice:
        """With times of this boot's monotonic clock, which continues over a restart (clock_gettime(2)).

        Of a notice without them the wall clock's age counts; if that was stepped since we started, the lesser age. The future is now.
        """
        if notice.boot_id == self._boot_id:
            return notice
        now_s = self._clock()
        last_s = now_s - max(0.0, min(self._unix_s(), self._unix_at_0_s + now_s) - notice.last_unix_s)
        first_s = last_s - max(0.0, notice.last_unix_s - notice.at_unix_s)
        return replace(notice, boot_id=self._boot_id, first_s=first_s, last_s=last_s, due_s=0.0)

    def _put(self, notice: Notice) -> None:
        """Into the schedule; but behind Events of its pod that only the ledger has it stays there as well."""
        if notice.name in self._schedule or _share(notice) not in self._left_out:
            self._offer(notice)
        self._metrics.events_pending.set(len(self._schedule))

    def _offer(self, notice: Notice) -> None:
        """The schedule has room for it, or for another, or the ledger alone keeps it for now."""
        if (crowded := self._schedule.put(notice)) is None:
            return
        if not self._left_out and not self._reading:
            where = f"namespace {safe(crowded.about.namespace)}" if crowded.about.namespace else "the node"
            logger.warning(
                "more than %d Events wait: some of %s stay in the ledger for now", len(self._schedule), where
            )
        self._left_out.add(_share(crowded))
        if not self._reading:
            self._reread_at_s = min(self._reread_at_s, self._clock() + REREAD_S)

    def refill(self) -> bool:
        """Up to PAGE Events that only the ledger has are offered to the schedule. False: there were none, or none could be read."""
        now_s = self._clock()
        if not self._reading:
            self._left_out, self._last_read = set(), None
        page = self._ledger.undelivered(PAGE, self._last_read)
        for notice in page:
            self._last_read = notice
            if notice.name not in self._schedule:
                self._offer_or_drop(self._timed(notice), now_s)
        self._reading = bool(page)
        unread_s = now_s + UNREAD_S if not page and self._ledger.failing else inf
        self._reread_at_s = min(unread_s, now_s + REREAD_S if self._left_out else inf)
        self._metrics.events_pending.set(len(self._schedule))
        return bool(page)

    def _offer_or_drop(self, notice: Notice, now_s: float) -> None:
        if now_s - notice.last_s > EXPIRED_S:
            self._drop(notice, "dropped_expired")
        else:
            self._offer(notice)

    def _may_refill(self) -> bool:
        half_empty = len(self._schedule) <= self._schedule.room // 2
        return self._reading or (bool(self._left_out) and half_empty) or self._reread_at_s <= self._clock()

    def due_s(self) -> float | None:
        """When send_due() has work; None: no Event waits, or one is under way and its result will wake the loop."""
        if self._may_refill():
            return -inf
        due_s = None if self._sending else self._schedule.due_s()
        return min(inf if due_s is None else due_s, self._reread_at_s) if self._reread_at_s < inf else due_s

    def send_due(self) -> None:
        """Read a page of the ledger's Events; or send the next Event, or drop it as too old, if one is due and none is under way."""
        if self._may_refill() and self.refill():
            return
        now_s = self._clock()
        notice = None if self._sending else self._schedule.next(now_s)
        if notice is None:
            return
        if now_s - notice.last_s > EXPIRED_S:
            self._drop(notice, "dropped_expired")
        else:
            self._sending = True
            self._send(notice)

    def delivered(self, message: EventDelivered) -> None:
        """The sender is done with an Event. What was counted meanwhile is sent later."""
        self._sending = False
        now_s, notice = self._clock(), self._schedule[message.name]
        seen = message.outcome in SEEN
        self._schedule.answered(notice, now_s, charge=seen)
        if seen:
            self._logged.clear()
        if message.outcome.startswith("dropped_"):
            self._drop(notice, message.outcome)
            return
        notice = _sent(notice, message.count, now_s)
        self._metrics.events.labels(message.outcome).inc()
        self._ledger.series_delivered(notice, message.outcome)
        if notice.sent_count < notice.count:
            self._schedule.put(notice)
        else:
            self._remove(notice)

    def failed(self, message: EventFailed) -> None:
        """The Event waits for another try. Each kind of failure is logged once, and again only after a delivery."""
        self._sending = False
        self._schedule.failed(self._schedule[message.name], message.status, message.retry_after_s, self._clock())
        if message.status not in self._logged:
            self._logged.add(message.status)
            logger.warning("Events wait: %s", message.why)

    def _drop(self, notice: Notice, outcome: str) -> None:
        """It is never sent; the next kill of its group starts another Event."""
        if notice.group in self._newest and self._newest[notice.group].name == notice.name:
            del self._newest[notice.group]
        self._metrics.events.labels(outcome).inc()
        self._ledger.delivered(notice.name, outcome)
        self._remove(notice)

    def _remove(self, notice: Notice) -> None:
        if notice.name in self._schedule:
            self._schedule.remove(notice)
        self._metrics.events_pending.set(len(self._schedule))


def _share(notice: Notice) -> _Share:
    return notice.about.uid, notice.warning


def _counted_by(event: Notice, more: Notice) -> Notice:
    """``event`` with what ``more`` counts, or ``more`` if that is not open any more. Until the API has it, the words are the newest."""
    if abs(more.last_s - event.last_s) > QUIET_S or abs(more.last_s - event.first_s) > LONGEST_S:
        return more
    return replace(
        event,
        note=event.note if event.sent_count else more.note,
        count=event.count + more.count,
        last_at_unix_s=max(event.last_unix_s, more.last_unix_s),
        last_s=max(event.last_s, more.last_s),
    )


def _sent(event: Notice, count: int, now_s: float) -> Notice:
    """The API has ``count`` of it. What is counted next waits 10 s, and twice as long each time, up to 10 minutes."""
    due_s = now_s + min(FIRST_INTERVAL_S * 2 ** min(event.requests, 16), LONGEST_INTERVAL_S)
    return replace(event, sent_count=max(count, event.sent_count), requests=event.requests + 1, due_s=due_s)
