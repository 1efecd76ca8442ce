"""The node: hands each message, tree event and timer to the room that it concerns. Called by the loop's thread only; never waits."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from math import inf

from agent import model
from agent.cgroup.tree import TRACKED, Tree
from agent.events.outbox import Outbox
from agent.kills import Findings
from agent.kills.pending_reports import KEEP_S
from agent.ledger import Ledger
from agent.loop.kills import Kills
from agent.loop.pods import Pods
from agent.loop.runtime import Runtime
from agent.metrics.metrics import Metrics
from agent.modes.controller import ModeController
from agent.modes.kept import decided_again
from agent.pods.state import NodeState
from agent.pressure.following import Pressure
from agent.wording.logs import Once, log

logger = logging.getLogger("oomward")

SKIPPED_SAID_S = 86400.0  # of one object
RESYNC_AGAIN_S = 30.0  # while something can't be watched, read or written, as without a free descriptor: then twice as long each time
# Kills before a start that may still get their reports: those that are older are not given again (log_reader.Recorded).
EARLIER_KILLS_S = KEEP_S + 2.0
NOTIFIED_AFTER_S = 0.002  # usually microseconds; waited only if a full resync finds a difference


class ThreadDiedError(model.AgentError):
    """A thread ended that the agent needs."""


@dataclass(eq=False)
class Node:
    """``between`` is called between the steps of everything long: the loop drains inotify, so that no container's start waits.

    ``look_for_runtime`` is called now and then: its NRI socket may have appeared.
    """

    tree: Tree
    ledger: Ledger
    metrics: Metrics
    outbox: Outbox
    modes: ModeController
    kills: Kills
    pods: Pods
    runtime: Runtime
    pressure: Pressure
    between: Callable[[], None] = lambda: None
    look_for_runtime: Callable[[], None] = lambda: None
    _scanned: bool = field(default=False, init=False)
    _resync_due: bool = field(default=False, init=False)  # notifications were lost: resync at the end of the turn
    _said: Once = field(default_factory=lambda: Once(SKIPPED_SAID_S), init=False)
    _again_s: float = field(default=RESYNC_AGAIN_S, init=False)
    _failing_since_s: float | None = field(default=None, init=False)
    _ledger_trouble: str | None = field(default=None, init=False)

    def ready(self) -> tuple[bool, str]:
        listed = self.pods.registry.listed
        ledger = "ledger on disk" if self.ledger.persistent else "ledger in memory only"
        wrong_name = self.pods.name.wrong
        lines = (
            wrong_name or ("pods listed" if listed else "waiting for the API's first list of pods"),
            "cgroups scanned" if self._scanned else "cgroups not scanned yet",
            f"{ledger}: {self.ledger.trouble}" if self.ledger.trouble else ledger,
        )
        asked, line = self.runtime.ready()
        ready = listed and self._scanned and asked and wrong_name is None
        return ready, "\n".join((*lines, line) if line else lines)

    def due_s(self) -> float | None:
        """Monotonic time at which something is to be done without any message; None: never."""
        if self._resync_due:
            return -inf
        sources = (
            self.kills.attribution,
            self.kills.recorder,
            self.modes.enforcer,
            self.outbox,
            self.modes.consequences.restarts,
            self.pressure,
        )
        return min((t for source in sources if (t := source.due_s()) is not None), default=None)

    # ----------------------------------------------------------------------------------------------------- messages

    def start(self, now_s: float) -> None:
        """The first scan finds the cgroups that were there before us; others were removed while the agent was down."""
        self.metrics.config_loaded(time.time())
        self.kills.attribution.was_away(now_s)
        self.kills.attribution.resume(self.ledger.last_kills(EARLIER_KILLS_S, time.time()), now_s)
        self.kills.count_node(now_s)
        self.tree_events(self.tree.scan(now_s), now_s, newborn=False, notified=False)
        self.kills.attribution.ignore_earlier()
        self.kills.recorder.findings(Findings(gone_inodes=tuple(self.kills.attribution.forget_removed())), None)
        live = {cgroup.inode for cgroup in self.tree.cgroups.values()}
        for original in self.ledger.originals():
            if original.inode not in live:
                self.ledger.forget_original(original.inode)
        self._scanned = True
        self.kills.recorder.resume(self.kills.outcome_now)  # first: the kills that are recorded next are settled later
        self.after(now_s, None)
        self._show_state()
        self.outbox.refill()

    def message(self, message: model.Message, now_s: float) -> None:
        """One message of another thread. Raises ThreadDiedError."""
        match message:
            case model.PodsListed():
                self.pods.listed(message, now_s, self.between)
                self.kills.name_earlier()
            case model.PodChanged():
                self.pods.changed(message, now_s, self.between)
                self.kills.name_earlier()
            case model.PodDeleted(uid):
                self.pods.left(uid, now_s)
            case model.PodSkipped(what, why, number):
                self.metrics.pods_skipped.inc(number)
                if self._said.due(what) is not None:
                    log(logger, logging.WARNING, f"{what} could not be read and is left as it was: {why}")
            case model.WatchTrouble():
                self.pods.trouble(message)
            case model.EventDelivered():
                self.outbox.delivered(message)
            case model.EventFailed():
                self.outbox.failed(message)
            case model.StateAsked(answer):
                answer(NodeState(dict(self.tree.cgroups), self.pods.registry.listed_copy(), self.modes.rules))
            case model.ThreadDied():
                why = f"{message.thread} ended: {message.why}. The agent ends too, so that the kubelet starts it again."
                raise ThreadDiedError(why)
            case _:
                self.runtime.message(message, now_s, self.between)

    def tree_events(
        self, events: Iterable[model.TreeEvent], now_s: float, *, newborn: bool = True, notified: bool = True
    ) -> None:
        """Changes of cgroups: memory.oom.group first, everything else after. ``newborn``: cgroups that appear were created while
        we watched, so their counters began at 0. ``notified``: the kernel sent notifications; else a scan found the changes.
        """
        events = tuple(events)
        for event in events:
            if isinstance(event, (model.OomGroupTouched, model.CgroupAppeared)):
                written = notified and isinstance(event, model.OomGroupTouched)
                self.modes.oom_group_touched(event.cgroup, event.at_monotonic_s, notified=written)
        for event in events:
            self.between()
            match event:
                case model.CgroupAppeared(cgroup):
                    self.kills.appeared(cgroup, now_s, newborn=newborn)
                case model.CountersTouched(cgroup):
                    self.kills.read(cgroup, now_s)
                case model.CgroupGone(cgroup):
                    self.kills.gone(cgroup, now_s)
                    self.modes.gone(cgroup)
                    self.pressure.gone(cgroup, now_s)
                case model.CgroupMissed(place):
                    self.kills.attribution.missed(place, now_s)
                case model.TreeOverflowed(why):
                    self.metrics.inotify_overflows.inc()
                    log(logger, logging.WARNING, why)
                    self._resync_due = True  # not now: this may be within a resync

    def reload(self, rules: model.Rules, now_s: float) -> None:
        self.modes.rules = rules
        self.pods.registry.decide_again(partial(decided_again, rules=rules))
        for cgroup in self.modes.containers():
            self.between()
            self.modes.consider(cgroup, now_s)
        for pod in self.pods.registry.pods.values():  # labels and annotations may be obeyed now, or no longer
            self.between()
            self.modes.check_settings(pod)
            self.pods.keep_decisions(pod)

    # ------------------------------------------------------------------------------------------------------- timers

    def after(self, now_s: float, kmsg_sequence: int | None) -> None:
        """The end of every turn: what is due is done. ``kmsg_sequence``: how far the kernel's log need not be read again."""
        if self._resync_due:
            self._resync_due = False
            self.resync(now_s)
        self.outbox.send_due()  # first: what this turn posts is sent in the next, when the ledger has it
        for attempt in self.modes.enforcer.collect(now_s):
            self.modes.attempted(attempt, now_s)
        self.modes.killed(self.kills.record(now_s, kmsg_sequence), now_s)
        self.pressure.collect(now_s)
        self.modes.consequences.restarts.collect(now_s)

    def resync(self, now_s: float) -> None:
        """Compare everything, and correct and count the differences that no notification reported.

        What changed just now may have a notification that waits behind us, so notifications are read before a difference counts.
        The kernel changes first and notifies then (fs/read_write.c, vfs_write; fs/namei.c, vfs_mkdir), so if there is a
        difference it gets NOTIFIED_AFTER_S to do so.
        """
        began_s = time.monotonic()
        self.tree_events(self.tree.scan(now_s, self.between), now_s, notified=False)
        deviating = self.modes.enforcer.deviating(self.between)
        if deviating or self.tree.unnotified:
            time.sleep(NOTIFIED_AFTER_S)
        self.tree_events(self.tree.read(now_s + time.monotonic() - began_s), now_s)
        corrected = len(self.tree.unnotified)
        for attempt in self.modes.enforcer.resync(deviating, now_s):
            corrected += attempt.write.outcome is model.WriteOutcome.WRITTEN
            self.modes.attempted(attempt, now_s)
        self.metrics.resyncs.inc()
        self.metrics.resync_corrections.inc(corrected)
        self.kills.read_all(self.tree.cgroups.values(), now_s, self.between)

    def housekeeping(self, now_s: float) -> None:
        """Drop what is not needed any more, and read the roots: that no limit was hit for long is known only of what is read."""
        self._retry(now_s)
        self.kills.read_all(self.tree.roots, now_s, self.between)
        self.kills.look_ahead(now_s, self.between)
        self.pods.housekeeping(now_s, self.between)
        self.pressure.housekeeping(now_s)
        self.look_for_runtime()
        self._show_state()

    def _retry(self, now_s: float) -> None:
        """What could not be watched, read or written is tried again, long before the next full resync."""
        if not (self.tree.failing or self.modes.enforcer.failing):
            self._again_s, self._failing_since_s = RESYNC_AGAIN_S, None
        elif self._failing_since_s is None or now_s - self._failing_since_s >= self._again_s:
            self._again_s = RESYNC_AGAIN_S if self._failing_since_s is None else 2 * self._again_s
            self._failing_since_s = now_s
            self.resync(now_s)

    def _show_state(self) -> None:
        """The agent's own state as metrics, and the ledger's trouble in the log when it changes."""
        self.metrics.inotify_watches.set(self.tree.watches)
        self.metrics.ancestor_conflicts.set(self.modes.ancestor_conflicts())
        self.metrics.oom_policy_conflicts.set(self.modes.oom_policy_conflicts(self.between))
        counts = Counter(cgroup.place.kind for cgroup in self.tree.cgroups.values())
        for kind in TRACKED:
            self.metrics.cgroups.labels(kind).set(counts[kind])
        self.metrics.ledger_persistent.set(self.ledger.persistent and not self.ledger.failing)
        if self.ledger.trouble != self._ledger_trouble:
            self._ledger_trouble = self.ledger.trouble
            log(logger, logging.WARNING, self.ledger.trouble or "the ledger can be written again")
