"""Each kill is recorded once: ledger first, then metric, log line and Event.

Never waits: while the ledger's file is busy for a moment, the report of a kill is put off; where the disk fails it is
not, and the ledger writes later.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace

from agent.cgroup.layout import classify
from agent.kills.facts import Findings
from agent.ledger import Ledger
from agent.metrics.metrics import Metrics
from agent.model import NODE, CgroupKind, Identity, OomKill, Outcome, parent_of
from agent.wording import kills as wording
from agent.wording.kill_record import kill_fields
from agent.wording.logs import log
from agent.wording.processes import without_arguments
from agent.wording.shares import Shares

logger = logging.getLogger("oomward")

MOST_UNNAMED = 1000
UNNAMED_S = 3600.0  # no Event is as old
NAMED_SOON_S = 10.0  # a pod's status is a second or two behind; for longer no kill is missing in the metrics
Taker = Callable[[OomKill], None]


class Recorder:
    """``settled`` takes each kill of a pod, and then ``event`` any kill, once, when its outcome is known. ``arguments``: the log shows
    processes' command lines.
    """

    def __init__(
        self, ledger: Ledger, metrics: Metrics, settled: Taker, event: Taker, *, arguments: bool = False
    ) -> None:
        self._ledger = ledger
        self._metrics = metrics
        self._settled = settled
        self._event = event
        self._arguments = arguments
        self._unreported: list[Findings] = []
        self._shares = Shares[str, OomKill](
            "kills wait for their pod's name", lambda _, kill: ("", parent_of(kill.cgroup_path))
        )
        self._unnamed: dict[
            str, OomKill
        ] = {}  # with a known outcome, in containers of pods that the API has not named yet
        self._uncounted: dict[
            str, tuple[OomKill, float]
        ] = {}  # the same in the metrics, with the time until which they wait

    def due_s(self) -> float | None:
        """Monotonic time at which a kill is counted without its pod's name; None: none waits."""
        return min((until_s for _, until_s in self._uncounted.values()), default=None)

    def findings(self, findings: Findings, kmsg_sequence: int | None, now_s: float = 0.0) -> None:
        """Record in one transaction, then report: now, or, while the file is busy, at the next call. ``now_s`` is monotonic."""
        if findings.kills or findings.baselines:
            self._ledger.record(findings.kills, findings.baselines, kmsg_sequence)
        self._ledger.forget_baselines(findings.gone_inodes)
        for kill in (*findings.amended, *findings.completed):
            self._ledger.amend(kill)
        self._unreported.append(findings)
        if any(each.kills for each in self._unreported) and not self._ledger.commit():
            return
        unreported, self._unreported = self._unreported, []
        for each in unreported:
            self._report(each, now_s)
        for kill_id, (kill, until_s) in tuple(self._uncounted.items()):
            if until_s <= now_s:
                del self._uncounted[kill_id]
                self._metrics.kill(kill)

    def _report(self, findings: Findings, now_s: float) -> None:
        for kill in findings.kills:
            if _outside_of_pods(kill):
                self._metrics.host_oom_kills.inc(kill.processes)
            elif _may_get_name(kill) and len(self._uncounted) < MOST_UNNAMED:
                self._uncounted[kill.kill_id] = kill, now_s + NAMED_SOON_S
            else:
                self._metrics.kill(kill)
            self._log(logging.WARNING, kill, wording.FOUND)
        for kill in findings.amended:
            self._metrics.details(kill)
            self._log(logging.INFO, kill, wording.DETAILS)
        for kill in findings.unattributed:
            self._metrics.unattributed_oom_kills.inc(kill.processes)
            why = "its cgroup was removed before it was read, and its report was lost"
            text = f"no container found for an OOM kill below {kill.cgroup_path}: {why}"
            fields = {"kill_id": kill.kill_id, "processes_killed": kill.processes, "cgroup_path": kill.cgroup_path}
            log(logger, logging.WARNING, text, event="oom_kill_unattributed", **fields)
        self._metrics.unmatched_reports.inc(findings.unmatched_reports)
        for kill in findings.settled:
            self.settled(kill)

    def _log(self, level: int, kill: OomKill, event: str) -> None:
        """A line about the kill, with command lines only where the settings allow them in the log."""
        shown = kill if self._arguments else without_arguments(kill)
        log(logger, level, wording.kill_line(shown, event), **kill_fields(shown, event))

    def resume(self, outcome: Callable[[OomKill], Outcome | None]) -> None:
        """Kills that an agent before this one recorded and that no Event counts. ``outcome``: what the container looks like now."""
        for kill in self._ledger.without_event():
            known = kill.pod_uid is None or kill.outcome is not None
            self.settled(kill if known else replace(kill, outcome=outcome(kill)))

    def settled(self, kill: OomKill) -> None:
        """The outcome of a kill that was reported before is known now, or never will be."""
        if _may_get_name(kill):
            self._wait_for_name(kill)
            return
        if not _outside_of_pods(kill):
            self._metrics.outcome(kill)
            self._settled(kill)
        self._complete(kill)

    def _complete(self, kill: OomKill) -> None:
        """All is known that will be: its last line in the log, and its Event."""
        self._log(logging.INFO, kill, wording.SETTLED)
        self._event(kill)

    def _wait_for_name(self, kill: OomKill) -> None:
        """No Event yet, also after a restart: the API may name the pod later."""
        self._ledger.amend(kill)
        self._unnamed[kill.kill_id] = kill
        for one in self._shares.trim(self._unnamed, MOST_UNNAMED):
            self._give_up(one)

    def _give_up(self, kill: OomKill) -> None:
        self._metrics.outcome(kill)
        self._complete(kill)

    def name(
        self, names_at: Callable[[str], Identity], now_unix_s: float, settled: Iterable[OomKill] | None = None
    ) -> None:
        """The API has named pods: kills in them from before get their names and Events now. ``settled``: only these; None: all."""
        if settled is None:
            for kill, _ in tuple(self._uncounted.values()):
                self._count(kill, names_at)
        unnamed = tuple(self._unnamed.values() if settled is None else filter(self._waits, settled))
        for kill in unnamed:
            self._count(kill, names_at)
            if (named := _named(kill, names_at)) is not None:
                del self._unnamed[kill.kill_id]
                self._ledger.amend(named)
                self._metrics.outcome(named)
                self._settled(named)
                self._complete(named)
            elif now_unix_s - kill.at_unix_s > UNNAMED_S:
                self._give_up(self._unnamed.pop(kill.kill_id))

    def _waits(self, kill: OomKill) -> bool:
        return kill.kill_id in self._unnamed

    def _count(self, kill: OomKill, names_at: Callable[[str], Identity]) -> None:
        """In the metrics, if it has a name now and is not counted yet."""
        if kill.kill_id in self._uncounted and (named := _named(kill, names_at)) is not None:
            del self._uncounted[kill.kill_id]
            self._metrics.kill(named)


def _may_get_name(kill: OomKill) -> bool:
    """Whether the kill was in a pod that the API has not named yet."""
    return kill.pod is None and not _outside_of_pods(kill) and classify(kill.cgroup_path).pod_key is not None


def _named(kill: OomKill, names_at: Callable[[str], Identity]) -> OomKill | None:
    names = names_at(kill.cgroup_path)
    if names.pod is None:
        return None
    in_pods_own = kill.sandbox and kill.container_id is None  # the pod's only container is not in its cgroup
    container = None if in_pods_own else names.container
    named = replace(kill, namespace=names.namespace, pod=names.pod, pod_uid=names.pod_uid, container=container)
    return replace(named, sandbox=container is None and (kill.sandbox or names.sandbox))


def _outside_of_pods(kill: OomKill) -> bool:
    """Whether it was a process of the node's own: also one in a service that reached the service's limit, or in a cgroup that only has
    the name of a pod's.
    """
    unnamed = kill.pod_uid is None and kill.container_id is None
    return unnamed and (kill.cgroup_inode == NODE.inode or classify(kill.cgroup_path).kind is CgroupKind.OTHER)
