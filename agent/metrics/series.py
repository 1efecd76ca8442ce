"""The series of containers: they begin at zero, go on over restarts, end after their pod, and are bounded in number.

Takes what runs, what was counted and what is gone; owns the registry and the metrics that carry a container's name. The loop's
thread alone calls it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics

from agent.model import Mode, OomKill, Outcome, Scope

KEEP_S = 300.0  # series of a container outlive its pod by that long
MOST_CONTAINERS = 5000  # of series kept at once; beyond, the oldest that ended go first
UNKNOWN = "unknown"
Key = tuple[str, str, str]  # namespace, pod, container
CREATED_SWITCH = "PROMETHEUS_DISABLE_CREATED_SERIES"  # the library's own, which has them on where it is not set

if CREATED_SWITCH not in os.environ:
    disable_created_metrics()  # type: ignore[no-untyped-call]


class ContainerSeries:
    """The part of Metrics whose series come and go. See docs/reference/metrics.md."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._ended: dict[Key, float] = {}
        self._series: dict[Key, set[tuple[str, str]]] = {}
        self._living: set[tuple[str, str]] = set()  # namespace, pod
        container = ("namespace", "pod", "container")
        self._kills = self._counter(
            "oom_kills",
            "OOM kills counted by the kernel, one per process, by the scope of the limit that was hit.",
            (*container, "mode", "scope"),
        )
        self._outcomes = self._counter(
            "oom_kill_outcomes", "OOM kills, one per kill, by what happened to the container.", (*container, "outcome")
        )
        self._group = self._gauge("container_oom_group", "memory.oom.group of a container: 0 or 1.", container)
        self._wanted = self._gauge(
            "container_oom_group_desired", "Desired memory.oom.group of a container: 0 or 1.", container
        )
        self._evictions = self._counter(
            "series_evictions", "Containers with series removed early because there were too many."
        )

    def _counter(self, name: str, text: str, labels: Iterable[str] = ()) -> Counter:
        return Counter(f"oomward_{name}", text, tuple(labels), registry=self.registry)

    def _gauge(self, name: str, text: str, labels: Iterable[str] = ()) -> Gauge:
        return Gauge(f"oomward_{name}", text, tuple(labels), registry=self.registry)

    def _count(self, key: Key, mode: str, scope: str, processes: int) -> None:
        self._series.setdefault(key, set()).add((mode, scope))
        self._kills.labels(*key, mode, scope).inc(processes)

    def outcome(self, kill: OomKill) -> None:
        """What became of the container of a kill in a pod, once that is settled."""
        key = (kill.namespace or "", kill.pod or "", kill.container or "")
        self._series.setdefault(key, set())
        self._outcomes.labels(*key, kill.outcome.value if kill.outcome else UNKNOWN).inc()

    def seed(self, totals: Mapping[tuple[str, str, str, str, str], int], now_s: float) -> None:
        """What the ledger counted before this start; the series end if their containers don't show up."""
        for (namespace, pod, container, mode, scope), processes in totals.items():
            self._count((namespace, pod, container), mode, scope, processes)
            self._ended[(namespace, pod, container)] = now_s

    def container_running(self, namespace: str, pod: str, container: str, mode: Mode | None) -> None:
        """The container's series begin at 0: increase() does not see a series born at 1.

        There is one for each scope with the ``mode`` in force (None: not known), since any limit may be hit next, and one for kills of
        which it is not known; but none with another mode: call again when the mode changes.
        """
        key = (namespace, pod, container)
        self._living.add((namespace, pod))
        self._ended.pop(key, None)
        for outcome in Outcome:
            self._outcomes.labels(*key, outcome.value)
        for scope in (*(scope.value for scope in Scope), UNKNOWN):
            pair = (mode.value if mode else UNKNOWN, scope)
            self._series.setdefault(key, set()).add(pair)
            self._kills.labels(*key, *pair)

    def oom_group(self, namespace: str, pod: str, container: str, actual: int, wanted: int | None) -> None:
        """The knob as it is, and as it should be (None: nobody asked)."""
        key = (namespace, pod, container)
        self._series.setdefault(key, set())
        self._group.labels(*key).set(actual)
        if wanted is None:
            self._forget(self._wanted, key)
        else:
            self._wanted.labels(*key).set(wanted)

    def container_gone(self, namespace: str, pod: str, container: str, now_s: float) -> None:
        """The pod is gone: its series follow KEEP_S later, unless it comes back. ``now_s`` is monotonic."""
        self._living.discard((namespace, pod))
        for key in ((namespace, pod, container), (namespace, pod, "")):  # "": its kills that no container was named for
            if key in self._series:
                self._ended.setdefault(key, now_s)

    def drop_stale(self, now_s: float, between: Callable[[], None] = lambda: None) -> list[Key]:
        """Drop the series whose time has come, and the oldest ended ones beyond MOST_CONTAINERS; returns whose they were.

        A series whose pod is not known to live counts as ended from here on: of a kill that was told after its pod left, say.
        ``between`` is called before each that is dropped, and may bring some back.
        """
        for key in self._series:
            if key[:2] in self._living:
                self._ended.pop(key, None)
            else:
                self._ended.setdefault(key, now_s)
        over = len(self._series) - MOST_CONTAINERS
        by_age = sorted(self._ended, key=lambda key: self._ended[key])
        stale = [key for i, key in enumerate(by_age) if i < over or now_s - self._ended[key] > KEEP_S]
        dropped = []
        for key in stale:
            between()
            ended_s = self._ended.get(key)
            if ended_s is None:
                continue
            self._drop(key)
            dropped.append(key)
            if now_s - ended_s <= KEEP_S:
                self._evictions.inc()
        return dropped

    def _drop(self, key: Key) -> None:
        del self._ended[key]
        for pair in self._series.pop(key, set()):
            self._forget(self._kills, (*key, *pair))
        self._forget(self._group, key)
        self._forget(self._wanted, key)
        for outcome in (*(outcome.value for outcome in Outcome), UNKNOWN):
            self._forget(self._outcomes, (*key, outcome))

    @staticmethod
    def _forget(metric: Counter | Gauge, labels: tuple[str, ...]) -> None:
        try:
            metric.remove(*labels)
        except KeyError:
            return  # there was no such series: older versions of the library raise
