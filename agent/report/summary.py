"""The numbers of the page: totals, kills over time, by workload, and by the memory that filled the limits. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import ceil

from agent.model import Filled, MemoryUse, Outcome, Scope
from agent.report.model import Kill, Place

MOST_BUCKETS = 48
MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86400
STEPS_S = (
    *(MINUTE_S * n for n in (1, 5, 10, 15, 30)),
    *(HOUR_S * n for n in (1, 2, 3, 4, 6, 12)),
    *(DAY_S * n for n in (1, 2)),
)
WEEK_S = 7 * DAY_S
OWN_LIMITS = (Scope.CONTAINER, Scope.POD)
OTHER = "other"
# By the agent's own words, so that what it says (filled_by) and what is computed here are the same kinds.
KINDS: tuple[str, ...] = (
    *(kind.value for kind in (Filled.PROCESSES, Filled.PAGE_CACHE, Filled.SHARED, Filled.KERNEL, Filled.SOCKETS)),
    OTHER,
)


@dataclass(slots=True)
class Outcomes:
    """Kills by what became of their container; the rest of ``kills`` is not known, or was in no container."""

    kills: int = 0
    died: int = 0
    survived: int = 0

    @property
    def unknown(self) -> int:
        return self.kills - self.died - self.survived

    def add(self, kill: Kill) -> None:
        self.kills += 1
        self.died += kill.outcome is Outcome.DIED
        self.survived += kill.outcome is Outcome.SURVIVED


@dataclass(slots=True)
class Bucket:
    """The kills from ``from_unix_s`` on, for as long as a bucket is."""

    from_unix_s: float
    outcomes: Outcomes = field(default_factory=Outcomes)


def bucket_s(from_unix_s: float, to_unix_s: float) -> int:
    """How long a bucket is: round, and so that at most MOST_BUCKETS cover the time."""
    least_s = (to_unix_s - from_unix_s) / (MOST_BUCKETS - 1)
    return next((step for step in STEPS_S if step >= least_s), WEEK_S * max(1, ceil(least_s / WEEK_S)))


def over_time(kills: Iterable[Kill], from_unix_s: float, to_unix_s: float) -> list[Bucket]:
    """Buckets begin at multiples of their length, in UTC; those without a kill are there too. Every kill is in one."""
    step = bucket_s(from_unix_s, to_unix_s)
    first = int(from_unix_s // step)
    buckets = [Bucket(float(number * step)) for number in range(first, int(to_unix_s // step) + 1)]
    for kill in kills:
        at = int(kill.at_unix_s // step) - first
        buckets[min(max(at, 0), len(buckets) - 1)].outcomes.add(kill)
    return buckets


# ---------------------------------------------------------------------------------------------------------------- memory


@dataclass(slots=True)
class Filling:
    """What filled the limits, on average over ``kills``: shares by kind, which add up to 1. Each kill counts the same."""

    kills: int = 0
    without: int = 0  # kills at a limit of which the memory by kind is not known
    sums: dict[str, float] = field(default_factory=lambda: dict.fromkeys(KINDS, 0.0))

    def add(self, kill: Kill) -> None:
        """A kill because the node was out of memory filled no limit."""
        if kill.scope not in (*OWN_LIMITS, None):
            return
        sizes = kinds_of(kill)
        total = sum(sizes.values())
        if not total:
            self.without += kill.limit_bytes is not None
            return
        self.kills += 1
        for kind, size in sizes.items():
            self.sums[kind] += size / total

    @property
    def shares(self) -> dict[str, float]:
        """In the order of KINDS; only those of at least half a percent."""
        found = {kind: self.sums[kind] / self.kills for kind in KINDS if self.kills}
        return {kind: share for kind, share in found.items() if share >= 0.005}

    @property
    def largest(self) -> str | None:
        return max(self.shares, key=self.shares.__getitem__, default=None)


def kinds_of(kill: Kill) -> dict[str, int]:
    """In bytes, of KINDS; they don't overlap. Nothing: not known. Swapped-out memory does not count against a memory limit.

    A limit is full when the kernel kills. What was read right after lacks what the kill freed, which was memory of processes; what a report
    does not name is OTHER.
    """
    use = kill.use or MemoryUse()
    sizes = dict(zip(KINDS, (use.anon, use.file, use.shmem, use.kernel, use.sock), strict=False))
    found = {kind: size for kind, size in sizes.items() if size}
    rest = (kill.limit_bytes or kill.usage_bytes or 0) - sum(found.values())
    if found and rest > 0:
        kind = OTHER if use.by_report else Filled.PROCESSES.value
        found[kind] = found.get(kind, 0) + rest
    return found


def filled_by(kill: Kill) -> str | None:
    """As the agent says, else the largest kind; None: not known."""
    sizes = kinds_of(kill)
    largest = max(sizes, key=sizes.__getitem__, default=None)
    return kill.filled_by or (largest if largest != OTHER else None)


# ------------------------------------------------------------------------------------------------------------- workloads


@dataclass(slots=True)
class Victims:
    """The kills of one workload's container, in all of its pods. ``names``: processes by name, and how often each was killed."""

    place: Place
    last_unix_s: float = 0.0
    limit_bytes: int | None = None  # at the last kill
    outcomes: Outcomes = field(default_factory=Outcomes)
    filling: Filling = field(default_factory=Filling)
    names: Counter[str] = field(default_factory=Counter)
    pods: set[str] = field(default_factory=set)

    def add(self, kill: Kill) -> None:
        self.outcomes.add(kill)
        self.filling.add(kill)
        if kill.process is not None:
            self.names[kill.process] += 1
        if kill.place.pod is not None:
            self.pods.add(kill.place.pod)
        if kill.at_unix_s >= self.last_unix_s:
            self.last_unix_s = kill.at_unix_s
            self.limit_bytes = kill.limit_bytes if kill.scope in (*OWN_LIMITS, None) else None


def by_workload(kills: Iterable[Kill]) -> list[Victims]:
    """The most kills first."""
    found: dict[tuple[str | None, ...], Victims] = {}
    for kill in kills:
        place = kill.place
        key = (place.namespace, place.kind, place.workload or place.pod or place.cgroup, place.container)
        if key not in found:
            found[key] = Victims(place)
        found[key].add(kill)
    return sorted(found.values(), key=lambda one: (-one.outcomes.kills, -one.last_unix_s))


def outcomes_of(kills: Iterable[Kill]) -> Outcomes:
    total = Outcomes()
    for kill in kills:
        total.add(kill)
    return total


def filling_of(kills: Iterable[Kill]) -> Filling:
    total = Filling()
    for kill in kills:
        total.add(kill)
    return total
