"""cgroup v1's counters, followed: eventfds tell of an OOM before its kill is counted, so each tells of several looks.

Joins kernel.v1events and the tree's cgroups; owns when to look again. Gives CountersTouched as the tree does on v2. A kill
by the node's own OOM killer signals no memcg at all: the log's report and /proc/vmstat tell of that one.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from pathlib import Path

from agent.kernel.v1events import V1Events, V1EventsUnavailableError
from agent.model import Cgroup, CgroupKind, CountersTouched

# The kernel signals before it chooses a victim (mem_cgroup_oom_notify comes first); how long the kill then takes is its business.
LOOKS_S = (0.01, 0.05, 0.25, 1.0)
FOLLOWED = (CgroupKind.CONTAINER, CgroupKind.NESTED)


class V1Counters:
    """``mount`` is the memory hierarchy's. ``on_trouble`` hears, in a sentence, of a cgroup that can't be followed."""

    def __init__(self, mount: Path, on_trouble: Callable[[str], None]) -> None:
        self._mount = mount
        self._on_trouble = on_trouble
        self._events = V1Events()
        self._cgroups: dict[Path, Cgroup] = {}
        self._again: list[tuple[float, str]] = []  # a heap of when to look, and at which path

    def fileno(self) -> int:
        return self._events.fileno()

    def follow(self, cgroup: Cgroup) -> None:
        """Be told of this cgroup's OOMs from now on, if it is a container's or lies in one."""
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
        """The cgroup is gone."""
        directory = self._mount / cgroup.path
        if self._cgroups.get(directory) == cgroup:
            del self._cgroups[directory]
            self._events.unregister(directory)

    def due_s(self) -> float | None:
        """Monotonic time of the next look that nobody will tell of; None: none."""
        return self._again[0][0] if self._again else None

    def read(self, now_s: float) -> list[CountersTouched]:
        """The cgroups to read: those that were signalled now, and those that were a moment ago. Each once."""
        found: dict[str, Cgroup] = {}
        for directory in self._events.read():
            cgroup = self._cgroups.get(directory)
            if cgroup is not None:
                found[cgroup.path] = cgroup
                for after_s in LOOKS_S:
                    heapq.heappush(self._again, (now_s + after_s, cgroup.path))
        while self._again and self._again[0][0] <= now_s:
            _, path = heapq.heappop(self._again)
            if (cgroup := self._cgroups.get(self._mount / path)) is not None:
                found[path] = cgroup
        return [CountersTouched(cgroup, now_s) for cgroup in found.values()]

    def close(self) -> None:
        self._events.close()
