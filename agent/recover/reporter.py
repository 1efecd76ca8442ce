"""Events about recoveries, each posted once: its name follows from what it says. Events are best effort: a refusal ends nothing."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from hashlib import sha256

from agent.kube.api import ApiError
from agent.metrics.recover import DRY_RUN, STARTED, RecoverMetrics
from agent.model import RECOVER_CONTROLLER, ObjectRef, event_name
from agent.model.recover import Attempt, Nothing, Said, State, Step
from agent.recover import messages
from agent.recover.cluster import Cluster
from agent.recover.subject import Json, Subject
from agent.wording.text import note, safe
from agent.wording.times import rfc3339

MOST_INSTANCE = 128  # characters, which names of pods are in ASCII
MOST_SAID = 10_000  # Events remembered as posted
MOST_REFUSALS = 10  # Events of a pod, after which no more are posted about why nothing is done
REASONS: Mapping[State, Said] = {
    State.INTENDED: Said.STARTED,
    State.DONE: Said.STARTED,
    State.SUCCEEDED: Said.SUCCEEDED,
    State.FAILED: Said.FAILED,
    State.REFUSED: Said.FAILED,
    State.DROPPED: Said.FAILED,
}
logger = logging.getLogger("oomward")


class Reporter:
    """``instance`` names this replica."""

    def __init__(self, cluster: Cluster, metrics: RecoverMetrics, instance: str) -> None:
        self._cluster = cluster
        self._metrics = metrics
        self._instance = instance
        self._said: set[tuple[str, str]] = set()
        self._of_pod: Counter[str] = Counter()

    def planned(self, step: Step, now_unix_s: float) -> None:
        """A dry run: what would have been done."""
        attempt, text = step.attempt, messages.trying(step)
        if self._post(_about(attempt), Said.PLANNED, attempt.action, text, now_unix_s):
            self._metrics.recoveries.labels(attempt.action, DRY_RUN).inc()

    def started(self, step: Step, now_unix_s: float) -> None:
        self._metrics.recoveries.labels(step.attempt.action, STARTED).inc()
        self._post(_about(step.attempt), Said.STARTED, step.attempt.action, messages.trying(step), now_unix_s)

    def ended(self, attempt: Attempt, text: str, now_unix_s: float) -> None:
        """An attempt with a result."""
        if self._post(_about(attempt), REASONS[attempt.state], attempt.action, text, now_unix_s):
            self._metrics.recoveries.labels(attempt.action, attempt.state).inc()

    def not_done(self, subject: Subject, nothing: Nothing, now_unix_s: float) -> None:
        """Somebody asked for a recovery, and does not get it."""
        pod = subject.pod
        if self._of_pod[pod.uid] < MOST_REFUSALS:
            text = safe(f"Not recovered: {nothing.why}.", 900)
            self._post(
                ObjectRef("Pod", pod.name, pod.namespace, pod.uid),
                Said.NOT_DONE,
                "Recover",
                text,
                now_unix_s,
            )

    def _post(self, about: ObjectRef, reason: Said, action: str, text: str, now_unix_s: float) -> bool:
        """Whether it was posted now for the first time, as far as this replica knows."""
        key = (about.uid, sha256(f"{about.uid}/{reason}/{text}".encode()).hexdigest()[:16])
        if key in self._said:
            return False
        logger.info("%s %s/%s: %s", reason.value, about.namespace, about.name, text)
        body = self._body(about, reason, action, text, event_name(about.name, key[1]), now_unix_s)
        try:
            self._cluster.post_event(about.namespace, body)
        except ApiError as error:
            logger.warning("the Event was not posted: %s", error)
        self._said.add(key)
        self._of_pod[about.uid] += 1
        if len(self._said) > MOST_SAID:  # what is still true is posted again, which is a conflict for the API
            self._said.clear()
            self._of_pod.clear()
        return True

    def _body(self, about: ObjectRef, reason: Said, action: str, text: str, name: str, now_unix_s: float) -> Json:
        """An Event of events.k8s.io/v1; its namespace is the pod's."""
        regarding = {
            "apiVersion": "v1",
            "kind": about.kind,
            "name": about.name,
            "namespace": about.namespace,
            "uid": about.uid,
        }
        return {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": about.namespace},
            "eventTime": rfc3339(now_unix_s, "microseconds"),
            "reportingController": RECOVER_CONTROLLER,
            "reportingInstance": self._instance[:MOST_INSTANCE],
            "action": action.capitalize(),
            "reason": reason.value,
            "regarding": regarding,
            "note": note(text),
            "type": "Warning" if reason in (Said.FAILED, Said.NOT_DONE) else "Normal",
        }


def _about(attempt: Attempt) -> ObjectRef:
    return ObjectRef("Pod", attempt.pod, attempt.namespace, attempt.pod_uid)
