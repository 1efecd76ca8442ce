"""Which containers are near their memory limit, asked at the loop's one wake-up in 40 s.

A process that only allocates reaches its limit and is killed within a millisecond: there is nothing to reclaim first. What leaks slowly
is found here, before that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from agent.cgroup.files import CgroupError, CgroupFiles
from agent.model import Cgroup, CgroupKind, Vanished
from agent.pressure.reached import Listener

NEAR = 0.75  # of the limit
MOST_ASKED = 150  # at one wake-up, so that no turn is long; the next ones at the next
MOST_AT_ONCE = 20  # of those that are near; the others at the next wake-up
READ_AGAIN = 10  # a limit is read again after that many wake-ups: it may have been lowered


class NearLimit:
    """``listener`` gets the containers and pods that are near their limit. ``files`` are the loop's, which keep directories open."""

    def __init__(self, files: CgroupFiles, listener: Listener) -> None:
        self._files = files
        self._listener = listener
        self._limits: dict[Cgroup, int | None] = {}
        self._listened_s: dict[Cgroup, float] = {}  # of those that were near last time
        self._round = self._next = 0

    def check(self, cgroups: Iterable[Cgroup], now_s: float, between: Callable[[], None]) -> None:
        """MOST_ASKED of these, and the next ones in the next call. ``between`` is called before each reading. Of those that are near, the
        ones that waited longest come first.
        """
        self._round += 1
        if self._round % READ_AGAIN == 0:
            self._limits.clear()
        near = []
        for cgroup in self._turn([one for one in cgroups if one.place.kind in (CgroupKind.CONTAINER, CgroupKind.POD)]):
            between()
            if self._is_near(cgroup):
                near.append(cgroup)
        listened_s = {cgroup: self._listened_s.get(cgroup, 0.0) for cgroup in near}
        for cgroup in sorted(near, key=listened_s.__getitem__)[:MOST_AT_ONCE]:
            listened_s[cgroup] = now_s
            self._listener(cgroup, now_s)
        self._listened_s = listened_s

    def _turn(self, cgroups: list[Cgroup]) -> list[Cgroup]:
        """Those whose turn it is."""
        if len(cgroups) <= MOST_ASKED:
            return cgroups
        begin = self._next % len(cgroups)
        self._next = begin + MOST_ASKED
        return (cgroups + cgroups)[begin : begin + MOST_ASKED]

    def gone(self, cgroup: Cgroup) -> None:
        self._limits.pop(cgroup, None)

    def _is_near(self, cgroup: Cgroup) -> bool:
        try:
            if cgroup not in self._limits:
                self._read_limit(cgroup)
            limit = self._limits.get(cgroup)
            if limit is None or not self._uses(cgroup, NEAR * limit):
                return False
            self._read_limit(cgroup)  # it may have been raised
            limit = self._limits.get(cgroup)
            return limit is not None and self._uses(cgroup, NEAR * limit)
        except CgroupError:  # counted where the cgroup's counters are read
            return False

    def _uses(self, cgroup: Cgroup, size: float) -> bool:
        usage = self._files.usage_bytes(cgroup)
        return isinstance(usage, int) and usage >= size

    def _read_limit(self, cgroup: Cgroup) -> None:
        limit = self._files.limit_bytes(cgroup)
        self._limits[cgroup] = None if isinstance(limit, Vanished) else limit
