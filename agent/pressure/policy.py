"""Whether a container that reaches its limit is under pressure, and since when it stalls. Pure.

A limit that is reached says little: page cache grows to any limit, and reclaim makes room for more. It is pressure when what fills the
limit can't be freed, or when the processes hardly run any more.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from math import inf

from agent.pressure.lasting import WINDOW_S, Lasting

FULL = 0.97  # of the limit can't be freed: soon nothing can
NEARLY_FULL = 0.90  # likewise; it is pressure only if it grows, or if the processes stall
STILL_FULL = 0.87
GROWTH = 0.01  # of the limit, within GROWTH_S
GROWTH_S = 60.0
STALL = 0.05  # of the time, beside NEARLY_FULL, for STALL_S …
STALL_S = 5.0  # … since on a busy node a healthy heap that is collected stalled 17 % of one second, once in an hour (measured, 6.18)
FILLING = 0.75  # it is pressure, too, if this much can't be freed, it grows by FILLING_GROWTH, and page cache in use gives way …
FILLING_GROWTH = 0.03
FILLING_STALL = 0.10  # … so that the processes stall, for STALL_S
THRASHING = 0.50  # of each WINDOW_S, whatever fills the limit …
DIRTY = 0.95  # can't be freed before it is written back …
LASTING_S = 10.0  # … for that long
CALM_S = 10.0  # pressure ends after that long without a sign of it
# A stall without a kill: in each WINDOW_S of it hardly anything runs, and the limit is reached now and then. Per second it is uneven: 27 to
# 99 % of the time where 77 to 87 % is the mean (measured: Linux 6.1, executable text that doesn't fit, a slow disk). The limit is reached
# seldom: memory is charged in batches of 64 pages and freed in batches of 32 (mm/memcontrol.c), and now and then some 1,000 pages are freed
# at once. With a disk of 50 pages per second it was not reached for 20 s after that, while the processes stalled on.
STALLED = 0.70
REACHED_S = 30.0  # the limit was reached that long ago at most: longer, and something else may be what stalls
MOST_SAMPLES = 120


@dataclass(frozen=True, slots=True)
class Sample:
    """A reading, against the one before. ``fixed`` and ``dirty``: as in AtLimit. ``reached``: the limit was, in between.

    ``stalled``: the share of the time; None without PSI, or of a first reading. ``killed``: an OOM kill was counted in between.
    """

    at_s: float
    fixed: float
    dirty: float = 0.0
    reached: bool = True
    stalled: float | None = None
    killed: bool = False


@dataclass(eq=False)
class Judge:
    """Of one container; ``add`` its readings. Times are monotonic.

    ``since_s``: when the pressure began, None: there is none. ``stalled_since_s``: since when it has stalled nearly all of the time at its
    limit, without a kill; None: it doesn't.
    """

    since_s: float | None = None
    _samples: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=MOST_SAMPLES), init=False)
    _thrashing: Lasting = field(default_factory=lambda: Lasting(THRASHING), init=False)
    _stall: Lasting = field(default_factory=lambda: Lasting(STALLED), init=False)
    _dirty_since_s: float | None = field(default=None, init=False)
    _nearly_since_s: float | None = field(default=None, init=False)
    _filling_since_s: float | None = field(default=None, init=False)
    _reached_s: float = field(default=-inf, init=False)
    _sign_s: float = field(default=0.0, init=False)
    _last_s: float = field(default=-inf, init=False)

    @property
    def stalled_since_s(self) -> float | None:
        return self._stall.since_s

    def add(self, one: Sample) -> bool:
        """Whether pressure began or ended with this reading."""
        stalled = one.stalled or 0.0
        self._dirty_since_s = _since(self._dirty_since_s, one.reached and one.fixed + one.dirty >= DIRTY, one.at_s)
        nearly = one.reached and one.fixed >= NEARLY_FULL and stalled >= STALL
        self._nearly_since_s = _since(self._nearly_since_s, nearly, one.at_s)
        filling = one.reached and one.fixed >= FILLING and stalled >= FILLING_STALL
        self._filling_since_s = _since(self._filling_since_s, filling, one.at_s)
        self._reached_s = one.at_s if one.reached else self._reached_s
        passed_s, self._last_s = min(WINDOW_S, one.at_s - self._last_s), one.at_s
        at_limit = one.at_s - self._reached_s <= REACHED_S
        self._thrashing.add(one.at_s, passed_s, stalled, holds=at_limit)
        self._stall.add(one.at_s, passed_s, stalled, holds=at_limit and not one.killed)
        begins = self._begins(one)
        self._samples.append((one.at_s, one.fixed))
        if self.since_s is None:
            if begins:
                self.since_s = self._sign_s = one.at_s
            return begins
        stays = one.reached and (one.fixed >= STILL_FULL or stalled >= STALL or one.fixed + one.dirty >= NEARLY_FULL)
        if begins or stays or self._thrashing.since_s is not None:
            self._sign_s = one.at_s
        elif one.at_s - self._sign_s >= CALM_S:
            self.since_s = None
            return True
        return False

    def stalled(self) -> float:
        """The share of the last WINDOW_S of a stall in which it stalled; 0: there is no stall."""
        return self._stall.share()

    def _begins(self, one: Sample) -> bool:
        if not one.reached:
            return False
        return (
            one.fixed >= FULL
            or (one.fixed >= NEARLY_FULL and self._grew(one, GROWTH))
            or _lasts(self._nearly_since_s, one.at_s, STALL_S)
            or (_lasts(self._filling_since_s, one.at_s, STALL_S) and self._grew(one, FILLING_GROWTH))
            or _lasts(self._thrashing.since_s, one.at_s, LASTING_S)
            or _lasts(self._dirty_since_s, one.at_s, LASTING_S)
        )

    def _grew(self, one: Sample, share: float) -> bool:
        return any(one.at_s - at_s <= GROWTH_S and one.fixed - fixed >= share for at_s, fixed in self._samples)

    def nearly_full_s(self) -> float:
        """In how many seconds it would be nearly full if it grew on as between the last two readings; inf: never, it does not grow."""
        if len(self._samples) < 2:
            return inf
        (before_s, before), (at_s, fixed) = self._samples[-2], self._samples[-1]
        growth = (fixed - before) / max(1e-3, at_s - before_s)
        return max(0.0, NEARLY_FULL - fixed) / growth if growth > 0 else inf


def _since(since_s: float | None, holds: bool, now_s: float) -> float | None:
    return (now_s if since_s is None else since_s) if holds else None


def _lasts(since_s: float | None, now_s: float, seconds: float) -> bool:
    return since_s is not None and now_s - since_s >= seconds
