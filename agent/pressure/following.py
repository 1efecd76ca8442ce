"""Follows the containers that reach their memory limit, from the first time until they have been calm for minutes. No polling: a reading
is made when the limit is reached or PSI signals a stall, at most once in CHECK_S, and again only while that goes on.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import inf

from agent.cgroup.psi import Psi
from agent.cgroup.tree import Tree
from agent.model import AtLimit, Cgroup, CgroupKind, Identity, Pod, PressureRequest, levels_above, parent_of
from agent.pods.lookup import Lookup
from agent.pods.registry import Registry
from agent.pressure.policy import Judge, Sample
from agent.pressure.readings import Readings
from agent.pressure.report import Episode, Report
from agent.pressure.stalls import Stalls
from agent.wording.shares import Owner, Shares

CHECK_S = 1.0  # between two readings of a container …
SELDOM_S = 2.0  # … much of whose memory can be freed
MOSTLY_FREE = 0.75
AT_LIMIT = 0.99  # of the limit is in use: it is reached
FIRST_S = (0.05, 0.1, 0.2, 0.5)  # the first ones, after it was calm: how fast does it grow?
SOONEST_S = 0.1  # where it grows fast
BASELINE_S = 10.0  # an older reading says nothing about now
FORGET_S = 300.0  # after that long without reaching its limit
MOST_FOLLOWED = 500
MOST_TRIGGERS = 200
MOST_CHECKS = 20  # per turn of the loop


@dataclass(eq=False)
class Followed:
    """``shared``: not its own limit is reached, but its pod's, which others share. ``last``: the reading at ``last_s``."""

    container: Cgroup
    shared: bool
    reached_s: float
    judge: Judge = field(default_factory=Judge)
    pod: Cgroup | None = None  # whose hits ``last`` counts, too
    last: AtLimit | None = None
    last_s: float = -inf
    next_s: float = inf  # when to read again
    episode: Episode | None = None
    readings: int = 0  # since it was calm

    def wait_s(self) -> float:
        """Until the next reading."""
        if self.readings <= len(FIRST_S):
            return FIRST_S[max(0, self.readings - 1)]
        seldom = self.last is not None and self.last.fixed < MOSTLY_FREE and self.episode is None
        soon_s = self.judge.nearly_full_s() if self.episode is None else inf
        return min(SELDOM_S if seldom else CHECK_S, max(SOONEST_S, soon_s))


@dataclass(eq=False)
class Pressure:
    """``request_of`` is what a pod asks for a container by name. ``events``: the setting pressureEvents. ``psi``: None without PSI."""

    tree: Tree
    facts: Lookup
    registry: Registry
    readings: Readings
    psi: Psi | None
    request_of: Callable[[Pod, str], PressureRequest]
    events: str
    report: Report
    stalls: Stalls
    _followed: dict[int, Followed] = field(default_factory=dict, init=False)  # by the container's inode, oldest first
    _shares: Shares[int, Followed] = field(init=False)
    _due: list[tuple[float, int]] = field(default_factory=list, init=False)  # a heap; entries may be outdated
    # When a pod's signal counts again, by its inode.
    _pods_s: dict[int, float] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._shares = Shares("containers at their memory limit are followed", self._owner)

    def _owner(self, _: int, one: Followed) -> Owner:
        names = self.facts.names_at(one.container.path)
        return names.namespace or "", names.pod_uid or one.container.place.pod_key or ""

    # ----------------------------------------------------------------------------------------------------- signals

    def reached(self, cgroup: Cgroup, now_s: float) -> None:
        """This cgroup's own limit was reached; a listener of Reached."""
        if cgroup.place.kind is CgroupKind.CONTAINER:
            self._touch(cgroup, now_s, shared=False)
        elif cgroup.place.kind is CgroupKind.POD and now_s >= self._pods_s.get(cgroup.inode, -inf):
            self._pods_s[cgroup.inode] = now_s + CHECK_S
            for container, shared in self._of_pod(cgroup):
                self._touch(container, now_s, shared=shared)

    def _of_pod(self, pod: Cgroup) -> Iterator[tuple[Cgroup, bool]]:
        """A pod's limit was reached: it is its only container's where both are the same, else it concerns the largest of them."""
        named = [
            c for c in self.tree.containers(pod.place.pod_key) if self.facts.names_at(c.path).container is not None
        ]
        if len(named) == 1 and self._pod_with_same_limit(named[0]) is not None:
            yield named[0], False
        elif named:
            yield max(named, key=self.readings.usage_bytes), True

    def _pod_with_same_limit(self, container: Cgroup) -> Cgroup | None:
        """As in kills/scope.py: to a user the pod's limit is its only container's."""
        pod = self.tree.cgroups.get(parent_of(container.path))
        if pod is None or pod.place.kind is not CgroupKind.POD or not self.facts.alone(container.path):
            return None
        limit = self.facts.limit_bytes(container.path)
        return pod if limit is not None and limit == self.facts.limit_bytes(pod.path) else None

    def signalled(self, ready: Mapping[int, int], now_s: float) -> None:
        """PSI's triggers among the descriptors that are ready: these containers stall."""
        for cgroup in self.psi.signalled(ready) if self.psi is not None else ():
            if (one := self._followed.get(cgroup.inode)) is not None:
                self._plan(one, now_s)

    def _touch(self, container: Cgroup, now_s: float, *, shared: bool) -> None:
        one = self._followed.get(container.inode)
        if one is None:
            if not self._wanted(container):
                return
            one = self._followed[container.inode] = Followed(container, shared, now_s)
            for other in self._shares.trim(self._followed, MOST_FOLLOWED):
                self._drop(other, now_s)
        one.reached_s = now_s
        if not shared or now_s - one.last_s > BASELINE_S:  # its own limit says more than its pod's
            one.shared = shared
        self._plan(one, now_s)

    def _wanted(self, container: Cgroup) -> bool:
        return self.events != "off" or self._request(self.facts.names_at(container.path)).stall is not None

    def _request(self, names: Identity) -> PressureRequest:
        pod = self.registry.pods.get(names.pod_uid or "")
        return PressureRequest() if pod is None or names.container is None else self.request_of(pod, names.container)

    def _plan(self, one: Followed, now_s: float) -> None:
        """Read it now, or, if that was done a moment ago, later."""
        self._at(one, max(now_s, one.last_s + one.wait_s()))

    def _at(self, one: Followed, at_s: float) -> None:
        if at_s < one.next_s:
            one.next_s = at_s
            heapq.heappush(self._due, (at_s, one.container.inode))

    # -------------------------------------------------------------------------------------------------------- time

    def due_s(self) -> float | None:
        """Monotonic time of the next reading; None: none is due."""
        while self._due:
            at_s, inode = self._due[0]
            one = self._followed.get(inode)
            if one is not None and one.next_s == at_s:
                return at_s
            heapq.heappop(self._due)
        return None

    def collect(self, now_s: float) -> None:
        """Read the containers that are due, MOST_CHECKS at most: the others in the next turn."""
        for _ in range(MOST_CHECKS):
            self.readings.between()
            due_s = self.due_s()
            if due_s is None or due_s > now_s:
                return
            _, inode = heapq.heappop(self._due)
            one = self._followed[inode]
            one.next_s = inf
            self._check(one, now_s)

    def _check(self, one: Followed, now_s: float) -> None:
        container = one.container
        limit_bytes = self.facts.limit_bytes(container.path)
        if limit_bytes is None and one.shared:
            limit_bytes = self.facts.limit_bytes(parent_of(container.path))
        if (pod := self._limiting_pod(one)) != one.pod:
            one.pod, one.last = pod, None  # other hits are counted than before
        reading = None if limit_bytes is None else self.readings.at_limit(container, limit_bytes, pod)
        if reading is None:
            self._forget(one, now_s)
            return
        if self.psi is not None and len(self.psi) < MOST_TRIGGERS:
            self.psi.watch(container)
        sample = _sample(one, reading, now_s, reached=self.readings.certain)
        one.readings = 1 if now_s - one.last_s > BASELINE_S else one.readings + 1
        one.last, one.last_s = reading, now_s
        one.judge.add(sample)
        names = self.facts.names_at(container.path)
        request = self._request(names)
        if one.judge.since_s is not None and one.episode is None:
            one.episode = Episode(container, one.judge.since_s, one.shared)
        if one.episode is not None:
            self.report.goes_on(one.episode, names, reading, sample, now_s, events=self._events(request))
            if self._followed.get(container.inode) is not one:
                return  # it was removed meanwhile
            if one.judge.since_s is None:
                self._end(one, now_s)
        if request.stall is not None and not one.shared:
            above = [at for at in self._levels_above(container) if at != pod]
            self.stalls.consider(one.judge, container, names, request.stall, reading, sample, above, now_s)
        else:
            self.stalls.pass_over(container, reading, sample, now_s)
        first = one.readings <= len(FIRST_S)
        if sample.reached or first or one.episode is not None or self.stalls.waits(container):
            self._at(one, now_s + one.wait_s())

    def _limiting_pod(self, one: Followed) -> Cgroup | None:
        if one.shared:
            return self.tree.cgroups.get(parent_of(one.container.path))
        return self._pod_with_same_limit(one.container)

    def _levels_above(self, container: Cgroup) -> list[Cgroup]:
        return [self.tree.cgroups[path] for path in levels_above(container.path) if path in self.tree.cgroups]

    def _events(self, request: PressureRequest) -> bool:
        if request.events is not None and self.events != "off":
            return request.events
        return self.events == "all"

    def _end(self, one: Followed, now_s: float) -> None:
        if one.episode is not None:
            self.report.ended(one.episode, now_s)
            one.episode = None

    # ----------------------------------------------------------------------------------------------------- the end

    def gone(self, cgroup: Cgroup, now_s: float) -> None:
        """The cgroup was removed."""
        self._pods_s.pop(cgroup.inode, None)
        if (one := self._followed.get(cgroup.inode)) is not None:
            self._forget(one, now_s)
        self.stalls.gone(cgroup, now_s)

    def _forget(self, one: Followed, now_s: float) -> None:
        self._followed.pop(one.container.inode, None)
        self._drop(one, now_s)

    def _drop(self, one: Followed, now_s: float) -> None:
        self._end(one, now_s)
        if self.psi is not None:
            self.psi.unwatch(one.container)

    def housekeeping(self, now_s: float) -> None:
        """Containers that have been calm for minutes are not followed any more."""
        for one in [one for one in self._followed.values() if now_s - one.reached_s > FORGET_S and one.episode is None]:
            self._forget(one, now_s)


def _sample(one: Followed, reading: AtLimit, now_s: float, *, reached: bool) -> Sample:
    """The reading against the one before, if that is not too old; else the limit is ``reached``, or it is by what is in use."""
    before, passed_s = one.last, now_s - one.last_s
    if before is None or passed_s > BASELINE_S:
        in_use = reading.usage_bytes >= AT_LIMIT * reading.limit_bytes
        return Sample(now_s, reading.fixed, reading.dirty, reached or in_use)
    stalled = None
    if reading.stalled_us is not None and before.stalled_us is not None and passed_s > 0:
        stalled = min(1.0, max(0, reading.stalled_us - before.stalled_us) / (passed_s * 1e6))
    reached, killed = reading.reached > before.reached, reading.kills > before.kills
    return Sample(now_s, reading.fixed, reading.dirty, reached, stalled, killed)
