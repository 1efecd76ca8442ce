"""Unrecorded increases of counters: readings go in, the counters with unrecorded kills come out, and since when they wait.

Owns the Increases, by inode. Decides nothing about when enough is known (timing.py).
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from agent.kills.counter import Counter, upwards
from agent.kills.counters import Counters
from agent.kills.facts import Facts
from agent.kills.timing import Increase
from agent.model import Cgroup, CgroupKind, MemoryEvents, Vanished


class Increases:
    """See the module."""

    def __init__(self, counters: Counters, facts: Facts) -> None:
        self._counters = counters
        self._facts = facts
        self._increases: dict[int, Increase] = {}

    def counters(self) -> list[Counter]:
        """All with something unrecorded, of any level."""
        return self._counters.of(self._increases)

    @property
    def inodes(self) -> AbstractSet[int]:
        """Theirs."""
        return self._increases.keys()

    def containers(self) -> list[Counter]:
        """The containers among them."""
        return [counter for counter in self.counters() if counter.cgroup.place.kind is CgroupKind.CONTAINER]

    def containers_below(self, level: Counter) -> list[Counter]:
        """Those of them that lie below this level."""
        return [each for each in self.containers() if any(above is level for above in upwards(each))]

    def of(self, counter: Counter) -> Increase:
        """Since when it waits. Raises KeyError for a counter that is none of ``counters()``."""
        return self._increases[counter.cgroup.inode]

    def note(self, counter: Counter, now_s: float, *, increased: bool = True) -> None:
        """The counter may have something unrecorded. ``increased``: more than before."""
        if counter.unrecorded_kills <= 0:
            return
        increase = self._increases.setdefault(counter.cgroup.inode, Increase(now_s, now_s))
        if increased:
            increase.last_s = now_s

    def done(self, counter: Counter) -> None:
        """Nothing of it waits any more."""
        del self._increases[counter.cgroup.inode]

    # ----------------------------------------------------------------------------------------------------- readings

    def counted(self, cgroup: Cgroup, reading: MemoryEvents, now_s: float) -> None:
        """A new reading of a cgroup; of one without a Counter nothing is kept."""
        counter = self._counters.get(cgroup)
        if counter is None:
            return
        increased = reading.oom_kill > counter.reading.oom_kill
        counter.read(reading, now_s)
        if increased or counter.unrecorded_kills > 0:
            self.note(counter, now_s, increased=increased)

    def read(self, counter: Counter, now_s: float) -> bool:
        """Read it now. False: its cgroup was removed, and its last reading stays."""
        reading = self._facts.counters(counter.cgroup)
        if isinstance(reading, Vanished):
            counter.unread = True
            return False
        self.counted(counter.cgroup, reading, now_s)
        return True

    def read_level(self, level: Counter, now_s: float) -> tuple[bool, list[Counter]]:
        """Read a level first, and its children after, if something is unexplained: so a kill in between is never taken for that, and
        a kill costs the same however many pods there are.

        Returns whether the level is there, and the children that turn out to be removed though that was not notified yet.
        """
        there = self.read(level, now_s)
        return there, [] if level.explained() else self._read_children(level, now_s)

    def _read_children(self, level: Counter, now_s: float) -> list[Counter]:
        return [each for each in level.children.values() if not self.read(each, now_s) and not each.removed]

    def read_hits(self, counter: Counter, now_s: float) -> None:
        """Read all hits of limits now: those that came before a kill that was read are counted by now. A level above may not have been
        notified of yet, and a container's own reading may have a kill and lack its hit (Counter.read_hits).
        """
        if counter.cgroup.place.kind is CgroupKind.CONTAINER:
            own = self._facts.counters(counter.cgroup)
            counter.unread = isinstance(own, Vanished)
            if not isinstance(own, Vanished):
                counter.read_hits(own, now_s)
        for level in tuple(upwards(counter))[1:]:
            self.read(level, now_s)
            if counter.unread and level is counter.parent and level.unexplained_hits() > 0:
                self._read_children(level, now_s)  # a hit of another child is not to be taken for one of this counter's
