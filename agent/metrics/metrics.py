"""The agent's metrics: one attribute per metric, named like it, and the page. See docs/reference/metrics.md.

The loop's thread alone counts; any thread may ask for the page. No label is a PID, a process name or anything else without bounds.
"""

from __future__ import annotations

from math import nan

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector
from prometheus_client.exposition import choose_encoder

from agent.metrics.series import ContainerSeries
from agent.model import OomKill, WriteOutcome

LATENCY_BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 10.0)
EVENT_OUTCOMES = ("created", "exists", "patched", "dropped_gone", "dropped_invalid", "dropped_expired")
WATCH_REASONS = ("timeout", "relist", "gone", "refused", "unreachable", "error", "short")  # model.WatchTrouble
KILLED_WHY = ("tolerance", "group", "failed")


class Metrics(ContainerSeries):
    """Callers count on the attributes. Label values that are known beforehand have their zeros from the start."""

    def __init__(self, version: str, *, process_metrics: bool = True) -> None:
        super().__init__(CollectorRegistry())
        if process_metrics:
            ProcessCollector(registry=self.registry)
        counter, gauge = self._counter, self._gauge
        self.unattributed_oom_kills = counter(
            "unattributed_oom_kills", "OOM kills in pods that could not be attributed to a container, one per process."
        )
        self.host_oom_kills = counter("host_oom_kills", "OOM kills outside of pods, one per process.")
        self.oom_kills_without_details = counter(
            "oom_kills_without_details", "OOM kills for which the kernel's log does not name all processes."
        )
        self.oom_group_writes = counter(
            "oom_group_writes", "Attempts to enforce memory.oom.group, by outcome.", "outcome", values=WriteOutcome
        )
        self.oom_group_write_duration_seconds = Histogram(
            "oomward_oom_group_write_duration_seconds",
            "Time from the notification of another process's write to memory.oom.group until the agent has written.",
            buckets=LATENCY_BUCKETS_S,
            registry=self.registry,
        )
        self.drift_corrections = counter(
            "drift_corrections", "Values of memory.oom.group that another process had changed and that were corrected."
        )
        self.resyncs = counter("resyncs", "Full resyncs of all cgroups.")
        self.resync_corrections = counter(
            "resync_corrections", "Differences that only a full resync found. Should stay 0."
        )
        self.write_conflicts = counter(
            "write_conflicts", "Conflicts: another process keeps rewriting memory.oom.group, so corrections slow down."
        )
        self.ancestor_conflicts = gauge(
            "ancestor_conflicts", "Containers in mode single below a cgroup with memory.oom.group 1."
        )
        self.modes_invalid = counter("modes_invalid", "Labels and annotations with an invalid value.")
        self.modes_failed = counter("modes_failed", "Modes found not to be in force.")
        self.tolerance_exceeded = counter(
            "tolerance_exceeded", "Containers that exceeded their tolerance of OOM kills."
        )
        self.containers_killed = counter(
            "containers_killed",
            "Containers that the agent killed, by reason (failed: the attempt failed).",
            "reason",
            values=KILLED_WHY,
        )
        self.pod_failure = gauge(
            "pod_failure", "1 while the pod fails, by category of the diagnosis.", "namespace", "pod", "category"
        )
        self._failures: dict[str, set[tuple[str, str, str]]] = {}
        self.kmsg_readable = gauge(
            "kmsg_readable", "1: the kernel's log is read. 0: it is not readable, so kills have no process names."
        )
        self.kmsg_lost_records = counter(
            "kmsg_lost_records", "Records of the kernel's log that were overwritten before they were read."
        )
        self.kmsg_foreign_records = counter(
            "kmsg_foreign_records", "Records of the log that the kernel did not write; ignored."
        )
        self.inotify_overflows = counter(
            "inotify_overflows", "Times that inotify notifications were lost or a watch was not available."
        )
        self.pod_watch_restarts = counter(
            "pod_watch_restarts", "Restarts of the pod watch, by reason.", "reason", values=WATCH_REASONS
        )
        self.pods_skipped = counter("pods_skipped", "Pod objects from the API that could not be parsed.")
        self.events = counter("events", "Events, by outcome of the delivery.", "outcome", values=EVENT_OUTCOMES)
        self.events_pending = gauge("events_pending", "Events and new counts that are not posted yet.")
        self.cgroup_errors = counter("cgroup_errors", "Errors from reading control files of existing cgroups.")
        self.unmatched_reports = counter(
            "unmatched_reports", "OOM reports in the kernel's log that no counter matched."
        )
        self.config_reload_failures = counter(
            "config_reload_failures", "Rejected configuration changes; the previous rules stay in force."
        )
        self.ledger_persistent = gauge("ledger_persistent", "1: the ledger is on disk. 0: in memory only.")
        self.realtime_priority_active = gauge(
            "realtime_priority_active",
            "1: the agent has real-time priority over the node's workloads. 0: it may be late on busy CPUs.",
        )
        self.realtime_priority_suspensions = counter(
            "realtime_priority_suspensions",
            "Times that real-time priority was suspended because the agent used more than half of a CPU.",
        )
        self.inotify_watches = gauge("inotify_watches", "Inotify watches in use; NaN if unknown.")
        self.inotify_watches.set(nan)
        self.cgroups = gauge("cgroups", "Watched cgroups, by kind.", "kind")
        self.heartbeat_timestamp_seconds = gauge(
            "heartbeat_timestamp_seconds", "Unix time of a thread's last heartbeat.", "thread"
        )
        gauge("build_info", "Version of the agent.", "version").labels(version).set(1)

    def page(self, accept: str = "") -> tuple[str, bytes]:
        """Content type and body, in the format that the Accept header asks for."""
        encode, content_type = choose_encoder(accept)
        return content_type, encode(self.registry)

    def kill(self, kill: OomKill) -> None:
        """A kill in a pod: counts its processes."""
        self.count(kill)
        if kill.details_missing:
            self.oom_kills_without_details.inc()

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
