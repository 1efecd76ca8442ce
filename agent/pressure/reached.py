"""Which cgroup has just reached its own memory limit, from the counters that are read anyway: listeners are called, and must not wait."""

from __future__ import annotations

from collections.abc import Callable

from agent.model import Cgroup, MemoryEvents

Listener = Callable[[Cgroup, float], None]


class Reached:
    """``listeners`` get each cgroup whose limit was reached since it was last read, and the time of the reading (monotonic, seconds)."""

    def __init__(self, *listeners: Listener) -> None:
        self.listeners = list(listeners)
        self._counts: dict[Cgroup, int] = {}

    def counted(self, cgroup: Cgroup, reading: MemoryEvents, now_s: float) -> None:
        """A reading of the cgroup's counters. The first one shows what happened before, so it is no news."""
        before = self._counts.get(cgroup)
        self._counts[cgroup] = reading.local_max
        if before is not None and reading.local_max > before:
            self.signal(cgroup, now_s)

    def signal(self, cgroup: Cgroup, now_s: float) -> None:
        """The limit was reached, by another source than the counters (v1's events)."""
        for listener in self.listeners:
            listener(cgroup, now_s)

    def gone(self, cgroup: Cgroup) -> None:
        self._counts.pop(cgroup, None)
