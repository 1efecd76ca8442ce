"""The loop: one epoll over inotify, the kernel's log, the mailbox and time; it calls the Node.

Enforcement first: every turn reads the tree before anything that may take longer, and drains inotify between the steps of that.
A kill can wait: the kernel finishes its own work first. Sleeps when nothing happens.
"""

from __future__ import annotations

import gc
import logging
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf

from agent.ledger.store import MOST_WAIT_S
from agent.loop.log_reader import LogReader
from agent.loop.mailbox import Mailbox
from agent.loop.node import Node
from agent.loop.realtime import RealTime
from agent.loop.waiting import Waiting
from agent.model import CountersTouched, OomReport, TreeEvent
from agent.settings import RulesFile, Settings, SettingsError

logger = logging.getLogger("oomward")

HOUSEKEEPING_S = 40.0  # the one wake-up of an idle loop, besides the full resync
RETRY_S = 10.0  # after the disk refused a write
PRUNE_ROWS = 100  # of a table per turn
UNSAVED_RECORDS = 500  # the kernel's log has room for more, so that none counts as lost after a kill -9
LOG_TURNS = 8  # of several reports, each some turns long, until the rest of a turn is done as well
DRAIN_EVERY_S = 0.001  # a container's start may wait that long for other work of ours, and then for one step of it
# With real-time priority (realtime.py) we run before the thread that kills and prints line by line if there is but one processor,
# and before the process that dies: while its memory isn't free, a smaller one may be killed as well.
AFTER_THE_KERNEL_S = 0.005 if len(os.sched_getaffinity(0)) == 1 else 0.001
STUCK_S = 60.0  # after that long without a turn /healthz fails


@dataclass(eq=False)
class Loop:
    """Runs until ``stop``. None: there is no ``rules`` file to watch; without ``real_time`` the scheduler is left alone."""

    _node: Node
    _log: LogReader
    _mailbox: Mailbox
    _rules: RulesFile | None
    _settings: Settings
    _real_time: RealTime | None = None
    _waiting: Waiting = field(default_factory=Waiting)
    last_beat_monotonic_s: float = field(default_factory=time.monotonic, init=False)
    _housekeeping_at: float = field(default=0.0, init=False)
    _resync_at: float = field(default=0.0, init=False)
    _counted: dict[int, CountersTouched] = field(default_factory=dict, init=False)
    _counted_at_s: float = field(default=inf, init=False)  # when their counters are to be read
    _retry_at_s: float = field(default=inf, init=False)  # when the ledger is to try the disk again
    _log_at_s: float = field(default=inf, init=False)  # when the log is to be read; until then it doesn't wake us
    _reports_since_saved: bool = field(default=False, init=False)
    _drained_at_s: float = field(default=0.0, init=False)
    _log_turns: int = field(default=0, init=False)  # one after the other that only read a part of a report
    _more_to_prune: bool = field(default=False, init=False)
    _frozen: bool = field(default=False, init=False)
    _stopping: bool = field(default=False, init=False)
    _continued: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._node.between = self._drain

    def stop(self) -> None:
        """End after this turn; safe in a signal handler."""
        self._stopping = True
        self._mailbox.wake()

    def continued(self) -> None:
        """The process was stopped (SIGSTOP) until now; safe in a signal handler."""
        self._continued = True
        self._mailbox.wake()

    def run(self) -> None:
        """The turns. An exception here ends the process: a blind agent is worse than none."""
        now = time.monotonic()
        self._node.start(now)
        self._node.ledger.commit()
        self._housekeeping_at = now + HOUSEKEEPING_S
        self._resync_at = now + self._settings.resync_interval_s
        kills = self._node.kills
        for source in (self._node.tree, self._mailbox, self._log, kills.v1, kills.v1_pressure):
            if source is not None and (descriptor := source.fileno()) is not None:
                self._waiting.register(descriptor)
        while not self._stopping:
            seconds = self._wait_s()
            self._node.kills.before_wait(seconds)
            woken_by = self._waiting.wait(seconds)
            now = time.monotonic()
            self._node.pressure.signalled(woken_by, now)
            self._turn(now, self._log.fileno() in woken_by)
        self._node.ledger.record((), (), self._position())

    def _wait_s(self) -> float:
        if self._log.more or self._more_to_prune:
            return 0.0
        times = [self._housekeeping_at, self._resync_at, self._retry_at_s, self._counted_at_s, self._log_at_s]
        log = self._log if self._log_at_s == inf else None  # else even an open report waits for that time
        kills = self._node.kills
        sources = [source for source in (self._node, log, kills.v1, kills.v1_pressure) if source is not None]
        times += [t for source in sources if (t := source.due_s()) is not None]
        return max(0.0, min(times) - time.monotonic())

    def _drain(self) -> None:
        """Read inotify between two steps of something long; not from within itself."""
        now = time.monotonic()
        if now - self._drained_at_s < DRAIN_EVERY_S:
            return
        self._drained_at_s = inf
        try:
            self._handle(self._node.tree.read(now), now)
        finally:
            self._drained_at_s = time.monotonic()

    def _handle(self, events: Iterable[TreeEvent], now: float) -> None:
        """Counters are read after the kernel's work on the kill; processes before it, and everything else is handled now, too."""
        counted = {event.cgroup.inode: event for event in events if isinstance(event, CountersTouched)}
        for event in counted.values():
            self._node.kills.touched(event.cgroup, now)
        if counted:
            self._counted |= counted
            self._counted_at_s = min(self._counted_at_s, now + AFTER_THE_KERNEL_S)
        self._node.tree_events([event for event in events if not isinstance(event, CountersTouched)], now)

    def _turn(self, now: float, log: bool = False) -> None:
        """``log``: the kernel's log woke the loop."""
        self.last_beat_monotonic_s = now
        self._note_stop(now)
        self._handle(self._node.tree.read(now), now)
        if self._node.kills.v1 is not None:
            self._handle(self._node.kills.signalled(now), now)
            self._node.kills.under_pressure(now)
        if now >= self._counted_at_s:
            counted, self._counted, self._counted_at_s = self._counted, {}, inf
            self._node.tree_events(counted.values(), now)
        for message in self._mailbox.take():
            self._drain()
            self._node.message(message, now)
        reports = self._read_log(now) if self._may_read_log(now, log) else []
        if reports:
            self._drain()
            self._reports_since_saved = True
            self._node.kills.reports(reports, now)
        self._drain()
        self._log_turns = self._log_turns + 1 if self._log.more and not reports else 0
        if self._log_turns % LOG_TURNS == 0:
            self._end_turn(now)

    def _note_stop(self, now: float) -> None:
        if self._continued:
            self._continued = False
            self._node.kills.attribution.was_away(now)

    def _end_turn(self, now: float) -> None:
        self._note_stop(now)  # in the middle of this turn: before anything is recorded that was counted in it
        self._node.kills.attribution.log_read(unread=self._log.unread or self._log_at_s < inf, now_s=now)
        self._node.after(now, self._position())
        if now >= self._resync_at:
            self._resync_at = now + self._settings.resync_interval_s
            self._node.resync(now)
        if now >= self._housekeeping_at:
            self._housekeeping_at = now + HOUSEKEEPING_S
            self._housekeeping(now)
        elif self._more_to_prune:
            self._prune()
        self._write_ledger(now)
        if self._real_time is not None:
            self._real_time.check_budget()
        if not self._frozen and self._node.ready()[0]:
            self._frozen = True
            gc.freeze()  # what the agent consists of stays: a full collection would be a turn of 30 ms

    def _may_read_log(self, now: float, woken: bool) -> bool:
        """Not when its first line wakes us: the kernel prints the others first."""
        descriptor = self._log.fileno()
        if woken and descriptor is not None and self._log_at_s == inf and not self._log.more:
            self._log_at_s = now + AFTER_THE_KERNEL_S
            self._waiting.unregister(descriptor)
        elif self._log_at_s <= now:
            self._log_at_s = inf
            if descriptor is not None:
                self._waiting.register(descriptor)
        return self._log_at_s == inf

    def _read_log(self, now: float) -> list[OomReport]:
        """New reports. While the log can't be read the counters continue without it."""
        before = self._log.fileno()
        reports = self._log.read(now, self._node.kills.attribution.log_quiet_s)
        if before is not None and self._log.trouble is not None:
            self._waiting.unregister(before)
            self._node.kills.log_lost(self._log.trouble)
        elif before is None and (found := self._log.fileno()) is not None:
            self._waiting.register(found)
            self._node.kills.log_found(now)
        return reports

    def _position(self) -> int | None:
        """How far the log need not be read again: before the oldest report that still waits for its counter."""
        if self._log.sequence is None:
            return None
        waiting = self._node.kills.attribution.oldest_waiting_sequence
        return self._log.sequence if waiting is None else min(self._log.sequence, waiting - 1)

    def _write_ledger(self, now: float) -> None:
        """All changes of this turn, in one transaction."""
        if now >= self._retry_at_s:
            self._retry_at_s = inf
            self._node.ledger.flush()
        retry_s = RETRY_S if self._node.ledger.commit() else MOST_WAIT_S
        self._retry_at_s = min(self._retry_at_s, now + retry_s) if self._node.ledger.pending else inf

    def _housekeeping(self, now: float) -> None:
        self._node.housekeeping(now)
        self._save_position()
        self._prune()
        self._reload_rules(now)

    def _prune(self) -> None:
        """A batch; while there may be more, the next turn deletes the next."""
        days, count = self._settings.kill_retention_days, self._settings.kill_retention_count
        self._more_to_prune = self._node.ledger.prune(time.time(), days, count, PRUNE_ROWS) >= PRUNE_ROWS

    def _save_position(self) -> None:
        """After reports, so that none is read twice, and every UNSAVED_RECORDS; other records are no reason to write."""
        position = self._position()
        if position is None:
            return
        saved = self._node.ledger.kmsg_sequence
        if self._reports_since_saved or saved is None or position - saved >= UNSAVED_RECORDS:
            self._node.ledger.record((), (), position)
            self._reports_since_saved = self._node.kills.attribution.oldest_waiting_sequence is not None

    def _reload_rules(self, now: float) -> None:
        if self._rules is None or not self._rules.changed():
            return
        try:
            rules = self._rules.load()
        except SettingsError as error:
            self._node.metrics.config_loaded(None)
            logger.error("the changed configuration is refused, the rules in force stay: %s", error)
            return
        self._node.metrics.config_loaded(time.time())
        if self._rules.waiting:
            logger.warning(
                "changed settings take effect when the agent is restarted: %s", ", ".join(self._rules.waiting)
            )
        if rules != self._node.modes.rules:
            logger.info("new rules are in force")
            self._node.reload(rules, now)
