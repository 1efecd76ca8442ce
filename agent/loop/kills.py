"""From counters and the kernel's log to recorded kills: which counters are read, and when."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from agent.cgroup.files import CgroupError
from agent.cgroup.tree import Tree
from agent.kernel.limits import is_first_pid_namespace
from agent.kernel.processes import cgroup_of, node_oom_kills
from agent.kills import Attribution
from agent.kills.recorder import Recorder
from agent.loop.v1 import V1Counters, V1Pressure
from agent.metrics.metrics import Metrics
from agent.model import Cgroup, CgroupKind, CountersTouched, MemoryEvents, OomKill, OomReport, Outcome
from agent.pods.lookup import Lookup
from agent.pressure.near import NearLimit
from agent.pressure.reached import Reached
from agent.pressure.seen import SeenProcesses
from agent.wording.logs import Once, left_out_text, log

logger = logging.getLogger("oomward")

UNREADABLE_SAID_S = 600.0
COUNTED_KINDS = {  # on v1 parents' counters don't include their children's; below a container they are never of interest
    "v1": (CgroupKind.CONTAINER,),
    "v2": (CgroupKind.CONTAINER, CgroupKind.POD, CgroupKind.KUBEPODS),
}


def error_counter(metrics: Metrics) -> Callable[[CgroupError], None]:
    """For control files that can't be read: each error is counted, and logged once in UNREADABLE_SAID_S."""
    said = Once(UNREADABLE_SAID_S)

    def count(error: CgroupError) -> None:
        metrics.cgroup_errors.inc()
        if (left_out := said.due(str(error))) is not None:
            log(logger, logging.WARNING, f"{error}{left_out_text(left_out)}")

    return count


@dataclass(eq=False)
class Kills:
    """``version`` is that of the cgroup hierarchy. ``v1`` follows its counters; None on v2, where the tree does.

    ``v1_pressure``: its signals of memory pressure, None: on v2, or nobody wants to know.
    """

    boot_id: str
    version: str
    tree: Tree
    facts: Lookup
    attribution: Attribution
    recorder: Recorder
    metrics: Metrics
    reached: Reached
    seen: SeenProcesses | None = None  # None: processes are not read
    near: NearLimit | None = None
    v1: V1Counters | None = None
    v1_pressure: V1Pressure | None = None
    _unread: dict[Cgroup, bool] = field(default_factory=dict, init=False)  # appeared, but not read yet; True: newborn
    # In another PID namespace a PID of the kernel's log is another process.
    _host_pids: bool = field(default_factory=lambda: is_first_pid_namespace() is True, init=False)

    def appeared(self, cgroup: Cgroup, now_s: float, *, newborn: bool) -> None:
        """``newborn``: it was created while we watched, so its counters began at 0."""
        if self.tree.cgroups.get(cgroup.path) != cgroup:
            return  # its removal was reported already
        if self.v1 is not None:
            self.v1.follow(cgroup)  # before the first reading, so that no kill happens in between
        if self.v1_pressure is not None:
            self.v1_pressure.follow(cgroup)
        if self._counts(cgroup):
            self._unread[cgroup] = newborn
            self.read(cgroup, now_s, newborn=newborn)

    def _counts(self, cgroup: Cgroup) -> bool:
        return cgroup.place.kind in COUNTED_KINDS[self.version]

    def touched(self, cgroup: Cgroup, now_s: float) -> None:
        """Counters of this cgroup have changed and are read in a moment. Before its kill a container hits its limit: who is in it now?"""
        if self.seen is not None and cgroup.place.kind is CgroupKind.CONTAINER:
            self.seen.reached(cgroup, now_s)

    def before_wait(self, seconds: float) -> None:
        """The loop is about to wait for so long: processes are read now, by other threads."""
        if self.seen is not None:
            self.seen.release(waits=seconds > 0)

    def look_ahead(self, now_s: float, between: Callable[[], None]) -> None:
        """Before any limit is reached: who is in containers that are near theirs?"""
        if self.near is not None:
            self.near.check(list(self.tree.cgroups.values()), now_s, between)

    def signalled(self, now_s: float) -> list[CountersTouched]:
        """v1's signals, one per container: its count includes those of the cgroups inside, and the kernel signals all of them."""
        owners: dict[str, CountersTouched] = {}
        for event in self.v1.read(now_s) if self.v1 is not None else ():
            path = self.facts.container_path(event.cgroup.path) or event.cgroup.path
            owners[path] = CountersTouched(self.tree.cgroups.get(path, event.cgroup), event.at_monotonic_s)
        return list(owners.values())

    def under_pressure(self, now_s: float) -> None:
        """v1's signals of memory pressure: a limit may have been reached."""
        for cgroup in self.v1_pressure.read(now_s) if self.v1_pressure is not None else ():
            self.reached.signal(cgroup, now_s)

    def read(self, cgroup: Cgroup, now_s: float, *, newborn: bool = False) -> None:
        """Read the counters; the first reading that succeeds is where they begin. ``newborn``: the cgroup was made just now."""
        if isinstance(reading := self.facts.counters(cgroup, newborn=newborn), MemoryEvents):
            if (was_newborn := self._unread.pop(cgroup, None)) is not None:
                self.attribution.appeared(cgroup, reading, now_s, newborn=was_newborn)
            self.attribution.counted(cgroup, reading, now_s)
            self.reached.counted(cgroup, reading, now_s)

    def read_all(self, cgroups: Iterable[Cgroup], now_s: float, between: Callable[[], None]) -> None:
        """Read the counters of these cgroups, as far as they are of interest, and the node's. ``between`` is called before each."""
        for cgroup in filter(self._counts, list(cgroups)):
            between()
            self.read(cgroup, now_s)
        self.count_node(now_s)

    def count_node(self, now_s: float) -> None:
        if (total := node_oom_kills()) is not None:
            self.attribution.counted_node(total, now_s)

    def gone(self, cgroup: Cgroup, now_s: float) -> None:
        if self.v1 is not None:
            self.v1.forget(cgroup)
        if self.v1_pressure is not None:
            self.v1_pressure.forget(cgroup)
        self._unread.pop(cgroup, None)
        self.reached.gone(cgroup)
        if self.seen is not None:
            self.seen.gone(cgroup, now_s)
        if self.near is not None:
            self.near.gone(cgroup)
        self.attribution.removed(cgroup, now_s)
        self.facts.forget(cgroup)

    def reports(self, reports: Iterable[OomReport], now_s: float) -> None:
        """OOM reports of the kernel's log. Where one lacks the cgroup's line, the dying process's own cgroup is looked up."""
        for each in reports:
            report = _with_cgroup(each) if self._host_pids else each
            self._look_at_victims(report, now_s)
            self.attribution.reported(report, now_s)
        self.count_node(now_s)

    def _look_at_victims(self, report: OomReport, now_s: float) -> None:
        path = self.facts.localize(report.task_memcg) if report.task_memcg is not None else None
        container = self.facts.container_path(path) if path is not None else None
        cgroup = self.tree.cgroups.get(container) if container is not None else None
        if self.seen is not None and self._host_pids and cgroup is not None:
            self.seen.reported(cgroup, report.victims, now_s)

    def log_lost(self, why: str) -> None:
        self.metrics.kmsg_readable.set(False)
        self.attribution.log_lost()
        log(logger, logging.ERROR, f"{why}. Kills are still counted; the names of their victims will be missing.")

    def log_found(self, now_s: float) -> None:
        self.metrics.kmsg_readable.set(True)
        self.attribution.log_found(now_s)
        log(logger, logging.INFO, "the kernel's log can be read: kills have the names of their victims again")

    def record(self, now_s: float, kmsg_sequence: int | None) -> list[OomKill]:
        """Record and report what is ready; returns the kills that are new or amended. ``kmsg_sequence``: how far the log is done."""
        findings = self.attribution.collect(now_s)
        self.recorder.findings(findings, kmsg_sequence, now_s)
        # The API may have named their pods since they were recorded.
        self.recorder.name(self.facts.names_at, self.facts.unix_s(), findings.settled)
        return [*findings.kills, *findings.amended]

    def name_earlier(self) -> None:
        """Pods were named: kills that waited for it are reported."""
        self.recorder.name(self.facts.names_at, self.facts.unix_s())

    def outcome_now(self, kill: OomKill) -> Outcome | None:
        """Of a kill that a previous agent recorded without its outcome, if its container lives; why it is dead nobody saw.

        None, too, of one that only a counter above its container showed: that a pod lives says nothing of the container.
        """
        cgroup = self.tree.cgroups.get(kill.cgroup_path)
        if cgroup is None or (kill.boot_id, kill.cgroup_inode) != (self.boot_id, cgroup.inode):
            return None
        of_container = cgroup.place.kind is CgroupKind.CONTAINER
        return Outcome.SURVIVED if of_container and self.facts.lives(cgroup) else None


def _with_cgroup(report: OomReport) -> OomReport:
    if report.task_memcg is not None or report.group_memcg is not None:
        return report
    path = cgroup_of(report.victims[0].pid) if report.victims else None
    return report if path is None else replace(report, task_memcg=path)
