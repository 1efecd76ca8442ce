"""Where a kill becomes an Event: on its pod, on the node for a kill outside of pods, with what a person needs to know.

Takes recorded kills with a known outcome, gives the Event to the outbox, which counts it together with others of its group.
"""

from __future__ import annotations

from collections.abc import Callable

from agent.events.outbox import Outbox
from agent.ledger import Ledger
from agent.model import Notice, ObjectRef, OomKill, Outcome, Pod, Reason, event_name
from agent.wording import kills as wording

LAST_HOUR_S = 3600.0


class KillEvents:
    """``pod_of`` finds a pod by uid for its limits, None when not known. ``advice``: what to do about a kill's container, or None."""

    def __init__(
        self,
        node: str,
        ledger: Ledger,
        outbox: Outbox,
        pod_of: Callable[[str], Pod | None],
        advice: Callable[[OomKill], str | None],
        unix_s: Callable[[], float],
    ) -> None:
        self._node = node
        self._ledger = ledger
        self._outbox = outbox
        self._pod_of = pod_of
        self._advice = advice
        self._unix_s = unix_s

    def post(self, kill: OomKill) -> None:
        """The Event that counts this kill goes to the outbox; without an object to post it on, the ledger alone keeps its outcome."""
        about = self._about(kill)
        if about is None:
            self._ledger.record_outcome(kill.kill_id, kill.outcome, None)
        else:
            self._outbox.post_kill(kill, self._notice(kill, about))

    def _notice(self, kill: OomKill, about: ObjectRef) -> Notice:
        pod = self._pod_of(kill.pod_uid) if kill.pod_uid is not None else None
        since = self._unix_s() - LAST_HOUR_S
        recent = self._ledger.kills_of(kill.pod_uid or "", kill.container or "", since)
        limits = {c.name: c.limit_bytes for c in pod.containers} if pod is not None else None
        reason = Reason.CONTAINER_OOM_KILLED if kill.outcome is Outcome.DIED else Reason.PROCESS_OOM_KILLED
        return Notice(
            name=event_name(about.name, kill.kill_id),
            about=about,
            reason=reason,
            warning=True,
            action="OOMKill",
            note=wording.kill_note(kill, kills_last_hour=recent, container_limits=limits, advice=self._advice(kill)),
            at_unix_s=kill.at_unix_s,
            count=1 if kill.group_kill else max(1, kill.processes),
            group="/".join((about.uid, kill.container or kill.cgroup_path, reason, str(kill.scope), str(kill.mode))),
        )

    def _about(self, kill: OomKill) -> ObjectRef | None:
        """None: of a pod that is not known."""
        if kill.pod_uid is not None and kill.namespace and kill.pod:
            return ObjectRef("Pod", kill.pod, kill.namespace, kill.pod_uid)
        if kill.pod_uid is None and kill.container_id is None:
            return ObjectRef("Node", self._node, "", self._node)
        return None
