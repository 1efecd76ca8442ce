"""Events about recoveries, each posted once: its name follows from what it says. Events are best effort: a refusal ends nothing."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from hashlib import sha256

from agent.events.sender import event_body
from agent.kube.api import ApiError
from agent.metrics.recover import DRY_RUN, STARTED, RecoverMetrics
from agent.model import Notice, ObjectRef, Reason, event_name
from agent.model.recover import Attempt, Nothing, State, Step
from agent.recover import messages
from agent.recover.cluster import Cluster
from agent.recover.subject import Subject
from agent.wording.text import note, safe

CONTROLLER = "oomward.dev/recover"  # reportingController
MOST_SAID = 10_000  # Events remembered as posted
MOST_REFUSALS = 5  # different reasons per pod why nothing is done
REASONS: Mapping[State, Reason] = {
    State.INTENDED: Reason.RECOVERY_STARTED,
    State.DONE: Reason.RECOVERY_STARTED,
    State.SUCCEEDED: Reason.RECOVERY_SUCCEEDED,
    State.FAILED: Reason.RECOVERY_FAILED,
    State.REFUSED: Reason.RECOVERY_FAILED,
}
logger = logging.getLogger("oomward")


class Reporter:
    """``instance`` names this replica."""

    def __init__(self, cluster: Cluster, metrics: RecoverMetrics, instance: str) -> None:
        self._cluster = cluster
        self._metrics = metrics
        self._instance = instance
        self._said: dict[tuple[str, str], None] = {}

    def planned(self, step: Step, now_unix_s: float) -> None:
        """A dry run: what would have been done."""
        attempt, text = step.attempt, messages.trying(step)
        if self._post(_about(attempt), Reason.RECOVERY_PLANNED, attempt.action, text, now_unix_s):
            self._metrics.recoveries.labels(attempt.action, DRY_RUN).inc()

    def started(self, step: Step, now_unix_s: float) -> None:
        self._metrics.recoveries.labels(step.attempt.action, STARTED).inc()
        self._post(
            _about(step.attempt), Reason.RECOVERY_STARTED, step.attempt.action, messages.trying(step), now_unix_s
        )

    def ended(self, attempt: Attempt, text: str, now_unix_s: float) -> None:
        """An attempt with a result."""
        self._metrics.recoveries.labels(attempt.action, attempt.state).inc()
        self._post(_about(attempt), REASONS[attempt.state], attempt.action, text, now_unix_s)

    def not_done(self, subject: Subject, nothing: Nothing, now_unix_s: float) -> None:
        """Somebody asked for a recovery, and does not get it."""
        pod = subject.pod
        if sum(uid == pod.uid for uid, _ in self._said) < MOST_REFUSALS:
            text = safe(f"Not recovered: {nothing.why}.", 900)
            self._post(
                ObjectRef("Pod", pod.name, pod.namespace, pod.uid),
                Reason.RECOVERY_NOT_DONE,
                "Recover",
                text,
                now_unix_s,
            )

    def _post(self, about: ObjectRef, reason: Reason, action: str, text: str, now_unix_s: float) -> bool:
        """Whether it was posted now for the first time, as far as this replica knows."""
        key = (about.uid, sha256(f"{about.uid}/{reason}/{text}".encode()).hexdigest()[:16])
        if key in self._said:
            return False
        logger.info("%s %s/%s: %s", reason.value, about.namespace, about.name, text)
        warning = reason in (Reason.RECOVERY_FAILED, Reason.RECOVERY_NOT_DONE)
        name = event_name(about.name, key[1])
        body = event_body(
            Notice(name, about, reason, warning, action.capitalize(), note(text), now_unix_s), self._instance
        )
        try:
            self._cluster.post_event(about.namespace, {**body, "reportingController": CONTROLLER})
        except ApiError as error:
            logger.warning("the Event was not posted: %s", error)
        self._said[key] = None
        if len(self._said) > MOST_SAID:
            del self._said[next(iter(self._said))]
        return True


def _about(attempt: Attempt) -> ObjectRef:
    return ObjectRef("Pod", attempt.pod, attempt.namespace, attempt.pod_uid)
