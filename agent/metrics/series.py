"""Which containers have series, until when, and how many: series end after their pod, and are bounded in number."""

from __future__ import annotations

import logging
from collections import Counter as Tally
from collections.abc import Callable
from typing import TypeVar

from prometheus_client import Counter
from prometheus_client.metrics import MetricWrapperBase

from agent.wording.logs import log
from agent.wording.shares import beyond
from agent.wording.text import safe

logger = logging.getLogger("oomward")

KEEP_S = 300.0  # series of a container outlive its pod by that long
MOST_CONTAINERS = 2000  # with series at once, some 3 MB of page; beyond, those that ended first are dropped
MOST_OF_A_POD = 100  # containers with series of their own; the kills of the others count for the pod
Key = tuple[str, str, str]  # namespace, pod, container
NOBODYS: Key = ("", "", "")  # counts the kills in containers without room for series; never ends
Series = tuple[MetricWrapperBase, tuple[str, ...]]  # a metric, and the labels beyond the key
M = TypeVar("M", bound=MetricWrapperBase)


class ContainerSeries:
    """``evictions`` counts containers with series removed early because there were too many."""

    def __init__(self, evictions: Counter) -> None:
        self._evictions = evictions
        self._ended: dict[Key, float] = {}
        self._series: dict[Key, set[Series]] = {}
        self._of_pod: Tally[tuple[str, str]] = Tally()  # how many, by namespace and pod
        self._of_namespace: Tally[str] = Tally()
        self._evicted: list[Key] = []  # since the last drop_stale()
        self._without: dict[tuple[str, str], set[Key]] = {}  # containers that are counted for their pod
        self._is_full = False
        self._living: set[tuple[str, str]] = set()  # namespace, pod

    def of(self, key: Key, kind: M, *labels: str) -> M:
        """The series of this container; beyond a bound, that of its pod, or of no pod."""
        key = self.counted_as(key)
        if key not in self._series:
            self._series[key] = set()
            self._of_pod[key[:2]] += 1
            self._of_namespace[key[0]] += 1
        self._series[key].add((kind, labels))
        return kind.labels(*key, *labels)

    def has_any(self, key: Key) -> bool:
        """Whether this container itself has series. Any thread may ask."""
        return key in self._series

    def has(self, key: Key, kind: MetricWrapperBase, *labels: str) -> bool:
        """Whether this container itself has this series."""
        return (kind, labels) in self._series.get(key, ())

    def remove(self, key: Key, kind: MetricWrapperBase, *labels: str) -> None:
        """Remove one series of this container itself, if there is one."""
        if self.has(key, kind, *labels):
            self._series[key].remove((kind, labels))
            kind.remove(*key, *labels)

    def counted_as(self, key: Key) -> Key:
        """This container, or, beyond a bound, its pod, or no pod: a pod of very many containers must not fill memory and page."""
        namespace, pod, container = key
        if key in self._series or not pod:
            return key
        if container and self._of_pod[namespace, pod] >= MOST_OF_A_POD:
            self._count_for_pod(key)
            return self.counted_as((namespace, pod, ""))
        if self._has_room() or (self._evict_for(namespace) and self._has_room()):
            return key
        return NOBODYS

    def _has_room(self) -> bool:
        return self._number_living() < MOST_CONTAINERS and len(self._series) < 2 * MOST_CONTAINERS

    def _number_living(self) -> int:
        return len(self._series) - len(self._ended) - (NOBODYS in self._series)

    def _evict_for(self, namespace: str) -> bool:
        """The namespace with the most series gives one to a namespace with fewer: of its pod with the most, the newest."""
        largest = max(self._of_namespace, key=self._of_namespace.__getitem__)
        if not self._is_full:
            self._is_full = True
            others = f"others of the namespaces with the most, such as {safe(largest)}"
            text = f"{MOST_CONTAINERS} containers have series: kills in {others}, are counted without namespace, pod and container"
            log(logger, logging.WARNING, text)
        if self._of_namespace[largest] <= self._of_namespace[namespace] + 1:
            return False
        ended_ones = self._number_living() < MOST_CONTAINERS
        theirs = [key for key in self._series if key[0] == largest and key[1] and (key in self._ended) is ended_ones]
        if not theirs:
            return False
        most = max(self._of_pod[key[:2]] for key in theirs)
        newest = next(key for key in reversed(theirs) if self._of_pod[key[:2]] == most)
        self._evicted += self._drop(newest)
        self._evictions.inc()
        return True

    def _drop(self, key: Key) -> list[Key]:
        """A container's series; returns its key, and those of the containers that were counted for the pod if nothing is left of that."""
        self._ended.pop(key, None)
        for kind, labels in self._series.pop(key, ()):
            kind.remove(*key, *labels)
        self._of_namespace[key[0]] -= 1
        if not self._of_namespace[key[0]]:
            del self._of_namespace[key[0]]
        self._of_pod[key[:2]] -= 1
        if self._of_pod[key[:2]]:
            return [key]
        del self._of_pod[key[:2]]
        return [key, *self._without.pop(key[:2], ())]

    def _count_for_pod(self, key: Key) -> None:
        without = self._without.get(key[:2])
        if without is None:
            without = self._without[key[:2]] = set()
            text = f"{MOST_OF_A_POD} containers of pod {key[0]}/{key[1]} have series: kills in the others are counted for the pod"
            log(logger, logging.WARNING, f"{text}, with an empty name of the container")
        if len(without) < MOST_CONTAINERS:
            without.add(key)

    def is_alive(self, namespace: str, pod: str) -> bool:
        """Whether this pod, which has series, is not gone."""
        return (namespace, pod) in self._living

    def running(self, key: Key) -> None:
        """The container has a cgroup, or may have one: its series do not end."""
        self._living.add(key[:2])
        self._ended.pop(key, None)

    def seeded(self, key: Key, now_s: float) -> None:
        """Nobody knows whether this container still exists: its series end KEEP_S from ``now_s`` (monotonic) if it doesn't show up."""
        if key in self._series:
            self._ended[key] = now_s

    def gone(self, key: Key, now_s: float) -> None:
        """The pod is gone: its series end KEEP_S after ``now_s`` (monotonic), unless it comes back."""
        self._living.discard(key[:2])
        for one in (key, (*key[:2], "")):  # "": kills without a container's name
            if one in self._series:
                self._ended.setdefault(one, now_s)

    def drop_stale(self, now_s: float, between: Callable[[], None] = lambda: None) -> list[Key]:
        """Drop series that ended KEEP_S ago and, beyond MOST_CONTAINERS, those of the namespace and pod with the most that ended first.

        Returns the keys of all that were dropped since the last call.

        A series whose pod is not known to live counts as ended from here on, such as that of a kill recorded after its pod's end.
        ``between`` is called before each that is dropped, and may bring some back.
        """
        for key in self._series:
            if key[:2] in self._living:
                self._ended.pop(key, None)
            elif key != NOBODYS:
                self._ended.setdefault(key, now_s)
        by_age = dict(sorted(self._ended.items(), key=lambda one: one[1]))
        due = [key for key, ended_s in by_age.items() if now_s - ended_s > KEEP_S]
        early = {key: by_age[key] for key in list(by_age)[len(due) :]}
        over = max(0, self._number_living() + len(early) - MOST_CONTAINERS)
        dropped, self._evicted = self._evicted, []
        for key in (*due, *beyond(early, max(0, len(early) - over), lambda key, _: key[:2], spare=0)):
            between()
            ended_s = self._ended.get(key)
            if ended_s is None:
                continue
            dropped += self._drop(key)
            if now_s - ended_s <= KEEP_S:
                self._evictions.inc()
        self._is_full = self._is_full and len(self._series) >= MOST_CONTAINERS
        return dropped
