"""A share of the time that stays high, though single readings are uneven. Pure."""

from __future__ import annotations

from collections import deque

WINDOW_S = 10.0


class Lasting:
    """Begins with a reading of at least ``least`` and lasts while the mean of each WINDOW_S is.

    ``since_s``: monotonic; None: it does not last.
    """

    def __init__(self, least: float) -> None:
        self._least = least
        self.since_s: float | None = None
        # When each was made, of how many seconds, and in how many of them it was so.
        self._readings: deque[tuple[float, float, float]] = deque()

    def add(self, at_s: float, passed_s: float, share: float, *, holds: bool) -> None:
        """A reading of the ``passed_s`` seconds before. ``holds`` False ends it, whatever the share."""
        self._readings.append((at_s, passed_s, passed_s * share))
        while self._readings and at_s - self._readings[0][0] >= WINDOW_S:
            self._readings.popleft()
        if not holds or self.share() < self._least:
            self._readings.clear()
        if not self._readings:
            self.since_s = None
        elif self.since_s is None:
            self.since_s = at_s

    def share(self) -> float:
        """Of the last WINDOW_S while it lasts; 0: it doesn't."""
        seconds = sum(reading[1] for reading in self._readings)
        return sum(reading[2] for reading in self._readings) / seconds if seconds > 0 else 0.0
