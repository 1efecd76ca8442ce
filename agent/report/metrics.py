"""The metrics: a registry of its own, a typed method for everything that is counted, and the page.

Takes records, keeps series of containers that run or ran a moment ago, bounded in number. Counting is the loop's alone; the page
may be asked for by any thread, as the library allows. Never a pid, a comm or anything else without bounds in a label.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import nan

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import choose_encoder

from agent.model import CgroupKind, Mode, OomKill, Outcome, Scope, WriteOutcome

KEEP_S = 300.0  # series of a container outlive its pod by that long
MOST_CONTAINERS = 5000  # of series kept at once; beyond, the oldest that ended go first
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
UNKNOWN = "unknown"
Key = tuple[str, str, str]  # namespace, pod, container


class Metrics:
    """See docs/reference/metrics.md, which a test holds against this class."""

    def __init__(self, version: str, *, process_metrics: bool = True) -> None:
        self.registry = CollectorRegistry()
        if process_metrics:
            ProcessCollector(registry=self.registry)
        self._ended: dict[Key, float] = {}
        self._series: dict[Key, set[tuple[str, str]]] = {}
        self._living: set[tuple[str, str]] = set()  # namespace, pod
        container = ("namespace", "pod", "container")
        self._kills = self._counter(
            "oom_kills", "Processes killed by the kernel's OOM killer, each once.", (*container, "mode", "scope")
        )
        self._outcomes = self._counter(
            "oom_outcomes", "OOM kills (not processes) by what became of the container.", (*container, "outcome")
        )
        self._unattributed = self._counter(
            "unattributed_oom_kills", "Processes killed in pods that no container could be named for."
        )
        self._host_kills = self._counter("host_oom_kills", "Processes killed outside of pods.")
        self._undetailed = self._counter(
            "kills_without_details", "Kills whose victims the kernel's log did not name in full."
        )
        self._group = self._gauge("container_oom_group", "memory.oom.group of a container as it is: 0 or 1.", container)
        self._wanted = self._gauge(
            "container_oom_group_wanted", "memory.oom.group of a container as it should be: 0 or 1.", container
        )
        self._writes = self._counter("writes", "Attempts to hold memory.oom.group, by what came of them.", ("outcome",))
        self._latency = Histogram(
            "oomward_write_latency_seconds",
            "From the notification of another's write to the end of ours.",
            buckets=LATENCY_BUCKETS_S,
            registry=self.registry,
        )
        self._drift = self._counter("drift_repairs", "Values that somebody else had changed and that were put back.")
        self._resyncs = self._counter("resyncs", "Slow full looks at everything.")
        self._resync = self._counter("resync_repairs", "Differences that only the slow full look found. Should stay 0.")
        self._fights = self._counter(
            "fights", "Times somebody kept rewriting a held value, so that repairs slowed down."
        )
        self._ancestors = self._counter(
            "ancestor_conflicts", "Ancestors found with memory.oom.group 1 above containers in mode single."
        )
        self._invalid = self._counter("modes_invalid", "Labels and annotations found that ask for no mode.")
        self._failed = self._counter("modes_failed", "Times a mode was found not to be in force.")
        self._lost = self._counter(
            "kmsg_lost_records", "Records of the kernel's log that were overwritten before they were read."
        )
        self._foreign = self._counter(
            "kmsg_foreign_records", "Records of the log not written by the kernel: not believed."
        )
        self._overflows = self._counter("inotify_overflows", "Times notifications were lost or could not be asked for.")
        self._restarts = self._counter("pod_watch_restarts", "Times the pod watch began again, by reason.", ("reason",))
        self._skipped = self._counter("pods_skipped", "Pod objects of the API that could not be read.")
        self._events = self._counter("events", "Events by what became of them.", ("outcome",))
        self._pending = self._gauge("events_pending", "Events handed to the poster and not yet accepted.")
        self._errors = self._counter(
            "cgroup_errors", "Control files that could not be read though their cgroup was there."
        )
        self._unmatched = self._counter("unmatched_reports", "Kernel reports of kills that no counter showed.")
        self._refused = self._counter(
            "config_reload_failures", "Times a changed configuration was refused and the old rules stayed."
        )
        self._ledger = self._gauge("ledger_persistent", "1: the ledger is on disk. 0: in memory only.")
        self._watches = self._gauge("inotify_watches", "Inotify watches in use; NaN: nobody told.")
        self._watches.set(nan)
        self._cgroups = self._gauge("cgroups", "Cgroups that are watched, by kind.", ("kind",))
        self._beats = self._gauge("heartbeat_age_seconds", "Time since a thread's last sign of life.", ("thread",))
        self._evictions = self._counter(
            "series_evictions", "Containers whose series ended before their time, since there were too many."
        )
        build = Gauge("oomward_build_info", "Version of this agent.", ("version",), registry=self.registry)
        build.labels(version).set(1)
        for outcome in WriteOutcome:
            self._writes.labels(outcome.value)
        for word in EVENT_OUTCOMES:
            self._events.labels(word)
        for word in WATCH_REASONS:
            self._restarts.labels(word)

    def _counter(self, name: str, text: str, labels: Iterable[str] = ()) -> Counter:
        return Counter(f"oomward_{name}", text, tuple(labels), registry=self.registry)

    def _gauge(self, name: str, text: str, labels: Iterable[str] = ()) -> Gauge:
        return Gauge(f"oomward_{name}", text, tuple(labels), registry=self.registry)

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
        self._add(key, mode, scope, kill.processes)
        if kill.details_missing:
            self._undetailed.inc()

    def _add(self, key: Key, mode: str, scope: str, processes: int) -> None:
        self._series.setdefault(key, set()).add((mode, scope))
        self._kills.labels(*key, mode, scope).inc(processes)

    def outcome(self, kill: OomKill) -> None:
        """What became of the container of a kill in a pod, once that is settled."""
        key = (kill.namespace or "", kill.pod or "", kill.container or "")
        self._series.setdefault(key, set())
        self._outcomes.labels(*key, kill.outcome.value if kill.outcome else UNKNOWN).inc()

    def host_kill(self, kill: OomKill) -> None:
        """A kill outside of pods."""
        self._host_kills.inc(kill.processes)

    def unattributed(self, processes: int) -> None:
        """Kills in pods that no container could be named for."""
        self._unattributed.inc(processes)

    def unmatched_reports(self, count: int) -> None:
        """Reports that no counter asked for."""
        self._unmatched.inc(count)

    def seed(self, totals: Mapping[tuple[str, str, str, str, str], int], now_s: float) -> None:
        """What the ledger counted before this start; the series end if their containers don't show up."""
        for (namespace, pod, container, mode, scope), processes in totals.items():
            self._add((namespace, pod, container), mode, scope, processes)
            self._ended[(namespace, pod, container)] = now_s

    # --------------------------------------------------------------------------------------------------- containers

    def container_running(self, namespace: str, pod: str, container: str, mode: Mode | None) -> None:
        """The container's series begin at 0: increase() does not see a series born at 1.

        There is one for each scope with the ``mode`` in force (None: not known), since any limit may be hit next, but none with
        another mode: call again when the mode changes.
        """
        key = (namespace, pod, container)
        self._living.add((namespace, pod))
        self._ended.pop(key, None)
        scopes = (Scope.CONTAINER, Scope.POD, Scope.KUBEPODS, Scope.NODE)
        for outcome in Outcome:
            self._outcomes.labels(*key, outcome.value)
        for scope in scopes:
            pair = (mode.value if mode else UNKNOWN, scope.value)
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

    def drop_stale(self, now_s: float) -> None:
        """Drop the series whose time has come, and the oldest ended ones beyond MOST_CONTAINERS.

        A series whose pod is not known to live counts as ended from here on: of a kill that was told after its pod left, say.
        """
        for key in self._series:
            if key[:2] in self._living:
                self._ended.pop(key, None)
            else:
                self._ended.setdefault(key, now_s)
        over = len(self._series) - MOST_CONTAINERS
        by_age = sorted(self._ended, key=lambda key: self._ended[key])
        for i, key in enumerate(by_age):
            if now_s - self._ended[key] > KEEP_S:
                self._drop(key)
            elif i < over:
                self._drop(key)
                self._evictions.inc()

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

    def fight(self) -> None:
        self._fights.inc()

    def ancestor_conflict(self) -> None:
        self._ancestors.inc()

    def mode_invalid(self) -> None:
        self._invalid.inc()

    def mode_failed(self) -> None:
        self._failed.inc()

    # ------------------------------------------------------------------------------------------------------ sources

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

    def heartbeat(self, thread: str, age_s: Callable[[], float]) -> None:
        """``age_s`` is asked at every scrape, by the thread that serves it."""
        self._beats.labels(thread).set_function(age_s)

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

    def ledger_persistent(self, persistent: bool) -> None:
        self._ledger.set(1 if persistent else 0)
