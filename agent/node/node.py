"""The node: all state of the agent and what each message does to it.

Takes pods, tree events, kernel reports and the passing of time; holds knobs through enforce, accounts kills through
attribute, tells through telling. Called by one thread only (loop.py); waits for nothing and starts nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import replace

from agent.attribute import Attributor
from agent.cgroup.files import CgroupError, CgroupFiles
from agent.cgroup.tree import Tree
from agent.enforce import Enforcer, Held, Why
from agent.kernel.processes import cgroup_of, node_oom_kills
from agent.ledger import Ledger
from agent.model import (
    AgentError,
    Cgroup,
    CgroupAppeared,
    CgroupGone,
    CgroupKind,
    CountersTouched,
    EventDelivered,
    KeptDecision,
    KnobTouched,
    MemoryEvents,
    Message,
    Mode,
    OomReport,
    Outcome,
    Pod,
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
from agent.node.facts import NodeFacts
from agent.node.roster import Roster
from agent.node.telling import Teller
from agent.node.wishes import Wish, knobs_of, wish_for
from agent.policy import bad_wishes
from agent.report import wording
from agent.report.logs import log
from agent.report.metrics import Metrics

logger = logging.getLogger("oomward")

COUNTED_KINDS = (CgroupKind.CONTAINER, CgroupKind.POD, CgroupKind.KUBEPODS)


class Node:
    """State and reactions. ``hierarchical``: parents' counters hold their children's (v2, not mounted memory_localevents)."""

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
        roster: Roster,
        teller: Teller,
        hierarchical: bool,
        kmsg: bool,
        announce_applied: bool,
    ) -> None:
        self.name = name
        self._rules = rules
        self._files = files
        self._tree = tree
        self._ledger = ledger
        self._metrics = metrics
        self._enforcer = enforcer
        self._roster = roster
        self._teller = teller
        self._hierarchical = hierarchical
        self._announce_applied = announce_applied
        self._knobs: dict[str, int] = {}
        self._wishes: dict[int, Wish] = {}
        self._told: set[tuple[str, ...]] = set()
        self._scanned = False
        self.facts = NodeFacts(files, roster, lambda: tree.cgroups, self._knobs, self._unreadable)
        self.attributor = Attributor(
            boot_id, name, self.facts, ledger.baselines(), seen_this_boot=ledger.seen_this_boot, kmsg=kmsg
        )

    # ------------------------------------------------------------------------------------------------------- state

    def ready(self) -> tuple[bool, str]:
        """Whether the first list and the first scan are done, with a sentence for each."""
        listed = "pods listed" if self._roster.listed else "waiting for the API's first list of pods"
        scanned = "cgroups scanned" if self._scanned else "cgroups not scanned yet"
        kept = "ledger on disk" if self._ledger.persistent else f"ledger in memory only: {self._ledger.trouble}"
        return self._roster.listed and self._scanned, f"{listed}\n{scanned}\n{kept}"

    def due_s(self) -> float | None:
        """When something waits for time alone."""
        times = [t for t in (self.attributor.due_s(), self._enforcer.due_s()) if t is not None]
        return min(times, default=None)

    # ----------------------------------------------------------------------------------------------------- messages

    def start(self, now_s: float) -> None:
        """The first scan: cgroups that were there before us."""
        self._count_node(now_s)
        self.tree_events(self._tree.scan(now_s), now_s, newborn=False)
        self.attributor.absorb()
        self._scanned = True
        self.after(now_s, None)
        self._resume_unsettled()
        self._teller.resume(self._ledger.undelivered())

    def message(self, message: Message, now_s: float) -> None:
        """One message of another thread."""
        match message:
            case PodsListed():
                for uid in self._roster.replace(message.pods, message.skipped, now_s):
                    self._pod_left(uid, now_s)
                for pod in message.pods:
                    self._pod_told(pod, now_s)
            case PodChanged(pod):
                self._roster.put(pod)
                self._pod_told(pod, now_s)
            case PodDeleted(uid):
                self._roster.depart(uid, now_s)
                self._pod_left(uid, now_s)
            case PodSkipped(what, why):
                self._metrics.pod_skipped()
                log(logger, logging.WARNING, f"{what} could not be read and is left as it was: {why}")
            case WatchTrouble(reason, detail):
                self._metrics.watch_restart(reason)
                if detail:
                    log(
                        logger,
                        logging.DEBUG if reason in ("timeout", "relist") else logging.WARNING,
                        detail,
                        reason=reason,
                    )
            case EventDelivered():
                self._teller.delivered(message)
            case ThreadDied():
                raise ThreadDiedError(message)

    def tree_events(self, events: Iterable[TreeEvent], now_s: float, *, newborn: bool = True) -> None:
        """What the tree tells. ``newborn``: a cgroup that appears was made while we watched, so its counters began at 0."""
        for event in events:
            match event:
                case KnobTouched(cgroup, at_s):
                    self._knob_touched(cgroup, at_s)
                case CgroupAppeared(cgroup):
                    self._appeared(cgroup, now_s, newborn=newborn)
                case CountersTouched(cgroup):
                    self._read_counters(cgroup, now_s)
                case CgroupGone(cgroup):
                    self._gone(cgroup, now_s)
                case TreeOverflowed(why):
                    self._overflowed(why, now_s)

    def reports(self, reports: Iterable[OomReport], now_s: float) -> None:
        """What the kernel's log tells of kills. A report without its cgroup's line is asked of the dying process itself."""
        for report in reports:
            self.attributor.reported(_named_by_process(report), now_s)
        self._count_node(now_s)

    def reload(self, rules: Rules, now_s: float) -> None:
        """New rules are in force."""
        self._rules = rules
        for cgroup in self._containers():
            self._consider(cgroup, now_s)

    def rules_refused(self, why: str) -> None:
        """A changed configuration that can't be used: the rules in force stay."""
        self._metrics.config_refused()
        log(logger, logging.ERROR, f"the changed configuration is refused, the rules in force stay: {why}")

    def after(self, now_s: float, kmsg_sequence: int | None) -> None:
        """The end of every turn: what is ripe is recorded and told. ``kmsg_sequence``: how far the log is done with."""
        for held in self._enforcer.collect(now_s):
            self._held(held, now_s)
        self._teller.findings(self.attributor.collect(now_s), kmsg_sequence)

    def resync(self, now_s: float) -> None:
        """The slow full look at everything. What it has to repair had escaped notice, and is counted."""
        missed = self._tree.scan(now_s)
        self.tree_events(missed, now_s)
        repaired = len(missed)
        for held in self._enforcer.resync(now_s):
            repaired += held.write.outcome is WriteOutcome.WRITTEN
            self._held(held, now_s)
        if repaired:
            self._metrics.resync_repairs(repaired)
        for cgroup in list(self._tree.cgroups.values()):
            self._read_counters(cgroup, now_s)
        self._count_node(now_s)

    def housekeeping(self, now_s: float) -> None:
        """Every some seconds: what may be dropped is dropped."""
        for uid in self._roster.forget_departed(now_s):
            self._ledger.forget_pod(uid)
            self._told = {key for key in self._told if key[0] != uid}
        self._count_node(now_s)
        self._metrics.drop_stale(now_s)

    # --------------------------------------------------------------------------------------------------------- pods

    def _pod_told(self, pod: Pod, now_s: float) -> None:
        self._roster.drop_kept(pod.cgroup_key)
        for wish in bad_wishes(pod, self._rules):
            if self._first_time(pod.uid, "invalid", wish.key, wish.value):
                self._teller.invalid(pod, wish)
        for cgroup in self._containers(pod.cgroup_key):
            self._consider(cgroup, now_s)
        self._keep(pod)

    def _pod_left(self, uid: str, now_s: float) -> None:
        pod = self._roster.pods.get(uid)
        if pod is not None:
            for container in pod.containers:
                self._metrics.container_gone(pod.namespace, pod.name, container.name, now_s)

    def _keep(self, pod: Pod) -> None:
        wishes = [(c, w) for c in self._containers(pod.cgroup_key) if (w := self._wishes.get(c.inode)) is not None]
        kept = [
            KeptDecision(
                pod.uid,
                pod.cgroup_key,
                pod.namespace,
                pod.name,
                w.container,
                c.place.container_id,
                w.decision.mode,
                w.decision.rule,
            )
            for c, w in wishes
            if w.decision.mode is not None and w.container is not None
        ]
        if kept or not wishes:
            self._ledger.keep_decisions(pod.uid, kept)

    # ------------------------------------------------------------------------------------------------------ cgroups

    def _containers(self, pod_key: str | None = None) -> list[Cgroup]:
        found = (c for c in self._tree.cgroups.values() if c.place.kind is CgroupKind.CONTAINER)
        return [c for c in found if pod_key is None or c.place.pod_key == pod_key]

    def _container_cgroup(self, cgroup: Cgroup) -> Cgroup | None:
        """The container that this cgroup is, or the child of."""
        path = self.facts.container_path(cgroup.path)
        return self._tree.cgroups.get(path) if path is not None else None

    def _appeared(self, cgroup: Cgroup, now_s: float, *, newborn: bool) -> None:
        kind = cgroup.place.kind
        if kind is CgroupKind.CONTAINER or (self._hierarchical and kind in COUNTED_KINDS):
            reading = self.facts.counters(cgroup)
            if not isinstance(reading, Vanished):
                self.attributor.appeared(cgroup, reading, now_s, newborn=newborn)
        self._knob_touched(cgroup, now_s)

    def _gone(self, cgroup: Cgroup, now_s: float) -> None:
        self.attributor.gone(cgroup, now_s)
        self._enforcer.gone(cgroup)
        self.facts.forget(cgroup)
        self._knobs.pop(cgroup.path, None)
        self._wishes.pop(cgroup.inode, None)

    def _overflowed(self, why: str, now_s: float) -> None:
        self._metrics.inotify_overflow()
        log(logger, logging.WARNING, why)
        self.resync(now_s)

    def _read_counters(self, cgroup: Cgroup, now_s: float) -> None:
        reading = self.facts.counters(cgroup)
        if isinstance(reading, MemoryEvents):
            self.attributor.counted(cgroup, reading, now_s)

    def _count_node(self, now_s: float) -> None:
        total = node_oom_kills()
        if total is not None:
            self.attributor.counted_node(total, now_s)

    def _unreadable(self, error: CgroupError) -> None:
        self._metrics.cgroup_error()
        log(logger, logging.WARNING, str(error))

    # -------------------------------------------------------------------------------------------------------- knobs

    def _knob_touched(self, cgroup: Cgroup, at_s: float) -> None:
        """The hot path: from another's write to ours with nothing in between that can wait."""
        if self._enforcer.wanted(cgroup) is not None:
            held = self._enforcer.touched(cgroup, at_s)
            if held is not None:
                self._held(held, at_s)
            return
        value = self._read_knob(cgroup)
        container = self._container_cgroup(cgroup)
        if container is not None:
            self._consider(container, at_s)
        elif value:
            self._warn_of_ancestor(cgroup)

    def _read_knob(self, cgroup: Cgroup) -> int | None:
        try:
            value = self._files.read_oom_group(cgroup)
        except CgroupError as error:
            self._unreadable(error)
            return None
        if isinstance(value, Vanished):
            return None
        self._knobs[cgroup.path] = value
        return value

    def _consider(self, container: Cgroup, now_s: float) -> None:
        """Decide the container's mode and see to it."""
        wish = wish_for(container, self._roster, self._rules, self.facts.limit_bytes(container.path))
        self._wishes[container.inode] = wish
        child = self._tree.cgroups.get(f"{container.path}/container")
        mode = wish.decision.mode
        wanted = knobs_of(container, child, mode) if mode is not None and self._can_hold(wish) else {}
        for cgroup in {container, child or container}:
            held = (
                self._enforcer.hold(cgroup, wanted[cgroup], wish.pod_uid or "", now_s)
                if cgroup in wanted
                else self._enforcer.release(cgroup)
            )
            if held is not None:
                self._held(held, now_s)
        if wish.container is not None:
            self._named(container, wish)

    def _can_hold(self, wish: Wish) -> bool:
        if self._files.version == "v2":
            return True
        pod = self._roster.pods.get(wish.pod_uid or "")
        if (
            wish.decision.mode is Mode.GROUP
            and pod
            and wish.container
            and self._first_time(pod.uid, "v1", wish.container)
        ):
            self._teller.failed(pod, wording.group_on_v1_note(wish.container), f"v1-{wish.container}")
        return False

    def _named(self, container: Cgroup, wish: Wish) -> None:
        """A container whose name is known: its metrics begin, its init is remembered, its mode is announced once."""
        pod = self._roster.pods.get(wish.pod_uid or "")
        if pod is None or wish.container is None:
            return
        self.facts.learn_init(container)
        in_force = self.facts.mode(container)
        mode = wish.decision.mode
        self._metrics.container_running(pod.namespace, pod.name, wish.container, in_force)
        if in_force is not None:
            wanted = None if mode is None else mode.oom_group
            self._metrics.oom_group(pod.namespace, pod.name, wish.container, in_force.oom_group, wanted)
        announced = self._announce_applied and mode is not None and in_force is mode
        if announced and mode is not None and self._first_time(pod.uid, "applied", str(container.inode), mode.value):
            self._teller.applied(pod, wish.container, mode, container.inode, wish.decision.why)

    def _held(self, held: Held, at_s: float) -> None:
        """One attempt at a knob, counted and, where it failed, told."""
        outcome = held.write.outcome
        self._teller.write(held.write)
        if outcome in (WriteOutcome.WRITTEN, WriteOutcome.ALREADY):
            self._knobs[held.cgroup.path] = held.write.wanted
        else:
            self._show_what_is(held.cgroup)
        if outcome is WriteOutcome.WRITTEN:
            self._metrics.write_latency(max(0.0, time.monotonic() - at_s))
            if held.why is Why.DRIFT:
                self._metrics.drift_repair()
        failed = outcome in (WriteOutcome.DENIED, WriteOutcome.UNSUPPORTED)
        pod = self._roster.pod_of(held.cgroup.place)
        if pod is not None and failed and self._first_time(pod.uid, "write", held.cgroup.path, outcome.value):
            self._teller.failed(pod, wording.mode_failed_note(held.cgroup.path, held.write.detail), held.cgroup.path)
        if pod is not None and held.fight_began:
            self._metrics.fight()
            self._teller.failed(pod, wording.fight_note(held.cgroup.path), f"fight-{held.cgroup.inode}-{int(at_s)}")

    def _show_what_is(self, cgroup: Cgroup) -> None:
        """A write that came to nothing: what the knob says now is what the metrics shall say."""
        self._read_knob(cgroup)
        container = self._container_cgroup(cgroup)
        wish = self._wishes.get(container.inode) if container is not None else None
        if container is not None and wish is not None:
            self._named(container, wish)

    def _warn_of_ancestor(self, cgroup: Cgroup) -> None:
        """A 1 above a container makes its 0 useless when the limit hit is at or above that level."""
        for container in self._containers():
            pod = self._roster.pod_of(container.place)
            below = container.path.startswith(cgroup.path + "/")
            if pod is None or not below or self._enforcer.wanted(container) != 0:
                continue
            if self._first_time(pod.uid, "ancestor", cgroup.path):
                self._metrics.ancestor_conflict()
                self._teller.failed(pod, wording.ancestor_note(cgroup.path), f"ancestor-{cgroup.path}")

    # -------------------------------------------------------------------------------------------------------- small

    def _first_time(self, *key: str) -> bool:
        if key in self._told:
            return False
        self._told.add(key)
        return True

    def _resume_unsettled(self) -> None:
        """Kills that were recorded before a restart and whose outcome nobody saw: what there is to see now decides."""
        for kill in self._ledger.unsettled():
            cgroup = self._tree.cgroups.get(kill.cgroup_path)
            same = cgroup is not None and f"-{cgroup.inode}-" in kill.kill_id
            lives = cgroup is not None and same and self.facts.lives(cgroup)
            self._teller.settled(replace(kill, outcome=Outcome.SURVIVED if lives else Outcome.DIED))


class ThreadDiedError(AgentError):
    """A thread ended that the agent can't do without."""

    def __init__(self, message: ThreadDied) -> None:
        super().__init__(
            f"{message.thread} ended: {message.why}. The agent ends too, so that the kubelet starts it anew."
        )


def _named_by_process(report: OomReport) -> OomReport:
    if report.task_memcg is not None or report.group_memcg is not None:
        return report
    path = cgroup_of(report.victims[0].pid) if report.victims else None
    return report if path is None else replace(report, task_memcg=path)
