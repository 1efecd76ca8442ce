"""cgroup v1's counters: an eventfd signals an OOM before its kill is counted, so each signal leads to several readings.

A kill by the node's own OOM killer signals no memcg at all: only the log's report and /proc/vmstat show it.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from pathlib import Path

from agent.kernel.v1events import V1Events, V1EventsUnavailableError
from agent.model import Cgroup, CgroupKind, CountersTouched

# After the signal: the kernel sends it before it chooses a victim (mem_cgroup_oom_notify), and the kill may take long.
READ_AFTER_S = (0.01, 0.05, 0.25, 1.0)
FOLLOWED = (CgroupKind.CONTAINER, CgroupKind.NESTED)


class V1Counters:
    """``mount`` is the memory hierarchy's. ``on_trouble`` gets a sentence about a cgroup that can't be followed."""

    def __init__(self, mount: Path, on_trouble: Callable[[str], None]) -> None:
        self._mount = mount
        self._on_trouble = on_trouble
        self._events = V1Events()
        self.fileno, self.close = self._events.fileno, self._events.close
        self._cgroups: dict[Path, Cgroup] = {}
        self._again: list[tuple[float, Path]] = []  # a heap of when to read again, and which directory

    def follow(self, cgroup: Cgroup) -> None:
        """Register for this cgroup's OOMs if it is a container's or inside one."""
        if cgroup.place.kind not in FOLLOWED:
            return
        directory = self._mount / cgroup.path
        self._events.unregister(directory)  # another cgroup may have had this path a moment ago
        try:
            if self._events.register(directory):
                self._cgroups[directory] = cgroup
        except V1EventsUnavailableError as error:
            self._on_trouble(str(error))

    def forget(self, cgroup: Cgroup) -> None:
        directory = self._mount / cgroup.path
        if self._cgroups.get(directory) == cgroup:
            del self._cgroups[directory]
            self._events.unregister(directory)

    def due_s(self) -> float | None:
        """Monotonic time of the next reading without a signal; None: none."""
        return self._again[0][0] if self._again else None

    def read(self, now_s: float) -> list[CountersTouched]:
        """The cgroups that were signalled now or a moment ago, each once."""
        signalled = [directory for directory in self._events.read() if directory in self._cgroups]
        for directory in signalled:
            for after_s in READ_AFTER_S:
                heapq.heappush(self._again, (now_s + after_s, directory))
        while self._again and self._again[0][0] <= now_s:
            signalled.append(heapq.heappop(self._again)[1])
        return [CountersTouched(self._cgroups[d], now_s) for d in dict.fromkeys(signalled) if d in self._cgroups]
