"""Counters: how many of each cgroup's OOM kills are recorded, along the kernel's own hierarchy.

There is one Counter per container, pod and kubepods root, and one for the node. Kills are recorded at every level at once, so that each
level checks those below it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from math import inf

from agent.kills.counter import Counter, upwards
from agent.model import NODE, Baseline, Cgroup, CgroupKind, MemoryEvents, is_inside, levels_above

NOTHING = MemoryEvents(oom_kill=0, oom=0, oom_group_kill=0, local_oom=0)


class Counters:
    """All counters of the node, by inode.

    ``kept`` are the ledger's baselines of this boot. ``seen_this_boot``: an agent has recorded kills in this boot before; a
    cgroup without a baseline was then made while no agent ran and counts from 0, else from its first reading.
    """

    def __init__(self, kept: Mapping[int, Baseline], *, seen_this_boot: bool) -> None:
        self._kept = dict(kept)
        self._from_zero = seen_this_boot
        self._by_inode: dict[int, Counter] = {}
        self._by_path: dict[str, Counter] = {}

    def __iter__(self) -> Iterator[Counter]:
        return iter(tuple(self._by_inode.values()))

    def add(self, cgroup: Cgroup, first: MemoryEvents, now_s: float, *, newborn: bool) -> Counter:
        """The counter of a cgroup from its first reading on, or the one that is there. ``newborn``: it was made while we watched."""
        if (known := self._by_inode.get(cgroup.inode)) is not None:
            return known
        start = self._start(cgroup, first, from_zero=newborn or self._from_zero)
        counter = Counter(
            cgroup=cgroup,
            parent=None,
            recorded_kills=start.oom_kill,
            recorded_groups=start.oom_group_kill,
            recorded_hits=start.oom,
            recorded_own_hits=start.local_oom,
            ordinal=start.ordinal,
            reading=first,
            changed_s=now_s,
            last_hit_s=now_s,
            without_kill_s=now_s if first.oom_kill <= start.oom_kill else -inf,
        )
        counter.record(0, 0)
        self._by_inode[cgroup.inode] = counter
        self._by_path[cgroup.path] = counter
        self._attach(counter, self._parent(cgroup))
        return counter

    def _start(self, cgroup: Cgroup, first: MemoryEvents, *, from_zero: bool) -> Baseline:
        if (kept := self._kept.get(cgroup.inode)) is not None:
            return replace(kept, oom_kill=min(kept.oom_kill, first.oom_kill))  # v1, as in Counter.read
        shown = NOTHING if from_zero else first
        return Baseline(
            inode=cgroup.inode,
            path=cgroup.path,
            oom_kill=shown.oom_kill,
            oom_group_kill=shown.oom_group_kill or 0,
            oom=shown.oom,
            local_oom=shown.local_oom or 0,
            ordinal=0,
        )

    def _attach(self, counter: Counter, parent: Counter | None) -> None:
        """Between its parent and those below it that came first: a container may be notified of before its pod."""
        if counter.cgroup.place.kind is not CgroupKind.CONTAINER:  # nothing below a container has a Counter
            siblings = parent.children if parent is not None else self._by_inode
            for other in tuple(siblings.values()):
                if (
                    other is not counter
                    and other.parent is parent
                    and is_inside(other.cgroup.path, counter.cgroup.path)
                ):
                    if parent is not None:
                        parent.detach(other)
                    counter.attach(other)
        if parent is not None:
            parent.attach(counter)

    def _parent(self, cgroup: Cgroup) -> Counter | None:
        for at in (*levels_above(cgroup.path), NODE.path) if cgroup.path else ():
            above = self._by_path.get(at)
            if above is not None and above.cgroup.place.kind is not CgroupKind.CONTAINER:
                return above
        return None

    def absent(self) -> tuple[Baseline, ...]:
        """Baselines of cgroups that were removed while no agent ran."""
        return tuple(kept for inode, kept in self._kept.items() if inode not in self._by_inode)

    def get(self, cgroup: Cgroup) -> Counter | None:
        """The counter of this very cgroup; None: it has none."""
        return self._by_inode.get(cgroup.inode)

    def of(self, inodes: Iterable[int]) -> list[Counter]:
        """The counters of these cgroups, as far as there are any."""
        return [counter for inode in inodes if (counter := self._by_inode.get(inode)) is not None]

    def at_path(self, path: str) -> Counter | None:
        """The counter of the cgroup that had this path last."""
        return self._by_path.get(path)

    def below_a_root(self, path: str) -> bool:
        """Whether this path is that of a kubepods root, or lies below one."""
        found = (self._by_path.get(at) for at in (path, *levels_above(path)))
        return any(counter is not None and counter.cgroup.place.kind is CgroupKind.KUBEPODS for counter in found)

    def record(self, counter: Counter, raw: int, groups: int) -> None:
        """``raw`` kills of a cgroup are recorded, at its level and at every level above."""
        for level in upwards(counter):
            level.record(raw, groups)

    def forget(self, counter: Counter) -> None:
        """Its cgroup was removed; its recorded kills stay in the counters above."""
        self._by_inode.pop(counter.cgroup.inode, None)
        if self._by_path.get(counter.cgroup.path) is counter:
            del self._by_path[counter.cgroup.path]
        if counter.parent is not None:
            counter.parent.detach(counter)


def baselines(counters: Iterable[Counter]) -> tuple[Baseline, ...]:
    """What the ledger keeps of these counters and of all above them, each once."""
    levels = {level.cgroup.inode: level for counter in counters for level in upwards(counter)}
    return tuple(level.baseline() for level in levels.values())
