"""What happened is made durable and told: ledger first, then metric, log line and Event, each once.

Takes Findings and Held in. Never decides what should be, never waits: posting is another thread's (outbox.py), and what
the ledger can't write now it writes later.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable

from agent.attribute import Findings
from agent.cgroup.layout import classify
from agent.ledger import Ledger
from agent.model import (
    BadWish,
    CgroupKind,
    KnobWrite,
    Mode,
    Notice,
    ObjectRef,
    OnExceeded,
    OomKill,
    Outcome,
    Pod,
    Reason,
    Tolerance,
)
from agent.node.failing import Failing
from agent.node.outbox import Outbox
from agent.report import notes, wording
from agent.report.logs import log
from agent.report.metrics import Metrics

logger = logging.getLogger("oomward")

LAST_HOUR_S = 3600.0


class Teller:
    """``pod_of`` finds a pod by uid for limits, None when not known."""

    def __init__(
        self,
        node: str,
        boot_id: str,
        ledger: Ledger,
        metrics: Metrics,
        outbox: Outbox,
        failing: Failing,
        pod_of: Callable[[str], Pod | None],
        unix_s: Callable[[], float],
    ) -> None:
        self._node = node
        self._boot_id = boot_id
        self._ledger = ledger
        self._metrics = metrics
        self._outbox = outbox
        self._failing = failing
        self._pod_of = pod_of
        self._unix_s = unix_s

    # ------------------------------------------------------------------------------------------------------- kills

    def findings(self, findings: Findings, kmsg_sequence: int | None) -> None:
        """Record in one transaction, then tell."""
        if findings.kills or findings.baselines:
            self._ledger.record(findings.kills, findings.baselines, kmsg_sequence)
        if findings.gone_inodes:
            self._ledger.forget_baselines(findings.gone_inodes)
        for kill in findings.kills:
            self._tell_kill(kill)
        for kill in findings.amended:
            self._ledger.amend(kill)
            log(
                logger,
                logging.INFO,
                "details of an OOM kill came late: " + wording.kill_line(kill),
                **wording.kill_fields(kill) | {"event": "oom_kill_details"},
            )
        for kill in findings.unattributed:
            self._metrics.unattributed(kill.processes)
            where = f"no container found for an OOM kill below {kill.cgroup_path}: its cgroup vanished unread, and the log lost its name"
            log(logger, logging.WARNING, where, kill_id=kill.kill_id, processes=kill.processes)
        if findings.unmatched_reports:
            self._metrics.unmatched_reports(findings.unmatched_reports)
        for kill in findings.settled:
            self.settled(kill)

    def _tell_kill(self, kill: OomKill) -> None:
        if _outside_of_pods(kill):
            self._metrics.host_kill(kill)
        else:
            self._metrics.kill(kill)
        log(logger, logging.WARNING, wording.kill_line(kill), **wording.kill_fields(kill))

    def settled(self, kill: OomKill) -> None:
        """The outcome of a kill told before is known now."""
        if kill.outcome is not None:
            level = logging.INFO if kill.outcome is Outcome.DIED else logging.DEBUG
            log(
                logger,
                level,
                f"the container {kill.outcome.value} the OOM kill {kill.kill_id}",
                kill_id=kill.kill_id,
                outcome=kill.outcome.value,
            )
        if not _outside_of_pods(kill):
            self._metrics.outcome(kill)
            self._failing.settled(kill)
        self._post_kill(kill)

    def _post_kill(self, kill: OomKill) -> None:
        died = kill.outcome is Outcome.DIED
        about = self._about(kill)
        if about is None:
            self._outbox.untold(kill)
            return
        pod = self._pod_of(kill.pod_uid) if kill.pod_uid is not None else None
        since = self._unix_s() - LAST_HOUR_S
        recent = self._ledger.kills_of(kill.pod_uid or "", kill.container or "", since)
        limits = {c.name: c.limit_bytes for c in pod.containers} if pod is not None else None
        reason = Reason.CONTAINER_OOM_KILLED if died else Reason.PROCESS_OOM_KILLED
        notice = Notice(
            name=f"{_front(about.name)}.{kill.kill_id}",
            about=about,
            reason=reason,
            warning=True,
            action="OOMKill",
            note=wording.kill_note(
                kill, kills_last_hour=recent, container_limits=limits, advice=self._failing.advice(kill)
            ),
            at_unix_s=kill.at_unix_s,
            count=1 if kill.group_kill else max(1, kill.processes),
            series="/".join((about.uid, kill.container or kill.cgroup_path, reason, str(kill.scope), str(kill.mode))),
        )
        self._outbox.count(kill, notice)

    def _about(self, kill: OomKill) -> ObjectRef | None:
        if kill.pod_uid is not None and kill.namespace and kill.pod:
            return ObjectRef("Pod", kill.pod, kill.namespace, kill.pod_uid)
        if kill.pod_uid is None and kill.container_id is None:
            return ObjectRef("Node", self._node, "", self._node)
        return None

    # ---------------------------------------------------------------------------------------------------- the modes

    def applied(self, pod: Pod, container: str, mode: Mode, inode: int, why: str) -> None:
        """A container's mode is in force for the first time since its start."""
        note = notes.mode_applied_note(container, mode, why)
        log(logger, logging.INFO, note, namespace=pod.namespace, pod=pod.name, container=container, mode=mode.value)
        self._pod_notice(pod, Reason.MODE_APPLIED, "HoldOOMGroup", note, f"{mode.value}-{inode}", warning=False)

    def invalid(self, pod: Pod, wish: BadWish) -> None:
        """A label or annotation that asks for no mode."""
        note = notes.mode_invalid_note(wish)
        log(logger, logging.WARNING, note, namespace=pod.namespace, pod=pod.name, key=wish.key)
        self._metrics.mode_invalid()
        self._pod_notice(pod, Reason.MODE_INVALID, "ReadMode", note, f"{pod.uid}-{wish.key}-{wish.value}", warning=True)

    def failed(self, pod: Pod, note: str, what: str) -> None:
        """A mode that is not in force, and why; ``what`` makes it one Event however often it is found."""
        log(logger, logging.WARNING, note, namespace=pod.namespace, pod=pod.name)
        self._metrics.mode_failed()
        self._pod_notice(pod, Reason.MODE_FAILED, "HoldOOMGroup", note, f"{pod.uid}-{what}", warning=True)

    def tolerance_exceeded(self, pod: Pod, container: str, tolerance: Tolerance, inode: int) -> None:
        """More processes of a container were killed than it tolerates: once for each instance of it."""
        note = notes.tolerance_exceeded_note(container, tolerance)
        if self._pod_notice(pod, Reason.TOLERANCE_EXCEEDED, "HoldOOMGroup", note, f"tolerance-{inode}", warning=True):
            log(logger, logging.WARNING, note, namespace=pod.namespace, pod=pod.name, container=container)
            self._metrics.tolerance_exceeded()

    def killed_as_a_whole(self, pod: Pod, container: str, why: OnExceeded | None, inode: int, trouble: str) -> None:
        """The agent has killed all processes of a container, or could not (``trouble``)."""
        note = notes.killed_as_a_whole_note(container, why, trouble)
        log(logger, logging.WARNING, note, namespace=pod.namespace, pod=pod.name, container=container)
        self._metrics.container_killed("failed" if trouble else "tolerance" if why else "group")
        reason = Reason.MODE_FAILED if trouble else Reason.CONTAINER_RESTARTED
        action = "HoldOOMGroup" if trouble else "KillContainer"
        self._pod_notice(pod, reason, action, note, f"killed-{inode}-{trouble}", warning=True)

    def write(self, write: KnobWrite) -> None:
        """Count one attempt at a knob."""
        self._metrics.write(write.outcome)

    def _pod_notice(self, pod: Pod, reason: Reason, action: str, note: str, key: str, *, warning: bool) -> bool:
        """Whether it is a new one. An inode in ``key`` means something in one boot only."""
        named = f"{reason}\0{self._boot_id}\0{key}"
        digest = hashlib.sha256(named.encode(errors="surrogatepass")).hexdigest()[:20]
        about = ObjectRef("Pod", pod.name, pod.namespace, pod.uid)
        notice = Notice(f"{_front(pod.name)}.{digest}", about, reason, warning, action, note, self._unix_s())
        return self._outbox.post(notice)


def _outside_of_pods(kill: OomKill) -> bool:
    """Whether it was a process of the node's own: also one in a service that reached the service's limit."""
    unnamed = kill.pod_uid is None and kill.container_id is None
    return unnamed and classify(kill.cgroup_path).kind is CgroupKind.OTHER


def _front(name: str) -> str:
    """The beginning of an object's name, to begin an Event's with: a DNS subdomain of 253 characters at most."""
    return name[:180].rstrip("-.")
