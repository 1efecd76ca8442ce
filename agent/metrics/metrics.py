"""The table of the agent's metrics, one attribute each, and the page. See docs/reference/metrics.md.

The series of containers begin at zero, continue over restarts, end after their pod, and are bounded in number. The loop's thread
counts, and whoever suspends real-time priority (loop/realtime.py); any thread may ask for the page.
No label is a PID, a process name or anything else without bounds.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from math import nan
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar, cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics import MetricWrapperBase

from agent.metrics.failing import FailingPods
from agent.metrics.last_kill import LastKills, ScrapedGauge
from agent.metrics.series import ContainerSeries, Key
from agent.model import Mode, OnStall, OomKill, Outcome, Scope, WriteOutcome

LATENCY_BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 10.0)
CONTAINER = ("namespace", "pod", "container")
UNKNOWN = "unknown"
EVENT_OUTCOMES = ("created", "exists", "patched", "dropped_gone", "dropped_invalid", "dropped_expired")
WATCH_REASONS = ("timeout", "relist", "gone", "refused", "unreachable", "error", "short")  # model.WatchTrouble
NRI_MODES = (*Mode, "none")
KILLED_WHY = ("tolerance", "group", "failed", "stall")
STALL_ACTIONS = tuple(action for action in OnStall if action is not OnStall.OFF)
CREATED_SWITCH = "PROMETHEUS_DISABLE_CREATED_SERIES"  # the library's own, which has them on where it is not set
M = TypeVar("M", bound="MetricWrapperBase | ScrapedGauge")

if CREATED_SWITCH not in os.environ:
    disable_created_metrics()  # type: ignore[no-untyped-call]


class _Row(NamedTuple):
    kind: Callable[..., Any]
    text: str
    labels: tuple[str, ...]
    values: Iterable[str]
    more: dict[str, Any]


def metric(kind: type[M], text: str, *labels: str, values: Iterable[str] = (), **more: Any) -> M:
    """A row of the table, typed as what an instance of Metrics has in its place: the metric ``oomward_<attribute>``.

    The ``values`` of the only label have their zeros from the start.
    """
    return cast(M, _Row(kind, text, labels, values, more))


class Metrics:
    """Callers count on the attributes; for series of containers there are methods."""

    oom_kills = metric(
        Counter,
        "OOM kills counted by the kernel, one per process, by the scope of the limit that was hit.",
        *CONTAINER,
        "mode",
        "scope",
    )
    oom_kill_outcomes = metric(
        Counter, "OOM kills, one per kill, by what happened to the container.", *CONTAINER, "outcome"
    )
    container_oom_group = metric(Gauge, "memory.oom.group of a container: 0 or 1.", *CONTAINER)
    container_oom_group_desired = metric(Gauge, "Desired memory.oom.group of a container: 0 or 1.", *CONTAINER)
    last_oom_kill_timestamp_seconds = metric(ScrapedGauge, "Unix time of a container's last OOM kill.", *CONTAINER)
    last_oom_kill_memory_bytes = metric(
        ScrapedGauge,
        "Memory by kind at a container's last OOM kill, of the cgroup that was at its limit.",
        *CONTAINER,
        "kind",
    )
    series_evictions = metric(Counter, "Containers with series removed early because there were too many.")

    unattributed_oom_kills = metric(
        Counter, "OOM kills in pods that could not be attributed to a container, one per process."
    )
    host_oom_kills = metric(Counter, "OOM kills outside of pods, one per process.")
    oom_kills_without_details = metric(Counter, "OOM kills for which the kernel's log does not name all processes.")
    oom_group_writes = metric(
        Counter, "Attempts to enforce memory.oom.group, by outcome.", "outcome", values=WriteOutcome
    )
    oom_group_write_duration_seconds = metric(
        Histogram,
        "Time from the notification of another process's write to memory.oom.group until the agent has written.",
        buckets=LATENCY_BUCKETS_S,
    )
    drift_corrections = metric(
        Counter, "Values of memory.oom.group that another process had changed and that were corrected."
    )
    resyncs = metric(Counter, "Full resyncs of all cgroups.")
    resync_corrections = metric(Counter, "Differences that only a full resync found. Should stay 0.")
    write_conflicts = metric(
        Counter, "Conflicts: another process keeps rewriting memory.oom.group, so corrections slow down."
    )
    ancestor_conflicts = metric(Gauge, "Containers in mode single below a cgroup with memory.oom.group 1.")
    nri_connected = metric(
        Gauge, "1: the runtime asks the agent before it creates or updates a container (NRI). 0: it does not."
    )
    nri_disconnects = metric(Counter, "Times that the connection to the runtime's NRI ended.")
    nri_answers = metric(
        Counter,
        "Containers that the runtime asked about before it created or updated them, by the mode that the agent asked for.",
        "mode",
        values=NRI_MODES,
    )
    nri_answer_duration_seconds = metric(
        Histogram, "Time from a request of the runtime until the agent has answered.", buckets=LATENCY_BUCKETS_S
    )
    nri_failed_creations = metric(
        Counter, "Containers that the runtime gave up after the agent had asked for a mode, and created without it."
    )
    nri_unreadable_requests = metric(
        Counter, "Requests of the runtime that could not be parsed; answered without a change."
    )
    oom_policy_conflicts = metric(Gauge, "Containers in mode single that systemd stops after an OOM kill (OOMPolicy).")
    modes_invalid = metric(Counter, "Labels and annotations with an invalid value.")
    modes_failed = metric(Counter, "Modes found not to be in force.")
    tolerance_exceeded = metric(
        Counter, "Times that a container exceeded its tolerance of OOM kills, at most once per start.", *CONTAINER
    )
    containers_killed = metric(
        Counter,
        "Containers that the agent killed, by reason (failed: the attempt failed).",
        "reason",
        values=KILLED_WHY,
    )
    memory_limit_pressure = metric(
        Gauge, "1 while a container is at its memory limit and needs more than can be freed, else 0.", *CONTAINER
    )
    memory_limit_pressure_seconds = metric(Counter, "Seconds that a container was under such pressure.", *CONTAINER)
    stalls_resolved = metric(
        Counter,
        "Stalls at a container's own limit that the agent ended on request, by how.",
        "action",
        values=STALL_ACTIONS,
    )
    pod_failure = metric(Gauge, "1 while the pod fails, by category of the diagnosis.", "namespace", "pod", "category")
    kmsg_readable = metric(Gauge, "1: the kernel's log is read. 0: it is not readable, so kills have no process names.")
    kmsg_lost_records = metric(Counter, "Records of the kernel's log that were overwritten before they were read.")
    kmsg_foreign_records = metric(Counter, "Records of the log that the kernel did not write; ignored.")
    inotify_overflows = metric(Counter, "Times that inotify notifications were lost or a watch was not available.")
    pod_watch_restarts = metric(Counter, "Restarts of the pod watch, by reason.", "reason", values=WATCH_REASONS)
    pods_skipped = metric(Counter, "Pod objects from the API that could not be parsed.")
    events = metric(Counter, "Events, by outcome of the delivery.", "outcome", values=EVENT_OUTCOMES)
    events_pending = metric(Gauge, "Events and new counts that are not posted yet.")
    cgroup_errors = metric(Counter, "Errors from reading control files of existing cgroups.")
    unmatched_reports = metric(Counter, "OOM reports in the kernel's log that no counter matched.")
    config_reload_failures = metric(Counter, "Rejected configuration changes; the previous rules stay in force.")
    config_last_reload_successful = metric(
        Gauge,
        "1: the configuration is in force. 0: the changed configuration was refused, the previous rules stay in force.",
    )
    config_last_reload_success_timestamp_seconds = metric(Gauge, "Unix time at which the rules in force were read.")
    ledger_persistent = metric(Gauge, "1: the ledger is written to disk. 0: changes are in memory only.")
    realtime_priority_active = metric(
        Gauge, "1: the agent has real-time priority over the node's workloads. 0: it may be late on busy CPUs."
    )
    realtime_priority_suspensions = metric(
        Counter, "Times that real-time priority was suspended because the agent used more than half of a CPU."
    )
    inotify_watches = metric(Gauge, "Inotify watches in use; NaN if unknown.")
    cgroups = metric(Gauge, "Watched cgroups, by kind.", "kind")
    heartbeat_timestamp_seconds = metric(Gauge, "Unix time of a thread's last heartbeat.", "thread")
    build_info = metric(Gauge, "Version of the agent.", "version")

    def __init__(self, version: str, *, process_metrics: bool = True) -> None:
        self.registry = CollectorRegistry()
        if process_metrics:
            ProcessCollector(registry=self.registry)
        for name, row in vars(type(self)).items():
            if isinstance(row, _Row):
                made = row.kind(f"oomward_{name}", row.text, row.labels, registry=self.registry, **row.more)
                for value in row.values:
                    made.labels(value)
                setattr(self, name, made)
        self.build_info.labels(version).set(1)
        self.inotify_watches.set(nan)
        self._series = ContainerSeries(self.series_evictions)
        self._last_kills = LastKills(
            self._series, self.last_oom_kill_timestamp_seconds, self.last_oom_kill_memory_bytes
        )
        self._failing = FailingPods(self.pod_failure)

    def page(self, accept: str = "") -> tuple[str, bytes]:
        """Content type and body, in the format that the Accept header asks for."""
        encode, content_type = choose_encoder(accept)
        return content_type, encode(self.registry)

    def has(self, namespace: str, pod: str) -> bool:
        """Whether a container of this pod, which lives, has series."""
        return self._series.is_alive(namespace, pod)

    def seed(
        self,
        totals: Mapping[tuple[str, str, str, str, str], int],
        now_s: float,
        last_kills: Mapping[Key, tuple[float, OomKill | None]] = MappingProxyType({}),
    ) -> None:
        """The ledger's totals from before this start; the series end if their containers don't show up.

        ``last_kills``: Unix time of each container's last kill, and the kill itself; None: it is not kept.
        """
        for (namespace, pod, container, mode, scope), processes in totals.items():
            key = (namespace, pod, container)
            self._series.of(key, self.oom_kills, mode, scope).inc(processes)
            self._series.seeded(key, now_s)
        for key, (at_unix_s, kill) in last_kills.items():
            self._last_kills.seed(key, at_unix_s, kill)

    def kill(self, kill: OomKill) -> None:
        """A kill in a pod: counts its processes."""
        self._series.of(_key(kill), self.oom_kills, kill.mode or UNKNOWN, kill.scope or UNKNOWN).inc(kill.processes)
        self._last_kills.put(_key(kill), kill)
        if kill.details_missing:
            self.oom_kills_without_details.inc()

    def details(self, kill: OomKill) -> None:
        """A kill that was counted before has its details now."""
        self._last_kills.amend(_key(kill), kill)

    def outcome(self, kill: OomKill) -> None:
        """A kill in a pod whose outcome is known, or will never be."""
        self._series.of(_key(kill), self.oom_kill_outcomes, kill.outcome or UNKNOWN).inc()

    def exceeded(self, namespace: str, pod: str, container: str) -> None:
        """A container exceeded its tolerance."""
        self._series.of((namespace, pod, container), self.tolerance_exceeded).inc()

    def container_running(
        self, namespace: str, pod: str, container: str, mode: Mode | None, *, tolerates: bool = False
    ) -> None:
        """The container has a cgroup, or may have one: its series begin at 0, since increase() does not see one that begins at 1.

        One series for each scope with the ``mode`` in force (None: not known), and none with another mode: call again when it changes.
        ``tolerates``: it has a tolerance, which it may exceed.
        """
        key = (namespace, pod, container)
        self._series.running(key)
        for outcome in Outcome:
            self._series.of(key, self.oom_kill_outcomes, outcome)
        for scope in (*Scope, UNKNOWN):
            self._series.of(key, self.oom_kills, mode or UNKNOWN, scope)
        if tolerates:
            self._series.of(key, self.tolerance_exceeded)

    def oom_group(self, namespace: str, pod: str, container: str, actual: int, desired: int | None) -> None:
        """The value of memory.oom.group, and the desired one (None: no mode is desired)."""
        key = (namespace, pod, container)
        if self._series.counted_as(key) != key:
            return
        self._series.of(key, self.container_oom_group).set(actual)
        if desired is None:
            self._series.remove(key, self.container_oom_group_desired)
        else:
            self._series.of(key, self.container_oom_group_desired).set(desired)

    def under_pressure(self, namespace: str, pod: str, container: str, *, seconds: float, lasts: bool) -> None:
        """``seconds`` more of pressure at the container's limit, which ``lasts`` or has just ended."""
        key = (namespace, pod, container)
        if self._series.counted_as(key) == key:
            self._series.of(key, self.memory_limit_pressure).set(lasts)
            self._series.of(key, self.memory_limit_pressure_seconds).inc(seconds)

    def container_gone(self, namespace: str, pod: str, container: str, now_s: float) -> None:
        """The pod is gone: its series end KEEP_S later, unless it comes back. ``now_s`` is monotonic."""
        self._series.gone((namespace, pod, container), now_s)

    def drop_stale(self, now_s: float, between: Callable[[], None] = lambda: None) -> list[Key]:
        """Drop the series of containers that are due; see ContainerSeries.drop_stale. Returns their keys."""
        dropped = self._series.drop_stale(now_s, between)
        self._last_kills.forget(dropped)
        return dropped

    def config_loaded(self, at_unix_s: float | None) -> None:
        """The configuration in force was read at this time; None: a changed one was refused, and the rules before it stay in force."""
        self.config_last_reload_successful.set(at_unix_s is not None)
        if at_unix_s is None:
            self.config_reload_failures.inc()
        else:
            self.config_last_reload_success_timestamp_seconds.set(at_unix_s)

    def nri_answered(self, oom_group: int | None) -> None:
        """An answer to the runtime that asks for this memory.oom.group; None: for none. Any thread may call it."""
        mode = "none" if oom_group is None else Mode.GROUP if oom_group else Mode.SINGLE
        self.nri_answers.labels(mode).inc()

    def pod_failures(self, uid: str, failures: set[tuple[str, str, str]]) -> None:
        """All current failures of a pod, by namespace, name and category; they replace those of the same uid."""
        self._failing.put(uid, failures)


def _key(kill: OomKill) -> Key:
    return kill.namespace or "", kill.pod or "", kill.container or ""
