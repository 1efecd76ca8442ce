"""The series of containers: they begin at zero, continue over restarts, end after their pod, and are bounded in number."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics
from prometheus_client.metrics import MetricWrapperBase

from agent.model import Mode, OomKill, Outcome, Scope

KEEP_S = 300.0  # series of a container outlive its pod by that long
MOST_CONTAINERS = 5000  # with series at once; beyond, those that ended first are dropped
UNKNOWN = "unknown"
Key = tuple[str, str, str]  # namespace, pod, container
CONTAINER = ("namespace", "pod", "container")
M = TypeVar("M", bound=MetricWrapperBase)
CREATED_SWITCH = "PROMETHEUS_DISABLE_CREATED_SERIES"  # the library's own, which has them on where it is not set

if CREATED_SWITCH not in os.environ:
    disable_created_metrics()  # type: ignore[no-untyped-call]


class Metric(Generic[M]):
    """A row of the table that a class of metrics is: an instance gets the metric as its attribute, named ``oomward_<attribute>``.

    The ``values`` of the only label have their zeros from the start.
    """

    def __init__(self, kind: type[M], text: str, *labels: str, values: Iterable[str] = (), **more: Any) -> None:
        self._kind, self._text, self._labels, self._values, self._more = kind, text, labels, values, more

    def __get__(self, instance: object, owner: type) -> M:
        """Never called, since the instance has the attribute itself: for the type checker."""
        raise AttributeError

    def create(self, name: str, registry: CollectorRegistry) -> M:
        metric = self._kind(f"oomward_{name}", self._text, self._labels, registry=registry, **self._more)
        for value in self._values:
            metric.labels(value)
        return metric


class ContainerSeries:
    """The part of Metrics with labels of containers. The loop's thread alone calls it."""

    oom_kills = Metric(
        Counter,
        "OOM kills counted by the kernel, one per process, by the scope of the limit that was hit.",
        *CONTAINER,
        "mode",
        "scope",
    )
    oom_kill_outcomes = Metric(
        Counter, "OOM kills, one per kill, by what happened to the container.", *CONTAINER, "outcome"
    )
    container_oom_group = Metric(Gauge, "memory.oom.group of a container: 0 or 1.", *CONTAINER)
    container_oom_group_desired = Metric(Gauge, "Desired memory.oom.group of a container: 0 or 1.", *CONTAINER)
    series_evictions = Metric(Counter, "Containers with series removed early because there were too many.")

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        for cls in reversed(type(self).__mro__):
            for name, metric in vars(cls).items():
                if isinstance(metric, Metric):
                    vars(self)[name] = metric.create(name, self.registry)
        self._ended: dict[Key, float] = {}
        self._series: dict[
            Key, set[tuple[MetricWrapperBase, tuple[str, ...]]]
        ] = {}  # each with its labels beyond the key
        self._living: set[tuple[str, str]] = set()  # namespace, pod

    def _of(self, key: Key, metric: M, *labels: str) -> M:
        """The container's series of a metric."""
        self._series.setdefault(key, set()).add((metric, labels))
        return metric.labels(*key, *labels)

    def seed(self, totals: Mapping[tuple[str, str, str, str, str], int], now_s: float) -> None:
        """The ledger's totals from before this start; the series end if their containers don't show up."""
        for (namespace, pod, container, mode, scope), processes in totals.items():
            self._of((namespace, pod, container), self.oom_kills, mode, scope).inc(processes)
            self._ended[namespace, pod, container] = now_s

    def count(self, kill: OomKill) -> None:
        """The processes of a kill in a pod."""
        self._of(_key(kill), self.oom_kills, kill.mode or UNKNOWN, kill.scope or UNKNOWN).inc(kill.processes)

    def outcome(self, kill: OomKill) -> None:
        """A kill in a pod whose outcome is known, or will never be."""
        self._of(_key(kill), self.oom_kill_outcomes, kill.outcome or UNKNOWN).inc()

    def container_running(self, namespace: str, pod: str, container: str, mode: Mode | None) -> None:
        """The container's series begin at 0: increase() does not see a series that begins at 1.

        One series for each scope with the ``mode`` in force (None: not known), and none with another mode: call again when it changes.
        """
        key = (namespace, pod, container)
        self._living.add((namespace, pod))
        self._ended.pop(key, None)
        for outcome in Outcome:
            self._of(key, self.oom_kill_outcomes, outcome)
        for scope in (*Scope, UNKNOWN):
            self._of(key, self.oom_kills, mode or UNKNOWN, scope)

    def oom_group(self, namespace: str, pod: str, container: str, actual: int, desired: int | None) -> None:
        """The value of memory.oom.group, and the desired one (None: no mode is desired)."""
        key = (namespace, pod, container)
        self._of(key, self.container_oom_group).set(actual)
        if desired is not None:
            self._of(key, self.container_oom_group_desired).set(desired)
        elif (self.container_oom_group_desired, ()) in self._series[key]:
            self._series[key].remove((self.container_oom_group_desired, ()))
            self.container_oom_group_desired.remove(*key)

    def container_gone(self, namespace: str, pod: str, container: str, now_s: float) -> None:
        """The pod is gone: its series end KEEP_S later, unless it comes back. ``now_s`` is monotonic."""
        self._living.discard((namespace, pod))
        for key in ((namespace, pod, container), (namespace, pod, "")):  # "": kills without a container's name
            if key in self._series:
                self._ended.setdefault(key, now_s)

    def drop_stale(self, now_s: float, between: Callable[[], None] = lambda: None) -> list[Key]:
        """Drop series that ended KEEP_S ago, and those that ended first beyond MOST_CONTAINERS; returns their keys.

        A series whose pod is not known to live counts as ended from here on, such as that of a kill recorded after its pod's end.
        ``between`` is called before each that is dropped, and may bring some back.
        """
        for key in self._series:
            if key[:2] in self._living:
                self._ended.pop(key, None)
            else:
                self._ended.setdefault(key, now_s)
        over = len(self._series) - MOST_CONTAINERS
        by_age = sorted(self._ended, key=lambda key: self._ended[key])
        dropped = []
        for key in [key for i, key in enumerate(by_age) if i < over or now_s - self._ended[key] > KEEP_S]:
            between()
            ended_s = self._ended.pop(key, None)
            if ended_s is None:
                continue
            for metric, labels in self._series.pop(key, ()):
                metric.remove(*key, *labels)
            dropped.append(key)
            if now_s - ended_s <= KEEP_S:
                self.series_evictions.inc()
        return dropped


def _key(kill: OomKill) -> Key:
    return kill.namespace or "", kill.pod or "", kill.container or ""
