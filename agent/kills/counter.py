"""Counter: the kills and the limit hits of one cgroup, recorded and not recorded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from agent.model import Baseline, Cgroup, CgroupKind, MemoryEvents

# From the hit of a limit to its kill: over 2 s were seen in the lab, on a node that was busy with a storm.
HIT_TO_KILL_S = 30.0


@dataclass(slots=True, eq=False)
class Dropped:
    """Hits of several limits, of which one led to a kill, and nobody knows which: ``left`` may still lead to one. ``at_s``: read then."""

    left: int
    at_s: float


@dataclass(slots=True, eq=False)
class Counter:
    """``recorded`` is what the ledger has or will have, ``reading`` what the kernel said last. Times are monotonic.

    ``shown_…`` is the larger of what is unrecorded here and what the children show: a level that was removed may have been read for the
    last time before its children. ``below_…`` is the sum of what the children show, kept up to date so that nobody goes through all pods.
    ``dropped``: hits that prove nothing any more, some of this cgroup's own limit; None: there are none.
    """

    cgroup: Cgroup
    recorded: Baseline
    reading: MemoryEvents
    changed_s: float  # the last reading that differed from the one before, or the first
    last_hit_s: float  # likewise, the last that had more hits than the one before
    without_kill_s: float  # likewise, the last in which all kills were recorded; -inf: there is none
    since_s: float = 0.0  # kills wait to be recorded since then, if any do
    increased_s: float = 0.0  # the last increase of these
    parent: Counter | None = None
    children: dict[int, Counter] = field(default_factory=dict)
    removed: bool = False
    dropped: Dropped | None = None
    unread: bool = False  # it could not be read: its reading may lack what came after
    shown_kills: int = 0
    shown_groups: int = 0
    below_kills: int = 0
    below_groups: int = 0

    @property
    def kind(self) -> CgroupKind:
        return self.cgroup.place.kind

    def read(self, reading: MemoryEvents, now_s: float) -> None:
        """A new reading. The hit of a limit comes before its kill: one without a kill for HIT_TO_KILL_S led to none."""
        reading = replace(reading, local_max=0)  # no kill: it must not keep old hits from expiring
        self.unread = False
        fewer = self.reading.oom_kill - reading.oom_kill
        if began_again(self.reading, reading):
            self.recorded = self._before_zero() if self.unrecorded_kills > 0 else unused(self.recorded)
        elif fewer > 0:  # v1: a sum over cgroups; one that was removed took its count along
            self.recorded = replace(self.recorded, oom_kill=self.recorded.oom_kill - fewer)
        if reading.oom_kill <= self.recorded.oom_kill:
            self.without_kill_s = now_s
        if reading == self.reading:
            return
        if self.unrecorded_kills <= 0 and now_s - self.changed_s > HIT_TO_KILL_S:
            self.recorded = replace(self.recorded, oom=self.reading.oom, local_oom=self.reading.local_oom or 0)
        self._replace_reading(reading, now_s)

    def _before_zero(self) -> Baseline:
        """Of counters that start at 0 again: what waits to be recorded waits on."""
        kept, last = self.recorded, self.reading
        groups, own_hits = kept.oom_group_kill - (last.oom_group_kill or 0), kept.local_oom - (last.local_oom or 0)
        kills, hits = kept.oom_kill - last.oom_kill, kept.oom - last.oom
        return replace(kept, oom_kill=kills, oom_group_kill=groups, oom=hits, local_oom=own_hits)

    def read_hits(self, reading: MemoryEvents, now_s: float) -> None:
        """Only the hits of a later reading: the kernel prints them before the kills, so that a reading can have a kill and lack its hit."""
        hits = replace(self.reading, oom=reading.oom, local_oom=reading.local_oom)
        if hits != self.reading:
            self._replace_reading(hits, now_s)

    def _replace_reading(self, reading: MemoryEvents, now_s: float) -> None:
        if reading.oom != self.reading.oom:
            self.last_hit_s = now_s
        self.reading, self.changed_s = reading, now_s
        self._pass_up()

    def add_unread(self, raw: int, groups: int) -> None:
        """That many kills more than its last reading has are its own, by the levels above: it was removed before another reading."""
        counted = self.reading.oom_group_kill
        groups_now = None if counted is None else counted + groups
        self.reading = replace(self.reading, oom_kill=self.reading.oom_kill + raw, oom_group_kill=groups_now)
        self._pass_up()

    @property
    def unrecorded_kills(self) -> int:
        """Raw kills that the reading has and the ledger doesn't."""
        return self.reading.oom_kill - self.recorded.oom_kill

    @property
    def counts_groups(self) -> bool:
        """Whether the kernel counts group kills: on v2, since Linux 5.17."""
        return self.reading.oom_group_kill is not None

    @property
    def unrecorded_groups(self) -> int:
        """Group kills likewise; 0 where they are not counted."""
        counted = self.reading.oom_group_kill
        return 0 if counted is None else counted - self.recorded.oom_group_kill

    @property
    def unexplained_kills(self) -> int:
        """Unrecorded raw kills that no child shows: of children that nobody could read any more."""
        return max(0, self.unrecorded_kills - self.below_kills)

    @property
    def unexplained_groups(self) -> int:
        """Group kills likewise."""
        return max(0, self.unrecorded_groups - self.below_groups)

    @property
    def explained(self) -> bool:
        """Whether the children show all that is unrecorded here."""
        return not (self.unexplained_kills or self.unexplained_groups)

    def record(self, raw: int, groups: int) -> None:
        """These kills are recorded, at this level."""
        kept = self.recorded
        self.recorded = replace(kept, oom_kill=kept.oom_kill + raw, oom_group_kill=kept.oom_group_kill + groups)
        self._pass_up()

    @property
    def counts_hits(self) -> bool:
        """Whether the kernel counts hits, and apart for each cgroup (v2 since 5.3): a kill at a limit then shows one."""
        return self.reading.local_oom is not None

    @property
    def unrecorded_hits(self) -> int:
        """Hits of a limit at or below this cgroup that have led to no recorded kill, and have not expired."""
        return self.reading.oom - self.recorded.oom

    @property
    def unrecorded_own_hits(self) -> int:
        """Those of this cgroup's own limit; 0 where the kernel doesn't count them apart."""
        return 0 if self.reading.local_oom is None else self.reading.local_oom - self.recorded.local_oom

    def unexplained_hits(self) -> int:
        """Those that are neither its own nor shown by a child: of children that nobody could read any more."""
        below = sum(child.unrecorded_hits for child in self.children.values())
        return self.unrecorded_hits - self.unrecorded_own_hits - below

    def take_hits(self, number: int, *, own: int) -> None:
        """That many hits here or below, ``own`` of them of this cgroup's limit, have led to kills that are being recorded: one for each
        kill, however many processes it took.
        """
        oom = min(self.reading.oom, self.recorded.oom + number)
        local_oom = max(self.recorded.local_oom, min(self.reading.local_oom or 0, self.recorded.local_oom + own))
        self.recorded = replace(self.recorded, oom=oom, local_oom=local_oom)

    @property
    def doubtful(self) -> bool:
        """Whether a kill may be of one of the dropped hits of this cgroup's limit."""
        dropped = self.dropped
        return dropped is not None and dropped.left > 0 and self.changed_s - dropped.at_s <= HIT_TO_KILL_S

    def next_ordinal(self) -> int:
        """Names the next kill of this cgroup."""
        self.recorded = replace(self.recorded, ordinal=self.recorded.ordinal + 1)
        return self.recorded.ordinal

    def attach(self, child: Counter) -> None:
        """``child`` lies below, and nothing that has a Counter lies between."""
        child.parent = self
        self.children[child.cgroup.inode] = child
        self._add_below(child.shown_kills, child.shown_groups)

    def detach(self, child: Counter) -> None:
        """``child`` is forgotten, or something that has a Counter lies between."""
        del self.children[child.cgroup.inode]
        self._add_below(-child.shown_kills, -child.shown_groups)

    def _add_below(self, kills: int, groups: int) -> None:
        self.below_kills += kills
        self.below_groups += groups
        self._pass_up()

    def _pass_up(self) -> None:
        kills = max(self.unrecorded_kills, self.below_kills)
        groups = max(self.unrecorded_groups, self.below_groups)
        more, more_groups = kills - self.shown_kills, groups - self.shown_groups
        self.shown_kills, self.shown_groups = kills, groups
        if self.parent is not None and (more or more_groups):
            self.parent._add_below(more, more_groups)


def began_again(before: MemoryEvents | Baseline, reading: MemoryEvents) -> bool:
    """Whether all counters of a cgroup started at 0 since ``before``: the memory controller was switched off and on (v2 since 5.3)."""
    if reading.local_oom is None:
        return False
    counts = ((before.oom_kill, reading.oom_kill), (before.oom, reading.oom), (before.local_oom, reading.local_oom))
    return any((old or 0) > new for old, new in (*counts, (before.oom_group_kill, reading.oom_group_kill or 0)))


def unused(baseline: Baseline) -> Baseline:
    """That of a cgroup with counters at 0, without another number of its last kill."""
    return replace(baseline, oom_kill=0, oom_group_kill=0, oom=0, local_oom=0)


def upwards(counter: Counter | None) -> Iterator[Counter]:
    """The counter itself and those above it, the nearest first."""
    while counter is not None:
        yield counter
        counter = counter.parent
