"""All counters, one per container, pod, kubepods root and the node: reading them, and which have unrecorded kills.

Kills are recorded at every level at once, so that each level checks those below it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from math import inf

from agent.kills.counter import Counter, began_again, unused, upwards
from agent.kills.facts import Facts
from agent.model import NODE, Baseline, Cgroup, CgroupKind, MemoryEvents, Vanished, is_inside, levels_above

NOTHING = MemoryEvents(oom_kill=0, oom=0, oom_group_kill=0, local_oom=0)


class Counters:
    """``kept`` are the ledger's baselines of this boot, by inode. ``seen_this_boot``: an agent has recorded kills in this boot before; a
    cgroup without a baseline was then made while no agent ran and counts from 0, else from its first reading.
    """

    def __init__(self, facts: Facts, kept: Mapping[int, Baseline], *, seen_this_boot: bool) -> None:
        self._facts = facts
        self._kept = dict(kept)
        self._from_zero = seen_this_boot
        self._by_inode: dict[int, Counter] = {}
        self._by_path: dict[str, Counter] = {}
        self._increased: dict[int, Counter] = {}

    def __iter__(self) -> Iterator[Counter]:
        return iter(tuple(self._by_inode.values()))

    def add(self, cgroup: Cgroup, first: MemoryEvents, now_s: float, *, newborn: bool) -> Counter:
        """The counter of a cgroup from its first reading on, or the one that is there. ``newborn``: it was made while we watched."""
        if (known := self._by_inode.get(cgroup.inode)) is not None:
            return known
        counter = Counter(
            cgroup=cgroup,
            recorded=(start := self._start(cgroup, first, NOTHING if newborn or self._from_zero else first)),
            reading=first,
            changed_s=now_s,
            last_hit_s=now_s,
            without_kill_s=now_s if first.oom_kill <= start.oom_kill else -inf,
        )
        counter.record(0, 0)
        self._by_inode[cgroup.inode] = self._by_path[cgroup.path] = counter
        self._attach(counter)
        return counter

    def _start(self, cgroup: Cgroup, first: MemoryEvents, new: MemoryEvents) -> Baseline:
        if (kept := self._kept.get(cgroup.inode)) is not None:
            if began_again(kept, first):
                return replace(unused(kept), path=cgroup.path)
            oom_kill = min(kept.oom_kill, first.oom_kill)  # v1, as in Counter.read
            return replace(kept, path=cgroup.path, oom_kill=oom_kill)
        counts = new.oom_kill, new.oom_group_kill or 0, new.oom, new.local_oom or 0
        return Baseline(cgroup.inode, cgroup.path, *counts, ordinal=new.oom_kill)  # no kill before had a higher one

    def _attach(self, counter: Counter) -> None:
        """Between its parent and those below it that came first: a container may be notified of before its pod."""
        path, parent = counter.cgroup.path, self._parent(counter.cgroup)
        if counter.kind is not CgroupKind.CONTAINER:  # nothing below a container has a Counter
            for other in tuple((self._by_inode if parent is None else parent.children).values()):
                if other is not counter and other.parent is parent and is_inside(other.cgroup.path, path):
                    if parent is not None:
                        parent.detach(other)
                    counter.attach(other)
        if parent is not None:
            parent.attach(counter)

    def _parent(self, cgroup: Cgroup) -> Counter | None:
        found = (self._by_path.get(at) for at in (*levels_above(cgroup.path), NODE.path) if cgroup != NODE)
        return next((above for above in found if above is not None and above.kind is not CgroupKind.CONTAINER), None)

    def absent(self) -> tuple[int, ...]:
        """Inodes of cgroups with a baseline that were removed while no agent ran."""
        return tuple(inode for inode in self._kept if inode not in self._by_inode)

    def get(self, cgroup: Cgroup) -> Counter | None:
        """The counter of this very cgroup; None: it has none."""
        return self._by_inode.get(cgroup.inode)

    def at_path(self, path: str) -> Counter | None:
        """The counter of the cgroup that had this path last."""
        return self._by_path.get(path)

    def container_at(self, path: str) -> Counter | None:
        """The counter of the container at this path, if it is there."""
        found = self._by_path.get(path)
        return found if found is not None and not found.removed and found.kind is CgroupKind.CONTAINER else None

    def below_a_root(self, path: str) -> bool:
        """Whether this path is that of a kubepods root, or lies below one."""
        found = (self._by_path.get(at) for at in (path, *levels_above(path)))
        return any(counter is not None and counter.kind is CgroupKind.KUBEPODS for counter in found)

    def increased(self) -> list[Counter]:
        """Those with unrecorded kills, the deepest first."""
        return sorted(self._increased.values(), key=lambda counter: -len(counter.cgroup.path))

    def increased_containers(self, below: Counter | None = None) -> list[Counter]:
        """The containers among them; those below this level only."""
        found = (each for each in self._increased.values() if each.kind is CgroupKind.CONTAINER)
        return [each for each in found if below is None or below in upwards(each)]

    def note(self, counter: Counter, now_s: float, *, increased: bool = True) -> None:
        """The counter may have something unrecorded. ``increased``: more than before."""
        if counter.unrecorded_kills <= 0:
            return
        if counter.cgroup.inode not in self._increased:
            self._increased[counter.cgroup.inode] = counter
            counter.since_s = counter.increased_s = now_s
        elif increased:
            counter.increased_s = now_s

    def counted(self, cgroup: Cgroup, reading: MemoryEvents, now_s: float) -> None:
        """A new reading of a cgroup; of one without a Counter nothing is kept."""
        if (counter := self.get(cgroup)) is not None:
            increased = reading.oom_kill > counter.reading.oom_kill
            counter.read(reading, now_s)
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
        """Read a level first, so that a kill in between is never taken for unexplained; then its children, those that changed last
        first, until they explain it: more readings can only show more. So a kill costs the same however many pods there are.

        Returns whether the level is there, and children that were removed without a notification so far.
        """
        there = self.read(level, now_s)
        removed: list[Counter] = []
        for child in () if level.explained else sorted(level.children.values(), key=lambda each: -each.changed_s):
            if not self.read(child, now_s) and not child.removed:
                removed.append(child)
            if level.explained:
                break
        return there, removed

    def read_hits(self, counter: Counter, now_s: float) -> None:
        """Read all hits of limits now, here and above: those that came before a kill that was read are counted by now."""
        if counter.kind is CgroupKind.CONTAINER:
            own = self._facts.counters(counter.cgroup)
            counter.unread = isinstance(own, Vanished)
            if not isinstance(own, Vanished):
                counter.read_hits(own, now_s)
        for level in upwards(counter.parent):
            self.read(level, now_s)
            if counter.unread and level is counter.parent and level.unexplained_hits() > 0:
                for child in level.children.values():  # a hit of theirs is not to be taken for this counter's
                    self.read(child, now_s)

    def record(self, counter: Counter, raw: int, groups: int) -> None:
        """``raw`` kills of a cgroup are recorded, at its level and at every level above."""
        for level in upwards(counter):
            level.record(raw, groups)

    def done(self, counter: Counter) -> None:
        """Nothing of it waits to be recorded any more."""
        del self._increased[counter.cgroup.inode]

    def forget(self, counter: Counter) -> bool:
        """Its cgroup was removed; its recorded kills stay in the counters above. False: not yet, something unrecorded or below is left."""
        if counter.cgroup.inode in self._increased or counter.children:
            return False
        self._by_inode.pop(counter.cgroup.inode, None)
        if self._by_path.get(counter.cgroup.path) is counter:
            del self._by_path[counter.cgroup.path]
        if counter.parent is not None:
            counter.parent.detach(counter)
        return True


def baselines(counters: Iterable[Counter]) -> tuple[Baseline, ...]:
    """What the ledger keeps of these counters and of all above them, each once."""
    levels = {level.cgroup.inode: level for counter in counters for level in upwards(counter)}
    return tuple(level.recorded for level in levels.values())
