"""The table of the agent's metrics, one attribute each, and the page. See docs/reference/metrics.md.

The series of containers begin at zero, continue over restarts, end after their pod, and are bounded in number. The loop's thread
alone counts; any thread may ask for the page. No label is a PID, a process name or anything else without bounds.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from math import nan
from typing import Any, Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics import MetricWrapperBase

from agent.model import Mode, OomKill, Outcome, Scope, WriteOutcome

KEEP_S = 300.0  # series of a container outlive its pod by that long
MOST_CONTAINERS = 5000  # with series at once; beyond, those that ended first are dropped
LATENCY_BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 10.0)
CONTAINER = ("namespace", "pod", "container")
UNKNOWN = "unknown"
EVENT_OUTCOMES = ("created", "exists", "patched", "dropped_gone", "dropped_invalid", "dropped_expired")
WATCH_REASONS = ("timeout", "relist", "gone", "refused", "unreachable", "error", "short")  # model.WatchTrouble
KILLED_WHY = ("tolerance", "group", "failed")
CREATED_SWITCH = "PROMETHEUS_DISABLE_CREATED_SERIES"  # the library's own, which has them on where it is not set
Key = tuple[str, str, str]  # namespace, pod, container
M = TypeVar("M", bound=MetricWrapperBase)

if CREATED_SWITCH not in os.environ:
    disable_created_metrics()  # type: ignore[no-untyped-call]


class Metric(Generic[M]):
    """A row of the table: an instance of Metrics gets the metric ``oomward_<attribute>`` as its attribute.

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


class Metrics:
    """Callers count on the attributes; for series of containers there are methods."""

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

    unattributed_oom_kills = Metric(
        Counter, "OOM kills in pods that could not be attributed to a container, one per process."
    )
    host_oom_kills = Metric(Counter, "OOM kills outside of pods, one per process.")
    oom_kills_without_details = Metric(Counter, "OOM kills for which the kernel's log does not name all processes.")
    oom_group_writes = Metric(
        Counter, "Attempts to enforce memory.oom.group, by outcome.", "outcome", values=WriteOutcome
    )
    oom_group_write_duration_seconds = Metric(
        Histogram,
        "Time from the notification of another process's write to memory.oom.group until the agent has written.",
        buckets=LATENCY_BUCKETS_S,
    )
    drift_corrections = Metric(
        Counter, "Values of memory.oom.group that another process had changed and that were corrected."
    )
    resyncs = Metric(Counter, "Full resyncs of all cgroups.")
    resync_corrections = Metric(Counter, "Differences that only a full resync found. Should stay 0.")
    write_conflicts = Metric(
        Counter, "Conflicts: another process keeps rewriting memory.oom.group, so corrections slow down."
    )
    ancestor_conflicts = Metric(Gauge, "Containers in mode single below a cgroup with memory.oom.group 1.")
    modes_invalid = Metric(Counter, "Labels and annotations with an invalid value.")
    modes_failed = Metric(Counter, "Modes found not to be in force.")
    tolerance_exceeded = Metric(Counter, "Containers that exceeded their tolerance of OOM kills.")
    containers_killed = Metric(
        Counter,
        "Containers that the agent killed, by reason (failed: the attempt failed).",
        "reason",
        values=KILLED_WHY,
    )
    pod_failure = Metric(Gauge, "1 while the pod fails, by category of the diagnosis.", "namespace", "pod", "category")
    kmsg_readable = Metric(Gauge, "1: the kernel's log is read. 0: it is not readable, so kills have no process names.")
    kmsg_lost_records = Metric(Counter, "Records of the kernel's log that were overwritten before they were read.")
    kmsg_foreign_records = Metric(Counter, "Records of the log that the kernel did not write; ignored.")
    inotify_overflows = Metric(Counter, "Times that inotify notifications were lost or a watch was not available.")
    pod_watch_restarts = Metric(Counter, "Restarts of the pod watch, by reason.", "reason", values=WATCH_REASONS)
    pods_skipped = Metric(Counter, "Pod objects from the API that could not be parsed.")
    events = Metric(Counter, "Events, by outcome of the delivery.", "outcome", values=EVENT_OUTCOMES)
    events_pending = Metric(Gauge, "Events and new counts that are not posted yet.")
    cgroup_errors = Metric(Counter, "Errors from reading control files of existing cgroups.")
    unmatched_reports = Metric(Counter, "OOM reports in the kernel's log that no counter matched.")
    config_reload_failures = Metric(Counter, "Rejected configuration changes; the previous rules stay in force.")
    ledger_persistent = Metric(Gauge, "1: the ledger is on disk. 0: in memory only.")
    realtime_priority_active = Metric(
        Gauge, "1: the agent has real-time priority over the node's workloads. 0: it may be late on busy CPUs."
    )
    realtime_priority_suspensions = Metric(
        Counter, "Times that real-time priority was suspended because the agent used more than half of a CPU."
    )
    inotify_watches = Metric(Gauge, "Inotify watches in use; NaN if unknown.")
    cgroups = Metric(Gauge, "Watched cgroups, by kind.", "kind")
    heartbeat_timestamp_seconds = Metric(Gauge, "Unix time of a thread's last heartbeat.", "thread")
    build_info = Metric(Gauge, "Version of the agent.", "version")

    def __init__(self, version: str, *, process_metrics: bool = True) -> None:
        self.registry = CollectorRegistry()
        if process_metrics:
            ProcessCollector(registry=self.registry)
        for name, metric in vars(type(self)).items():
            if isinstance(metric, Metric):
                vars(self)[name] = metric.create(name, self.registry)
        self.build_info.labels(version).set(1)
        self.inotify_watches.set(nan)
        self._ended: dict[Key, float] = {}
        self._series: dict[
            Key, set[tuple[MetricWrapperBase, tuple[str, ...]]]
        ] = {}  # each with its labels beyond the key
        self._living: set[tuple[str, str]] = set()  # namespace, pod
        self._failures: dict[str, set[tuple[str, str, str]]] = {}

    def page(self, accept: str = "") -> tuple[str, bytes]:
        """Content type and body, in the format that the Accept header asks for."""
        encode, content_type = choose_encoder(accept)
        return content_type, encode(self.registry)

    def _of(self, key: Key, metric: M, *labels: str) -> M:
        self._series.setdefault(key, set()).add((metric, labels))
        return metric.labels(*key, *labels)

    def seed(self, totals: Mapping[tuple[str, str, str, str, str], int], now_s: float) -> None:
        """The ledger's totals from before this start; the series end if their containers don't show up."""
        for (namespace, pod, container, mode, scope), processes in totals.items():
            self._of((namespace, pod, container), self.oom_kills, mode, scope).inc(processes)
            self._ended[namespace, pod, container] = now_s

    def kill(self, kill: OomKill) -> None:
        """A kill in a pod: counts its processes."""
        self._of(_key(kill), self.oom_kills, kill.mode or UNKNOWN, kill.scope or UNKNOWN).inc(kill.processes)
        if kill.details_missing:
            self.oom_kills_without_details.inc()

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

    def pod_failures(self, uid: str, failures: set[tuple[str, str, str]]) -> None:
        """All current failures of a pod, by namespace, name and category; they replace those of the same uid."""
        before = self._failures.pop(uid, set())
        if failures:
            self._failures[uid] = failures
        others = set().union(*self._failures.values()) if before - failures else set()
        for labels in before - failures - others:
            self.pod_failure.remove(*labels)
        for labels in failures:
            self.pod_failure.labels(*labels).set(1)


def _key(kill: OomKill) -> Key:
    return kill.namespace or "", kill.pod or "", kill.container or ""
