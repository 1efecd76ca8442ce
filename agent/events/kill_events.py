"""Where a kill becomes an Event: on its pod, on the node for a kill outside of pods."""

from __future__ import annotations

from collections.abc import Callable

from agent.events.outbox import Outbox
from agent.ledger import Ledger
from agent.model import Notice, ObjectRef, OomKill, Outcome, Pod, Reason, event_name
from agent.wording import kills as wording
from agent.wording.filled import volumes_of
from agent.wording.processes import without_arguments


class KillEvents:
    """``pod_of`` finds a pod by uid for its limits, None when not known. ``advice``: what to do about a kill's container, or None.

    ``ended_by_agent``: whether the container with this inode lived when the agent ended it; None: the agent didn't.
    ``arguments``: Events show processes' command lines.
    """

    def __init__(
        self,
        node: str,
        ledger: Ledger,
        outbox: Outbox,
        pod_of: Callable[[str], Pod | None],
        advice: Callable[[OomKill], str | None],
        ended_by_agent: Callable[[int], bool | None],
        *,
        arguments: bool = False,
    ) -> None:
        self._node = node
        self._ledger = ledger
        self._outbox = outbox
        self._pod_of = pod_of
        self._advice = advice
        self._ended_by_agent = ended_by_agent
        self._arguments = arguments

    def post(self, kill: OomKill) -> None:
        """A kill with a known outcome: its Event goes to the outbox. Of a pod that is not known the ledger alone keeps the outcome."""
        if kill.pod_uid is not None and kill.namespace and kill.pod:
            self._post(kill, ObjectRef("Pod", kill.pod, kill.namespace, kill.pod_uid))
        elif kill.pod_uid is None and kill.container_id is None:
            self._post(kill, ObjectRef("Node", self._node, "", self._node))
        else:
            self._ledger.record_outcome(kill.kill_id, kill.outcome, None)

    def _post(self, kill: OomKill, about: ObjectRef) -> None:
        pod = self._pod_of(kill.pod_uid) if kill.pod_uid is not None else None
        limits = {c.name: c.limit_bytes for c in pod.containers} if pod is not None else None
        ended = bool(self._ended_by_agent(kill.cgroup_inode))
        reason = Reason.CONTAINER_OOM_KILLED if kill.outcome is Outcome.DIED else Reason.PROCESS_OOM_KILLED
        notice = Notice(
            name=event_name(about.name, kill.kill_id),
            about=about,
            reason=reason,
            warning=True,
            action="OOMKill",
            note=wording.kill_note(
                kill if self._arguments else without_arguments(kill),
                container_limits=limits,
                volumes=volumes_of(pod, kill),
                advice=self._advice(kill),
                ended_by_agent=ended,
            ),
            at_unix_s=kill.at_unix_s,
            count=1 if kill.group_kill else max(1, kill.processes),
            group="/".join((about.uid, kill.container or kill.cgroup_path, reason, str(kill.scope), str(kill.mode))),
        )
        self._outbox.post_kill(kill, notice)
