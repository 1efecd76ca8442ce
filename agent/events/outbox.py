"""Events on their way: into the ledger, to the poster, and out of mind when the API has them.

Takes notices in; owns which are under way and which series go on counting. Never waits: what the poster has no room for
stays in the ledger until it has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from agent.events.series import QUIET_S, Series
from agent.ledger import Ledger
from agent.metrics.metrics import Metrics
from agent.model import EventDelivered, Notice, OomKill

REFILL_BELOW = 500  # of the poster's 1,000: not at every delivery, and not only when the last one is through
DROPPED = "dropped_"


class Poster(Protocol):
    """The thread that delivers Events. ``submit`` False: its queue is full, the ledger keeps the notice."""

    def submit(self, notice: Notice) -> bool: ...


class Outbox:
    """``unix_s`` is the wall clock."""

    def __init__(self, ledger: Ledger, metrics: Metrics, poster: Poster, unix_s: Callable[[], float]) -> None:
        self._ledger = ledger
        self._metrics = metrics
        self._poster = poster
        self._unix_s = unix_s
        self._series = Series(ledger.series(unix_s() - QUIET_S))
        self._under_way: set[str] = set()
        self._withheld = False  # the poster's queue was full: the ledger has more

    def post(self, notice: Notice) -> bool:
        """Something that happens once: a name that was posted before is not posted again. Whether it was new."""
        new = self._ledger.queue(notice)
        if new:
            self._submit(notice)
        return new

    def count(self, kill: OomKill, notice: Notice) -> None:
        """A kill, counted by the Event that is open for its like, else by this one, which is a new one."""
        counted = self._series.join(notice)
        self._ledger.record_outcome(kill.kill_id, kill.outcome, counted)
        if not self._series.waits(counted.name):
            self._submit(counted)
        self._show_pending()

    def untold(self, kill: OomKill) -> None:
        """A kill that there is nobody to tell of."""
        self._ledger.record_outcome(kill.kill_id, kill.outcome, None)

    def _submit(self, notice: Notice) -> bool:
        accepted = self._poster.submit(notice)
        if accepted:
            self._under_way.add(notice.name)
        else:
            self._withheld = True
        self._show_pending()
        return accepted

    def resume(self) -> None:
        """Hand over what the ledger still has, as far as the poster's queue takes it."""
        self._hand_over(self._ledger.undelivered())

    def _hand_over(self, undelivered: Iterable[Notice]) -> None:
        for notice in undelivered:
            if notice.name in self._under_way or self._series.waits(notice.name):
                continue
            if not self._submit(notice):
                return

    def delivered(self, message: EventDelivered, now_s: float) -> None:
        """The poster is done with a notice; hand over the next that waits."""
        self._under_way.discard(message.name)
        self._metrics.event(message.outcome)
        dropped = message.outcome.startswith(DROPPED)
        if dropped:
            self._series.end(message.name)
        counted = None if dropped else self._series.told(message.name, message.count, now_s)
        if counted is None:
            self._ledger.delivered(message.name, message.outcome)
        else:
            self._ledger.series_delivered(counted, message.outcome)
        self._show_pending()
        if self._withheld and len(self._under_way) <= REFILL_BELOW:
            self._withheld = False
            self.resume()

    def due_s(self) -> float | None:
        """When a new count may be told."""
        return self._series.due_s()

    def ripe(self, now_s: float) -> None:
        """New counts whose time has come go to the poster."""
        for notice in self._series.ripe(now_s):
            self._submit(notice)

    def housekeeping(self) -> None:
        """Series that are over are let go."""
        self._series.forget(self._unix_s())

    def _show_pending(self) -> None:
        self._metrics.events_pending(len(self._under_way | self._series.untold()))
