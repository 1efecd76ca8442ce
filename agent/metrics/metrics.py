"""The metrics: a registry of its own, a typed method for everything that is counted, and the page.

Takes records, gives the page; the series of containers, which come and go, are series.py's. Counting is the loop's alone; the page
may be asked for by any thread, as the library allows. Never a pid, a comm or anything else without bounds in a label.
"""

from __future__ import annotations

from collections.abc import Callable
from math import nan

from prometheus_client import CollectorRegistry, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import choose_encoder

from agent.metrics.series import UNKNOWN, ContainerSeries
from agent.model import CgroupKind, OomKill, WriteOutcome

LATENCY_BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 10.0)
EVENT_OUTCOMES = (
    "created",
    "exists",
    "patched",
    "dropped_gone",
    "dropped_invalid",
    "dropped_expired",
)  # model.EventDelivered
WATCH_REASONS = ("timeout", "relist", "gone", "refused", "unreachable", "error", "short")  # model.WatchTrouble


KILLED_WHY = ("tolerance", "group", "failed")


class Metrics(ContainerSeries):
    """See docs/reference/metrics.md, which a test holds against this class."""

    def __init__(self, version: str, *, process_metrics: bool = True) -> None:
        super().__init__(CollectorRegistry())
        if process_metrics:
            ProcessCollector(registry=self.registry)
        self._unattributed = self._counter(
            "unattributed_oom_kills", "OOM kills in pods that could not be attributed to a container, one per process."
        )
        self._host_kills = self._counter("host_oom_kills", "OOM kills outside of pods, one per process.")
        self._undetailed = self._counter(
            "oom_kills_without_details", "OOM kills for which the kernel's log does not name all processes."
        )
        self._writes = self._counter(
            "oom_group_writes", "Attempts to enforce memory.oom.group, by outcome.", ("outcome",)
        )
        self._latency = Histogram(
            "oomward_oom_group_write_duration_seconds",
            "Time from the notification of another process's write to memory.oom.group until the agent has written.",
            buckets=LATENCY_BUCKETS_S,
            registry=self.registry,
        )
        self._drift = self._counter(
            "drift_corrections", "Values of memory.oom.group that another process had changed and that were corrected."
        )
        self._resyncs = self._counter("resyncs", "Full resyncs of all cgroups.")
        self._resync = self._counter("resync_corrections", "Differences that only a full resync found. Should stay 0.")
        self._fights = self._counter(
            "write_conflicts", "Conflicts: another process keeps rewriting memory.oom.group, so corrections slow down."
        )
        self._ancestors = self._gauge(
            "ancestor_conflicts", "Containers in mode single below a cgroup with memory.oom.group 1."
        )
        self._invalid = self._counter("modes_invalid", "Labels and annotations with an invalid value.")
        self._failed = self._counter("modes_failed", "Modes found not to be in force.")
        self._tolerance_exceeded = self._counter(
            "tolerance_exceeded", "Containers that exceeded their tolerance of OOM kills."
        )
        self._containers_killed = self._counter(
            "containers_killed",
            "Containers that the agent killed, by reason (failed: the attempt failed).",
            ("reason",),
        )
        self._failures = self._gauge(
            "pod_failure", "1 while the pod fails, by category of the diagnosis.", ("namespace", "pod", "category")
        )
        self._shown_failures: dict[str, set[tuple[str, str, str]]] = {}
        self._kmsg = self._gauge(
            "kmsg_readable", "1: the kernel's log is read. 0: it is not readable, so kills have no process names."
        )
        self._lost = self._counter(
            "kmsg_lost_records", "Records of the kernel's log that were overwritten before they were read."
        )
        self._foreign = self._counter(
            "kmsg_foreign_records", "Records of the log that the kernel did not write; ignored."
        )
        self._overflows = self._counter(
            "inotify_overflows", "Times that inotify notifications were lost or a watch was not available."
        )
        self._restarts = self._counter("pod_watch_restarts", "Restarts of the pod watch, by reason.", ("reason",))
        self._skipped = self._counter("pods_skipped", "Pod objects from the API that could not be parsed.")
        self._events = self._counter("events", "Events, by outcome of the delivery.", ("outcome",))
        self._pending = self._gauge("events_pending", "Events and new counts that are not posted yet.")
        self._errors = self._counter("cgroup_errors", "Errors from reading control files of existing cgroups.")
        self._unmatched = self._counter("unmatched_reports", "OOM reports in the kernel's log that no counter matched.")
        self._refused = self._counter(
            "config_reload_failures", "Rejected configuration changes; the previous rules stay in force."
        )
        self._ledger = self._gauge("ledger_persistent", "1: the ledger is on disk. 0: in memory only.")
        self._comes_first = self._gauge(
            "realtime_priority_active",
            "1: the agent has real-time priority over the node's workloads. 0: it may be late on busy CPUs.",
        )
        self._stood_back = self._counter(
            "realtime_priority_suspensions",
            "Times that real-time priority was suspended because the agent used more than half of a CPU.",
        )
        self._watches = self._gauge("inotify_watches", "Inotify watches in use; NaN if unknown.")
        self._watches.set(nan)
        self._cgroups = self._gauge("cgroups", "Watched cgroups, by kind.", ("kind",))
        self._beats = self._gauge("heartbeat_timestamp_seconds", "Unix time of a thread's last heartbeat.", ("thread",))
        build = Gauge("oomward_build_info", "Version of the agent.", ("version",), registry=self.registry)
        build.labels(version).set(1)
        for outcome in WriteOutcome:
            self._writes.labels(outcome.value)
        for word in EVENT_OUTCOMES:
            self._events.labels(word)
        for word in KILLED_WHY:
            self._containers_killed.labels(word)
        for word in WATCH_REASONS:
            self._restarts.labels(word)

    def page(self, accept: str = "") -> tuple[str, bytes]:
        """Content type and body, in the format that the Accept header asks for."""
        encode, content_type = choose_encoder(accept)
        return content_type, encode(self.registry)

    # -------------------------------------------------------------------------------------------------------- kills

    def kill(self, kill: OomKill) -> None:
        """A kill in a pod: counts its processes."""
        key = (kill.namespace or "", kill.pod or "", kill.container or "")
        mode = kill.mode.value if kill.mode else UNKNOWN
        scope = kill.scope.value if kill.scope else UNKNOWN
        self._count(key, mode, scope, kill.processes)
        if kill.details_missing:
            self._undetailed.inc()

    def host_kill(self, kill: OomKill) -> None:
        """A kill outside of pods."""
        self._host_kills.inc(kill.processes)

    def unattributed(self, processes: int) -> None:
        """Kills in pods that no container could be named for."""
        self._unattributed.inc(processes)

    def unmatched_reports(self, count: int) -> None:
        """Reports that no counter asked for."""
        self._unmatched.inc(count)

    # -------------------------------------------------------------------------------------------------------- knobs

    def write(self, outcome: WriteOutcome) -> None:
        self._writes.labels(outcome.value).inc()

    def write_latency(self, seconds: float) -> None:
        self._latency.observe(seconds)

    def drift_repair(self) -> None:
        self._drift.inc()

    def resynced(self, repairs: int) -> None:
        """A full look, and how many differences it found that nothing had told of."""
        self._resyncs.inc()
        self._resync.inc(repairs)

    def tolerance_exceeded(self) -> None:
        self._tolerance_exceeded.inc()

    def container_killed(self, why: str) -> None:
        """``tolerance``, ``group`` (emulated on v1), or ``failed``."""
        self._containers_killed.labels(why).inc()

    def pod_failures(self, uid: str, failures: set[tuple[str, str, str]]) -> None:
        """How a pod fails now: all of it, by namespace, name and category; what was shown of this uid before goes."""
        before = self._shown_failures.pop(uid, set())
        if failures:
            self._shown_failures[uid] = failures
        others = set().union(*self._shown_failures.values()) if before - failures else set()
        for labels in before - failures - others:
            self._failures.remove(*labels)
        for labels in failures:
            self._failures.labels(*labels).set(1)

    def fight(self) -> None:
        self._fights.inc()

    def ancestor_conflicts(self, containers: int) -> None:
        """How many containers there are just now whose 0 a 1 above them makes useless."""
        self._ancestors.set(containers)

    def mode_invalid(self) -> None:
        self._invalid.inc()

    def mode_failed(self) -> None:
        self._failed.inc()

    # ------------------------------------------------------------------------------------------------------ sources

    def kmsg_readable(self, readable: bool) -> None:
        self._kmsg.set(1 if readable else 0)

    def kmsg_lost(self, records: int) -> None:
        self._lost.inc(records)

    def kmsg_foreign(self, records: int) -> None:
        self._foreign.inc(records)

    def inotify_overflow(self) -> None:
        self._overflows.inc()

    def inotify_watches(self, count: int) -> None:
        self._watches.set(count)

    def cgroups(self, kind: CgroupKind, count: int) -> None:
        self._cgroups.labels(kind.value).set(count)

    def heartbeat(self, thread: str, unix_s: Callable[[], float]) -> None:
        """``unix_s`` gives the time of the last one; called at every scrape, by the thread that serves it."""
        self._beats.labels(thread).set_function(unix_s)

    def watch_restart(self, reason: str) -> None:
        self._restarts.labels(reason).inc()

    def pod_skipped(self) -> None:
        self._skipped.inc()

    def cgroup_error(self) -> None:
        self._errors.inc()

    def event(self, outcome: str) -> None:
        self._events.labels(outcome).inc()

    def events_pending(self, count: int) -> None:
        self._pending.set(count)

    def config_refused(self) -> None:
        self._refused.inc()

    def comes_first(self, first: bool) -> None:
        self._comes_first.set(1 if first else 0)

    def stood_back(self) -> None:
        self._stood_back.inc()

    def ledger_persistent(self, persistent: bool) -> None:
        self._ledger.set(1 if persistent else 0)
