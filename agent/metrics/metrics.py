"""The table of the agent's metrics, one attribute each, and the page. See docs/reference/metrics.md.

The loop's thread alone counts; any thread may ask for the page. No label is a PID, a process name or anything else without bounds.
"""

from __future__ import annotations

from math import nan

from prometheus_client import Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import choose_encoder

from agent.metrics.series import ContainerSeries, Metric
from agent.model import OomKill, WriteOutcome

LATENCY_BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 10.0)
EVENT_OUTCOMES = ("created", "exists", "patched", "dropped_gone", "dropped_invalid", "dropped_expired")
WATCH_REASONS = ("timeout", "relist", "gone", "refused", "unreachable", "error", "short")  # model.WatchTrouble
KILLED_WHY = ("tolerance", "group", "failed")


class Metrics(ContainerSeries):
    """Callers count on the attributes."""

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
        super().__init__()
        if process_metrics:
            ProcessCollector(registry=self.registry)
        self.build_info.labels(version).set(1)
        self.inotify_watches.set(nan)
        self._failures: dict[str, set[tuple[str, str, str]]] = {}

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
