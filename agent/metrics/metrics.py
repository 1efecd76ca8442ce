"""The table of the agent's metrics, one attribute each, and the page. See docs/reference/metrics.md.

The series of containers begin at zero, continue over restarts, end after their pod, and are bounded in number. The loop's thread
counts, and whoever suspends real-time priority (loop/realtime.py); any thread may ask for the page.
No label is a PID, a process name or anything else without bounds.
"""

from __future__ import annotations

import logging
import os
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Mapping
from math import nan
from typing import Any, NamedTuple, TypeVar, cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics import MetricWrapperBase

from agent.metrics.room import Room
from agent.model import Mode, OnStall, OomKill, Outcome, Scope, WriteOutcome
from agent.wording.logs import Once, log
from agent.wording.shares import beyond
from agent.wording.text import safe

logger = logging.getLogger("oomward")

KEEP_S = 300.0  # series of a container outlive its pod by that long
MOST_CONTAINERS = 2000  # with series at once, some 3 MB of page; beyond, those that ended first are dropped
MOST_FAILING = 1000  # pods that have series of their failures
MOST_OF_A_POD = 100  # containers with series of their own; the kills of the others count for the pod
LATENCY_BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 10.0)
CONTAINER = ("namespace", "pod", "container")
UNKNOWN = "unknown"
EVENT_OUTCOMES = ("created", "exists", "patched", "dropped_gone", "dropped_invalid", "dropped_expired")
WATCH_REASONS = ("timeout", "relist", "gone", "refused", "unreachable", "error", "short")  # model.WatchTrouble
NRI_MODES = (*Mode, "none")
KILLED_WHY = ("tolerance", "group", "failed", "stall")
STALL_ACTIONS = tuple(action for action in OnStall if action is not OnStall.OFF)
CREATED_SWITCH = "PROMETHEUS_DISABLE_CREATED_SERIES"  # the library's own, which has them on where it is not set
Key = tuple[str, str, str]  # namespace, pod, container
NOBODYS: Key = ("", "", "")  # counts the kills in containers without room for series; never ends
Series = tuple[MetricWrapperBase, tuple[str, ...]]  # a metric, and the labels beyond the key
M = TypeVar("M", bound=MetricWrapperBase)

if CREATED_SWITCH not in os.environ:
    disable_created_metrics()  # type: ignore[no-untyped-call]


class _Row(NamedTuple):
    kind: type[MetricWrapperBase]
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
    tolerance_exceeded = metric(Counter, "Containers that exceeded their tolerance of OOM kills.")
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
    ledger_persistent = metric(Gauge, "1: the ledger is on disk. 0: in memory only.")
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
        self._ended: dict[Key, float] = {}
        self._series: dict[Key, set[Series]] = {}
        self._of_pod: Tally[tuple[str, str]] = Tally()  # how many, by namespace and pod
        self._of_namespace: Tally[str] = Tally()
        self._evicted: list[Key] = []  # since the last drop_stale()
        self._without: dict[tuple[str, str], set[Key]] = {}  # containers that are counted for their pod
        self._is_full = False
        self._living: set[tuple[str, str]] = set()  # namespace, pod
        self._failures: dict[str, set[tuple[str, str, str]]] = {}
        self._failing_room = Room()
        self._failing_said = Once(86_400.0)

    def page(self, accept: str = "") -> tuple[str, bytes]:
        """Content type and body, in the format that the Accept header asks for."""
        encode, content_type = choose_encoder(accept)
        return content_type, encode(self.registry)

    def _of(self, key: Key, kind: M, *labels: str) -> M:
        key = self._counted_as(key)
        if key not in self._series:
            self._series[key] = set()
            self._of_pod[key[:2]] += 1
            self._of_namespace[key[0]] += 1
        self._series[key].add((kind, labels))
        return kind.labels(*key, *labels)

    def _counted_as(self, key: Key) -> Key:
        """This container, or, beyond a bound, its pod, or no pod: a pod of very many containers must not fill memory and page."""
        namespace, pod, container = key
        if key in self._series or not pod:
            return key
        if container and self._of_pod[namespace, pod] >= MOST_OF_A_POD:
            self._count_for_pod(key)
            return self._counted_as((namespace, pod, ""))
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
        self.series_evictions.inc()
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

    def has(self, namespace: str, pod: str) -> bool:
        """Whether a container of this pod, which lives, has series."""
        return (namespace, pod) in self._living

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
        """The container has a cgroup, or may have one: its series begin at 0, since increase() does not see one that begins at 1.

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
        if self._counted_as(key) != key:
            return
        self._of(key, self.container_oom_group).set(actual)
        if desired is not None:
            self._of(key, self.container_oom_group_desired).set(desired)
        elif (self.container_oom_group_desired, ()) in self._series[key]:
            self._series[key].remove((self.container_oom_group_desired, ()))
            self.container_oom_group_desired.remove(*key)

    def under_pressure(self, namespace: str, pod: str, container: str, *, seconds: float, lasts: bool) -> None:
        """``seconds`` more of pressure at the container's limit, which ``lasts`` or has just ended."""
        key = (namespace, pod, container)
        if self._counted_as(key) == key:
            self._of(key, self.memory_limit_pressure).set(lasts)
            self._of(key, self.memory_limit_pressure_seconds).inc(seconds)

    def container_gone(self, namespace: str, pod: str, container: str, now_s: float) -> None:
        """The pod is gone: its series end KEEP_S later, unless it comes back. ``now_s`` is monotonic."""
        self._living.discard((namespace, pod))
        for key in ((namespace, pod, container), (namespace, pod, "")):  # "": kills without a container's name
            if key in self._series:
                self._ended.setdefault(key, now_s)

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
                self.series_evictions.inc()
        self._is_full = self._is_full and len(self._series) >= MOST_CONTAINERS
        return dropped

    def nri_answered(self, oom_group: int | None) -> None:
        """An answer to the runtime that asks for this memory.oom.group; None: for none. Any thread may call it."""
        mode = "none" if oom_group is None else Mode.GROUP if oom_group else Mode.SINGLE
        self.nri_answers.labels(mode).inc()

    def pod_failures(self, uid: str, failures: set[tuple[str, str, str]]) -> None:
        """All current failures of a pod, by namespace, name and category; they replace those of the same uid."""
        if not failures:
            self._failing_room.leave(uid)
        elif (crowded := self._failing_room.enter(uid, min(failures)[0], MOST_FAILING)) is not None:
            if self._failing_said.due("") is not None:
                text = (
                    f"the failures of {MOST_FAILING} pods have series: some of the namespaces with the most have none"
                )
                log(logger, logging.WARNING, text)
            self._replace_failures(crowded, set())
            failures = failures if crowded != uid else set()
        self._replace_failures(uid, failures)

    def _replace_failures(self, uid: str, failures: set[tuple[str, str, str]]) -> None:
        before = self._failures.pop(uid, set())
        if failures:
            self._failures[uid] = failures
        gone = before - failures
        others = set().union(*(one for other, one in self._failures.items() if other != uid)) if gone else set()
        for labels in before - failures - others:
            self.pod_failure.remove(*labels)
        for labels in failures:
            self.pod_failure.labels(*labels).set(1)


def _key(kill: OomKill) -> Key:
    return kill.namespace or "", kill.pod or "", kill.container or ""
