"""The node: all state of the agent and what each message does to it.

Takes pods, tree events, kernel reports and the passing of time; holds knobs through enforce, accounts kills through
attribute, tells through telling. Called by one thread only (loop.py); waits for nothing and starts nothing.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from math import inf

from agent.cgroup.files import CgroupError, CgroupFiles
from agent.cgroup.tree import TRACKED, Tree
from agent.diagnose.failing import Failing
from agent.events.outbox import Outbox
from agent.kernel.limits import is_first_pid_namespace
from agent.kernel.processes import cgroup_of, node_oom_kills
from agent.kills import Attribution, Findings
from agent.kills.recorder import Recorder
from agent.ledger import Ledger
from agent.loop.pods import Pods
from agent.loop.v1 import V1Counters
from agent.metrics.metrics import Metrics
from agent.model import (
    AgentError,
    Cgroup,
    CgroupAppeared,
    CgroupGone,
    CgroupKind,
    CgroupMissed,
    CountersTouched,
    EventDelivered,
    EventFailed,
    KnobTouched,
    MemoryEvents,
    Message,
    OomKill,
    OomReport,
    Outcome,
    PodChanged,
    PodDeleted,
    PodSkipped,
    PodsListed,
    Rules,
    ThreadDied,
    TreeEvent,
    TreeOverflowed,
    Vanished,
    WatchTrouble,
    WriteOutcome,
)
from agent.modes.consequences import Consequences
from agent.modes.controller import ModeController
from agent.modes.enforcer import Enforcer
from agent.modes.notices import ModeNotices
from agent.pods.lookup import Lookup
from agent.pods.registry import Registry
from agent.wording.logs import Once, log

logger = logging.getLogger("oomward")

TOLD_AFTER_S = 0.002  # microseconds as a rule; only where a full look finds something amiss
UNREADABLE_SAID_S = 600.0  # a control file that can't be read is counted each time, and said once in that time
COUNTED_KINDS = {  # on v1 parents' counters don't hold their children's
    "v1": (CgroupKind.CONTAINER,),
    "v2": (CgroupKind.CONTAINER, CgroupKind.POD, CgroupKind.KUBEPODS),
}


class Node:
    """State and reactions.

    ``between`` is called between the steps of everything long, so that its owner can have a glance at the tree: a container's
    start doesn't wait. ``v1`` follows cgroup v1's counters; None on v2, where the tree does.
    """

    def __init__(
        self,
        *,
        name: str,
        boot_id: str,
        rules: Rules,
        files: CgroupFiles,
        tree: Tree,
        ledger: Ledger,
        metrics: Metrics,
        enforcer: Enforcer,
        registry: Registry,
        recorder: Recorder,
        notices: ModeNotices,
        outbox: Outbox,
        consequences: Consequences,
        failing: Failing,
        kmsg: bool,
        announce_applied: bool,
        v1: V1Counters | None = None,
    ) -> None:
        self.name = name
        self._boot_id = boot_id
        self._tree = tree
        self._ledger = ledger
        self._metrics = metrics
        self._enforcer = enforcer
        self._registry = registry
        self._recorder = recorder
        self._outbox = outbox
        self._consequences = consequences
        self._failing = failing
        self._counted_kinds = COUNTED_KINDS[files.version]
        self._v1 = v1
        self._scanned = False
        self._resync_wanted = False  # notifications were lost: a full look follows at the end of the turn
        self._host_pids = is_first_pid_namespace() is True  # else a pid of the kernel's log is another process here
        self._said_of_ledger: str | None = None
        self._said_of_files = Once(UNREADABLE_SAID_S)
        self.between: Callable[[], None] = _nothing
        knobs: dict[str, int] = {}
        self.facts = Lookup(files, registry, lambda: tree.cgroups, knobs, self._unreadable)
        self._modes = ModeController(
            rules=rules,
            files=files,
            tree=tree,
            enforcer=enforcer,
            registry=registry,
            notices=notices,
            metrics=metrics,
            facts=self.facts,
            consequences=consequences,
            knobs=knobs,
            on_error=self._unreadable,
            announce_applied=announce_applied,
        )
        self._pods = Pods(registry, self._modes, ledger, failing, metrics)
        self.attribution = Attribution(
            boot_id, name, self.facts, ledger.baselines(), seen_this_boot=ledger.seen_this_boot, kmsg=kmsg
        )

    # ------------------------------------------------------------------------------------------------------- state

    def ready(self) -> tuple[bool, str]:
        """Whether the first list and the first scan are done, with a sentence for each."""
        listed = "pods listed" if self._registry.listed else "waiting for the API's first list of pods"
        scanned = "cgroups scanned" if self._scanned else "cgroups not scanned yet"
        kept = "ledger on disk" if self._ledger.persistent else "ledger in memory only"
        kept += f": {self._ledger.trouble}" if self._ledger.trouble else ""
        return self._registry.listed and self._scanned, f"{listed}\n{scanned}\n{kept}"

    def due_s(self) -> float | None:
        """When something waits for time alone."""
        if self._resync_wanted:
            return -inf
        times = (source.due_s() for source in (self.attribution, self._enforcer, self._outbox, self._consequences))
        return min((t for t in times if t is not None), default=None)

    # ----------------------------------------------------------------------------------------------------- messages

    def start(self, now_s: float) -> None:
        """The first scan: cgroups that were there before us."""
        self._count_node(now_s)
        self.tree_events(self._tree.scan(now_s), now_s, newborn=False, notified=False)
        self.attribution.ignore_earlier()
        self._forget_what_went()
        self._scanned = True
        self.after(now_s, None)
        self._look_at_ourselves()
        self._recorder.resume(self._outcome)
        self._outbox.refill()

    def _forget_what_went(self) -> None:
        """Cgroups that went while no agent ran."""
        self._recorder.findings(Findings(gone_inodes=tuple(self.attribution.forget_removed())), None)
        live = {cgroup.inode for cgroup in self._tree.cgroups.values()}
        for original in self._ledger.originals():
            if original.inode not in live:
                self._ledger.forget_original(original.inode)

    def message(self, message: Message, now_s: float) -> None:
        """One message of another thread."""
        match message:
            case PodsListed() | PodChanged() | PodDeleted() | PodSkipped() | WatchTrouble():
                self._pods.message(message, now_s, self.between)
            case EventDelivered():
                self._outbox.delivered(message)
            case EventFailed():
                self._outbox.failed(message)
            case ThreadDied():
                raise ThreadDiedError(message)

    def tree_events(
        self, events: Iterable[TreeEvent], now_s: float, *, newborn: bool = True, notified: bool = True
    ) -> None:
        """What the tree tells: knobs first, everything else after. ``newborn``: what appears was made while we watched,
        so its counters began at 0. ``notified``: the kernel told of it; else a scan found it.
        """
        told = tuple(events)
        for event in told:
            if isinstance(event, (KnobTouched, CgroupAppeared)):
                written = notified and isinstance(event, KnobTouched)
                self._modes.knob_touched(event.cgroup, event.at_monotonic_s, notified=written)
        for event in told:
            self.between()
            match event:
                case CgroupAppeared(cgroup):
                    self._appeared(cgroup, now_s, newborn=newborn)
                case CountersTouched(cgroup):
                    self._read_counters(cgroup, now_s)
                case CgroupGone(cgroup):
                    self._gone(cgroup, now_s)
                case CgroupMissed(place):
                    self.attribution.missed(place, now_s)
                case TreeOverflowed(why):
                    self._overflowed(why)

    def reports(self, reports: Iterable[OomReport], now_s: float) -> None:
        """What the kernel's log tells of kills. A report without its cgroup's line is asked of the dying process itself."""
        for report in reports:
            self.attribution.reported(_named_by_process(report) if self._host_pids else report, now_s)
        self._count_node(now_s)

    def log_lost(self, why: str) -> None:
        """The kernel's log can't be read any more."""
        self._metrics.kmsg_readable(False)
        self.attribution.log_lost()
        log(logger, logging.ERROR, f"{why}. Kills go on being counted; the names of their victims will be missing.")

    def log_found(self, now_s: float) -> None:
        """The kernel's log can be read, or read again."""
        self._metrics.kmsg_readable(True)
        self.attribution.log_found(now_s)
        log(logger, logging.INFO, "the kernel's log can be read: kills have the names of their victims again")

    def reload(self, rules: Rules, now_s: float) -> None:
        """New rules are in force."""
        self._modes.rules = rules
        for cgroup in self._modes.containers():
            self.between()
            self._modes.consider(cgroup, now_s)
        self._pods.rules_changed(self.between)

    def rules_refused(self, why: str) -> None:
        """A changed configuration that can't be used: the rules in force stay."""
        self._metrics.config_refused()
        log(logger, logging.ERROR, f"the changed configuration is refused, the rules in force stay: {why}")

    def after(self, now_s: float, kmsg_sequence: int | None) -> None:
        """The end of every turn: what is ripe is recorded and told. ``kmsg_sequence``: how far the log is done with."""
        if self._resync_wanted:
            self._resync_wanted = False
            self.resync(now_s)
        self._outbox.send_due()  # first: what this turn posts is sent in the next, when the ledger has it
        for held in self._enforcer.collect(now_s):
            self._modes.held(held, now_s)
        findings = self.attribution.collect(now_s)
        self._recorder.findings(findings, kmsg_sequence)
        self._modes.killed((*findings.kills, *findings.amended), now_s)
        self._consequences.collect(now_s)

    def resync(self, now_s: float) -> None:
        """The slow full look at everything. What it has to repair had escaped notice, and is counted.

        What changed a moment ago is told by a notification that waits behind us: it is heard before anything counts as missed.
        The kernel writes first and tells then (fs/read_write.c, vfs_write; fs/namei.c, vfs_mkdir), so where something is amiss
        it has TOLD_AFTER_S to do so.
        """
        began_s = time.monotonic()
        self.tree_events(self._tree.scan(now_s, self.between), now_s, notified=False)
        strays = self._enforcer.strays(self.between)
        if strays or self._tree.unnotified:
            time.sleep(TOLD_AFTER_S)
        self.tree_events(self._tree.read(now_s + time.monotonic() - began_s), now_s)
        repaired = len(self._tree.unnotified)
        for held in self._enforcer.resync(strays, now_s):
            repaired += held.write.outcome is WriteOutcome.WRITTEN
            self._modes.held(held, now_s)
        self._metrics.resynced(repaired)
        for cgroup in filter(self._counts, list(self._tree.cgroups.values())):
            self.between()
            self._read_counters(cgroup, now_s)
        self._count_node(now_s)

    def housekeeping(self, now_s: float) -> None:
        """Every some seconds: what may be dropped is dropped."""
        for uid in self._registry.forget_departed(now_s):
            self._ledger.forget_pod(uid)
            self._modes.forget_pod(uid)
        self._count_node(now_s)
        for root in self._tree.roots:
            if self._counts(root):
                self._read_counters(root, now_s)  # that no limit was hit for long is known only of what is read
        self._failing.look(now_s, self.between)
        self._ledger.forget_totals(self._metrics.drop_stale(now_s, self.between))
        self._look_at_ourselves()

    def _look_at_ourselves(self) -> None:
        """Our own state as metrics, and what is wrong with the disk when that changes."""
        self._metrics.inotify_watches(self._tree.watches)
        self._metrics.ancestor_conflicts(self._modes.ancestor_conflicts())
        counts = Counter(cgroup.place.kind for cgroup in self._tree.cgroups.values())
        for kind in TRACKED:
            self._metrics.cgroups(kind, counts[kind])
        self._metrics.ledger_persistent(self._ledger.persistent)
        if self._ledger.trouble != self._said_of_ledger:
            self._said_of_ledger = self._ledger.trouble
            log(logger, logging.WARNING, self._ledger.trouble or "the ledger can be written again")

    # ------------------------------------------------------------------------------------------------------ cgroups

    def _appeared(self, cgroup: Cgroup, now_s: float, *, newborn: bool) -> None:
        if self._tree.cgroups.get(cgroup.path) != cgroup:
            return  # it went meanwhile, and that was told already
        if self._v1 is not None:
            self._v1.follow(cgroup)  # before the first reading, so that no kill falls in between
        if self._counts(cgroup):
            reading = self.facts.counters(cgroup)
            if not isinstance(reading, Vanished):
                self.attribution.appeared(cgroup, reading, now_s, newborn=newborn)

    def _counts(self, cgroup: Cgroup) -> bool:
        """Whether its counters are of interest. Below a container they are not: it holds them, or they are added up."""
        return cgroup.place.kind in self._counted_kinds

    def _gone(self, cgroup: Cgroup, now_s: float) -> None:
        if self._v1 is not None:
            self._v1.forget(cgroup)
        self.attribution.removed(cgroup, now_s)
        self._modes.gone(cgroup)
        self.facts.forget(cgroup)

    def _overflowed(self, why: str) -> None:
        """Not at once: it may be a full look that is under way which comes upon it."""
        self._metrics.inotify_overflow()
        log(logger, logging.WARNING, why)
        self._resync_wanted = True

    def _read_counters(self, cgroup: Cgroup, now_s: float) -> None:
        reading = self.facts.counters(cgroup)
        if isinstance(reading, MemoryEvents):
            self.attribution.counted(cgroup, reading, now_s)

    def _count_node(self, now_s: float) -> None:
        total = node_oom_kills()
        if total is not None:
            self.attribution.counted_node(total, now_s)

    def _unreadable(self, error: CgroupError) -> None:
        self._metrics.cgroup_error()
        if (left_out := self._said_of_files.due(str(error))) is not None:
            more = f" ({left_out} times more since this was last said)" if left_out else ""
            log(logger, logging.WARNING, f"{error}{more}")

    # -------------------------------------------------------------------------------------------------------- small

    def _outcome(self, kill: OomKill) -> Outcome:
        """By what there is to see now of a kill's container."""
        cgroup = self._tree.cgroups.get(kill.cgroup_path)
        same = cgroup is not None and (kill.boot_id, kill.cgroup_inode) == (self._boot_id, cgroup.inode)
        lives = cgroup is not None and same and self.facts.lives(cgroup)
        return Outcome.SURVIVED if lives else Outcome.DIED


class ThreadDiedError(AgentError):
    """A thread ended that the agent can't do without."""

    def __init__(self, message: ThreadDied) -> None:
        super().__init__(
            f"{message.thread} ended: {message.why}. The agent ends too, so that the kubelet starts it anew."
        )


def _nothing() -> None:
    """Nobody wants a glance."""


def _named_by_process(report: OomReport) -> OomReport:
    if report.task_memcg is not None or report.group_memcg is not None:
        return report
    path = cgroup_of(report.victims[0].pid) if report.victims else None
    return report if path is None else replace(report, task_memcg=path)
