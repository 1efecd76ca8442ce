"""cgroup v1's notifications of OOMs and of memory pressure.

An eventfd signals an OOM before its kill is counted, so each signal leads to several readings.

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
LEVEL = b"low"  # reclaim looked at 2 MiB; the higher levels come when nearly nothing is left
MUTED_S = 1.0


class _Signals:
    """``mount`` is the memory hierarchy's. ``on_trouble`` gets a sentence about a cgroup that can't be followed."""

    followed: tuple[CgroupKind, ...]

    def __init__(self, mount: Path, on_trouble: Callable[[str], None], events: V1Events) -> None:
        self._mount = mount
        self._on_trouble = on_trouble
        self._events = events
        self.fileno, self.close = events.fileno, events.close
        self._cgroups: dict[Path, Cgroup] = {}
        self._later: list[tuple[float, Path]] = []  # a heap of when to do something, and about which directory

    def follow(self, cgroup: Cgroup) -> None:
        """Register for this cgroup's signals if it is of such a kind."""
        if cgroup.place.kind not in self.followed:
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
        return self._later[0][0] if self._later else None


class V1Counters(_Signals):
    """OOMs of containers and of what is inside one. Arguments as in _Signals."""

    followed = (CgroupKind.CONTAINER, CgroupKind.NESTED)

    def __init__(self, mount: Path, on_trouble: Callable[[str], None]) -> None:
        super().__init__(mount, on_trouble, V1Events())

    def read(self, now_s: float) -> list[CountersTouched]:
        """The cgroups that were signalled now or a moment ago, each once."""
        signalled = [directory for directory in self._events.read() if directory in self._cgroups]
        for directory in signalled:
            for after_s in READ_AFTER_S:
                heapq.heappush(self._later, (now_s + after_s, directory))
        while self._later and self._later[0][0] <= now_s:
            signalled.append(heapq.heappop(self._later)[1])
        return [CountersTouched(self._cgroups[d], now_s) for d in dict.fromkeys(signalled) if d in self._cgroups]


class V1Pressure(_Signals):
    """Signals of memory.pressure_level (cgroup-v1/memory.rst, section 11): there was reclaim in a container or pod.

    The cgroup whose limit is reached is signalled, and if nobody follows that, one above. Also by the node's own reclaim, so that a signal
    does not prove that a limit was reached. Arguments as in _Signals.
    """

    followed = (CgroupKind.CONTAINER, CgroupKind.POD)

    def __init__(self, mount: Path, on_trouble: Callable[[str], None]) -> None:
        super().__init__(mount, on_trouble, V1Events("memory.pressure_level", LEVEL))

    def read(self, now_s: float) -> list[Cgroup]:
        """The cgroups that were signalled, each at most once in MUTED_S: the kernel signals every 2 MiB of reclaim."""
        while self._later and self._later[0][0] <= now_s:
            self._events.unmute(heapq.heappop(self._later)[1])
        signalled = self._events.read()
        for directory in signalled:
            self._events.mute(directory)
            heapq.heappush(self._later, (now_s + MUTED_S, directory))
        return [self._cgroups[directory] for directory in signalled if directory in self._cgroups]
