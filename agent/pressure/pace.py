"""How often the processes of a container are read: seldom while its limit is reached again and again, and few containers per second."""

from __future__ import annotations

from dataclasses import dataclass, field

FIRST_S, LONGEST_S = 1.0, 2.0  # between two readings while it goes on
QUIET_S = 10.0  # after that it is as the first time
# A reading that used the processor for 1 ms is not repeated for 20 ms: at most 5 % of a processor per container.
COST = 20
PER_S, AT_ONCE = 20.0, 40.0  # of the node
OF_REPEATED = 0.5  # part of them that is left for containers which reach their limit for the first time
MOST = 4096  # containers that are remembered


@dataclass(slots=True)
class _Last:
    at_s: float
    interval_s: float


@dataclass(eq=False)
class Pace:
    """Keys are containers; times are monotonic."""

    _last: dict[str, _Last] = field(default_factory=dict)
    _tokens: float = AT_ONCE
    _filled_s: float = 0.0

    def due(self, key: str, now_s: float) -> bool:
        """Whether to read it now; then that counts."""
        last = self._last.get(key)
        if last is not None and now_s - last.at_s < last.interval_s:
            return False
        first = last is None or now_s - last.at_s > max(QUIET_S, last.interval_s)
        if not self.take(now_s, spare=0.0 if first else AT_ONCE * OF_REPEATED):
            return False
        interval_s = FIRST_S if first or last is None else min(LONGEST_S, 2 * last.interval_s)
        self._last.pop(key, None)
        self._last[key] = _Last(now_s, interval_s)
        if len(self._last) > MOST:
            del self._last[next(iter(self._last))]
        return True

    def take(self, now_s: float, spare: float = 0.0) -> bool:
        """One of the node's readings; ``spare`` are to be left."""
        self._tokens = min(AT_ONCE, self._tokens + (now_s - self._filled_s) * PER_S)
        self._filled_s = now_s
        if self._tokens < 1.0 + spare:
            return False
        self._tokens -= 1.0
        return True

    def give_back(self, number: float) -> None:
        """That many readings that were due are not made."""
        self._tokens = min(AT_ONCE, self._tokens + number)

    def took(self, key: str, seconds: float) -> None:
        """What a reading cost in processor time; called by another thread."""
        last = self._last.get(key)
        if last is not None:
            last.interval_s = max(last.interval_s, COST * seconds)

    def forget(self, key: str) -> None:
        self._last.pop(key, None)
