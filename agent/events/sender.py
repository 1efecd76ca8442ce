"""The sender's thread: takes one Event at a time, brings it to the API, and delivers the result.

Outcomes are ``created``, ``exists`` (the API has it, with this count or a higher one), ``patched`` (the API had it, and has the new
count now), ``dropped_gone`` (the namespace is deleted or terminating), ``dropped_invalid`` (the API refuses it permanently); everything
else is an EventFailed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any
from urllib.parse import quote

from agent.kube.api import Answer, Api, ApiError, ApiRefusedError, UnbelievableAnswerError
from agent.model import AGENT_CONTROLLER, EventDelivered, EventFailed, Message, Notice
from agent.wording.times import rfc3339

logger = logging.getLogger("oomward")

NODE_NAMESPACE = "default"  # Events about cluster objects live there
MOST_NOTE_BYTES = 1024  # the API counts bytes of UTF-8, not characters (pkg/apis/core/validation/events.go)
MOST_TEXT_BYTES = 128
MERGE_PATCH = "application/merge-patch+json"
CONFLICT = 409
# By an explained 4xx of another kind, or a 409 that a busy quota gives ("Conflict"), nothing is known of the next try.
REFUSED = (400, 405, 406, 413, 415, 422)
MOST_COUNTS = 1000  # of Events, that are remembered: of others the API is asked first
MOST_BYTES = 1 << 18  # an Event as the API has it
MISSING_RULE = ". The agent's ClusterRole must allow create and patch of events in the API group events.k8s.io"


class EventSender:
    """``send`` and ``stop`` are for the loop, ``run`` is the thread's. ``clock`` is monotonic."""

    def __init__(
        self,
        api: Api,
        deliver: Callable[[Message], None],
        *,
        reporting_instance: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._deliver = deliver
        self._instance = reporting_instance
        self._clock = clock
        self._handed_over: SimpleQueue[Notice | None] = SimpleQueue()
        self._busy_since_s: float | None = None
        self._counts: dict[str, int] = {}  # by name, as the API has them by its last answer

    @property
    def last_beat_monotonic_s(self) -> float:
        """Now while there is nothing to do: a thread that waits for work is healthy. Else when the work was handed over."""
        since_s = self._busy_since_s  # once: the other thread changes it
        return self._clock() if since_s is None else since_s

    def send(self, notice: Notice) -> None:
        """Hand an Event over; the next one only after the result of this one. Never waits."""
        self._busy_since_s = self._clock()
        self._handed_over.put(notice)

    def stop(self) -> None:
        """Make run() return after the Event under way."""
        self._handed_over.put(None)

    def run(self) -> None:
        """Until stopped."""
        while (notice := self._handed_over.get()) is not None:
            result = self.attempt(notice)
            self._busy_since_s = None
            self._deliver(result)

    def attempt(self, notice: Notice) -> EventDelivered | EventFailed:
        """Try once."""
        try:
            outcome = self._create_or_patch(notice)
        except ApiRefusedError as error:
            # The words of NamespaceLifecycle's admission; the namespace's own name may say "terminating" as well.
            terminating = error.status == 403 and "because it is being terminated" in error.message
            missing = error.status == 404 and error.explained and error.message.startswith("namespaces ")
            if missing or terminating:
                outcome = "dropped_gone"
            elif error.status not in REFUSED or not error.explained:
                rule = MISSING_RULE if error.status == 403 else ""
                return EventFailed(notice.name, error.status, f"{error}{rule}", error.retry_after_s or 0.0)
            else:
                logger.error("the API will not have the Event %s: %s", notice.name, error)
                outcome = "dropped_invalid"
        except ApiError as error:
            return EventFailed(notice.name, None, str(error))
        return EventDelivered(notice.name, outcome, notice.count)

    def _create_or_patch(self, notice: Notice) -> str:
        """Create it, or patch the count of the one that is there; one that expired there is created again. Raises ApiError."""
        path = f"/apis/events.k8s.io/v1/namespaces/{quote(notice.about.namespace or NODE_NAMESPACE, safe='')}/events"
        if notice.sent_count and (outcome := self._patch(path, notice)) is not None:
            return outcome
        try:
            self._check(self._api.request("POST", path, body=event_body(notice, self._instance)), notice)
        except ApiRefusedError as error:
            if error.status != CONFLICT or not error.explained or error.reason != "AlreadyExists":
                raise
            if not _series(notice):
                return "exists"
            if (outcome := self._patch(path, notice)) is None:
                raise  # it expired in between: the next try creates it
            return outcome
        self._remember(notice)
        return "created"

    def _patch(self, path: str, notice: Notice) -> str | None:
        """The outcome; None: the Event is not there. A lower count is never written over a higher one: a ledger may have been lost.

        Where this sender doesn't know the API's count, an empty patch asks for it: that needs no other permission.
        """
        target = f"{path}/{quote(notice.name, safe='')}"
        known = self._counts.pop(notice.name, None)  # after a failure it is not known
        body = _series(notice)
        try:
            if known is None or known >= notice.count:
                event = self._check(self._api.request("PATCH", target, body={}, content_type=MERGE_PATCH), notice)
                if _count(event) >= notice.count:
                    return "exists"
                version = event["metadata"].get("resourceVersion")
                body["metadata"] = {"resourceVersion": version}  # another change in between is a conflict
            self._check(self._api.request("PATCH", target, body=body, content_type=MERGE_PATCH), notice)
        except ApiRefusedError as error:
            if error.status != 404 or not error.explained:
                raise
            return None
        self._remember(notice)
        return "patched"

    def _remember(self, notice: Notice) -> None:
        self._counts[notice.name] = notice.count
        if len(self._counts) > MOST_COUNTS:
            del self._counts[next(iter(self._counts))]

    def _check(self, answer: Answer, notice: Notice) -> dict[str, Any]:
        """The API answers with the Event as it has it now; a proxy's page, say, is no success. Raises ApiError."""
        event: dict[str, Any] | None = answer.json(MOST_BYTES)
        metadata = event.get("metadata") if isinstance(event, dict) and event.get("kind") == "Event" else None
        if event is None or not isinstance(metadata, dict) or metadata.get("name") != notice.name:
            raise UnbelievableAnswerError(
                f"{self._api.server} did not answer with the Event {notice.name}: trying again"
            )
        return event


def event_body(notice: Notice, reporting_instance: str) -> dict[str, object]:
    """The API object (events.k8s.io/v1 Event), with lengths and fields as pkg/apis/core/validation/events.go asks."""
    about = notice.about
    regarding = {"apiVersion": "v1", "kind": about.kind, "name": about.name, "uid": about.uid}
    if about.namespace:
        regarding["namespace"] = about.namespace
    body: dict[str, object] = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": notice.name, "namespace": about.namespace or NODE_NAMESPACE},
        "eventTime": rfc3339(notice.at_unix_s, "microseconds"),  # metav1.MicroTime: six digits, always
        "reportingController": AGENT_CONTROLLER,
        "reportingInstance": _cut(reporting_instance, MOST_TEXT_BYTES),
        "action": _cut(notice.action, MOST_TEXT_BYTES),
        "reason": notice.reason.value,
        "regarding": regarding,
        "note": _cut(notice.note, MOST_NOTE_BYTES),
        "type": "Warning" if notice.warning else "Normal",
    }
    return body | _series(notice)


def _series(notice: Notice) -> dict[str, object]:
    """How often it happened: the only part that may change later; empty for a single time."""
    if notice.count < 2:
        return {}
    return {"series": {"count": notice.count, "lastObservedTime": rfc3339(notice.last_unix_s, "microseconds")}}


def _count(event: dict[str, Any]) -> int:
    """How often it happened, by the API."""
    series = event.get("series")
    count = series.get("count") if isinstance(series, dict) else None
    return count if isinstance(count, int) else 1


def _cut(text: str, most_bytes: int) -> str:
    """As much of it as fits, in whole characters."""
    return text.encode(errors="replace")[:most_bytes].decode(errors="ignore")
