"""Events from the moment they are posted until the API has them: in the ledger, and as far as there is room in the schedule.

Takes notices and kills, gives the sender one Event at a time, takes its result. Runs on the loop's thread and never waits.
The ledger's row is the durable copy: what the schedule has no room for is only there, and is fetched when there is room.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace

from agent.events.grouping import QUIET_S, added, is_open, sent
from agent.events.schedule import Schedule
from agent.ledger import Ledger
from agent.metrics.metrics import Metrics
from agent.model import EventDelivered, EventFailed, Notice, OomKill

logger = logging.getLogger("oomward")

EXPIRED_S = 3600.0  # the API keeps Events for an hour: an older one is of no use to anybody
MOST_GROUPS = 5000
SEEN = ("created", "patched")  # outcomes by which a reader sees something new
DROPPED = "dropped_"


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
        self._more = False  # the ledger has Events that the schedule had no room for
        self._logged: set[int | None] = set()
        # Not those of the future: the clock was set back, and they would say that they were last seen there.
        recent = (n for n in ledger.series(unix_s() - QUIET_S) if n.last_unix_s <= unix_s() + QUIET_S)
        self._newest = {notice.group: notice.name for notice in recent}  # the Event that counts a group

    # ------------------------------------------------------------------------------------------------------- posting

    def post(self, notice: Notice) -> bool:
        """Something that happens once: a name that was posted before is not posted again. Returns whether it was new."""
        notice = self._timed(notice)
        new = self._ledger.queue(notice)
        if new:
            self._put(notice)
        return new

    def post_kill(self, kill: OomKill, notice: Notice) -> None:
        """A kill is counted by the open Event of its group, or else by ``notice``, which is a new one."""
        notice = self._timed(notice)
        event = self._find(self._newest.pop(notice.group, ""))
        if event is not None and is_open(event, notice):
            notice = added(event, notice)
        self._newest[notice.group] = notice.name
        if len(self._newest) > MOST_GROUPS:
            del self._newest[next(iter(self._newest))]  # the one that was added to least recently
        self._ledger.record_outcome(kill.kill_id, kill.outcome, notice)
        self._put(notice)

    def _find(self, name: str) -> Notice | None:
        if name in self._schedule:
            return self._schedule[name]
        kept = self._ledger.notice(name) if name else None
        return None if kept is None else self._timed(kept)

    def _timed(self, notice: Notice) -> Notice:
        """With times of this boot's monotonic clock, so that steps of the wall clock change nothing from here on.

        That clock goes on over a restart of the agent (clock_gettime(2)). Of a notice without it the wall clock's age counts; if
        that clock was stepped since we started, the lesser one by its old and its new time. The future is now.
        """
        if notice.boot_id == self._boot_id:
            return notice
        now_s = self._clock()
        last_s = now_s - max(0.0, min(self._unix_s(), self._unix_at_0_s + now_s) - notice.last_unix_s)
        first_s = last_s - max(0.0, notice.last_unix_s - notice.at_unix_s)
        return replace(notice, boot_id=self._boot_id, first_s=first_s, last_s=last_s, due_s=0.0)

    def _put(self, notice: Notice) -> None:
        """Into the schedule; but behind Events that wait in the ledger alone it waits there as well."""
        if notice.name in self._schedule or not (self._more or len(self._schedule) >= self._schedule.room):
            self._schedule.put(notice)
        else:
            self._more = True
        self._metrics.events_pending.set(len(self._schedule))

    def refill(self) -> None:
        """Fetch what waits in the ledger, as far as there is room."""
        waiting = self._ledger.undelivered(self._schedule.room)
        self._more = False
        for notice in waiting:
            if notice.name not in self._schedule:
                self._put(self._timed(notice))
        self._more = self._more or len(waiting) >= self._schedule.room

    # ------------------------------------------------------------------------------------------------------- sending

    def due_s(self) -> float | None:
        """When the next Event may be sent; None: none waits, or one is under way and its result will wake the loop."""
        return None if self._sending else self._schedule.due_s()

    def send_due(self) -> None:
        """Hand the next Event to the sender if one is due and none is under way. One that is too old is dropped instead."""
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
        self._schedule.answered(notice, now_s, charge=message.outcome in SEEN)
        if message.outcome in SEEN:
            self._logged.clear()
        if message.outcome.startswith(DROPPED):
            self._drop(notice, message.outcome)
            return
        notice = sent(notice, message.count, now_s)
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
        if self._newest.get(notice.group) == notice.name:
            del self._newest[notice.group]
        self._metrics.events.labels(outcome).inc()
        self._ledger.delivered(notice.name, outcome)
        self._remove(notice)

    def _remove(self, notice: Notice) -> None:
        self._schedule.remove(notice)
        self._metrics.events_pending.set(len(self._schedule))
        if self._more and len(self._schedule) <= self._schedule.room // 2:
            self.refill()
