"""The event poster: notices become events.k8s.io/v1 Events and are delivered, in order for each pod, once.

A thread's body with a bounded queue; what doesn't fit waits in the ledger. Touches no state of the loop: what became of
a notice goes there as EventDelivered. Words for its outcome: ``created``, ``exists`` (a 409: it was there already),
``dropped_gone`` (namespace or pod's namespace going), ``dropped_invalid``, ``dropped_expired``.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from agent.kube.api import Api, ApiError, ApiRefusedError
from agent.kube.backoff import Backoff
from agent.model import EventDelivered, Message, Notice

logger = logging.getLogger("oomward")

CONTROLLER = "oomward.dev/agent"
MOST_WAITING = 1000
EXPIRED_S = 3600.0  # the API keeps Events for an hour: an older one tells nobody anything
IDLE_BEAT_S = 60.0
NODE_NAMESPACE = "default"  # Events about cluster objects live there


def event_body(notice: Notice, reporting_instance: str) -> dict[str, object]:
    """The API object (events.k8s.io/v1 Event; lengths as its validation asks)."""
    namespace = notice.about.namespace or NODE_NAMESPACE
    regarding = {"apiVersion": "v1", "kind": notice.about.kind, "name": notice.about.name, "uid": notice.about.uid}
    if notice.about.namespace:
        regarding["namespace"] = namespace
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": notice.name, "namespace": namespace},
        "eventTime": datetime.fromtimestamp(notice.at_unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingController": CONTROLLER,
        "reportingInstance": reporting_instance[:128],
        "action": notice.action[:128],
        "reason": notice.reason.value,
        "regarding": regarding,
        "note": notice.note[:1024],
        "type": "Warning" if notice.warning else "Normal",
    }


@dataclass(slots=True)
class _Line:
    """The notices of one pod, in order; ``due_s`` is when the first may be tried (again)."""

    backoff: Backoff
    waiting: deque[Notice] = field(default_factory=deque)
    due_s: float = 0.0


class EventPoster:
    """``unix_s`` is the wall clock, against which notices expire."""

    def __init__(
        self,
        api: Api,
        deliver: Callable[[Message], None],
        *,
        reporting_instance: str,
        stop: threading.Event,
        clock: Callable[[], float] = time.monotonic,
        unix_s: Callable[[], float] = time.time,
        rand: Callable[[], float] = random.random,
    ) -> None:
        self._api = api
        self._deliver = deliver
        self._instance = reporting_instance
        self._stop = stop
        self._clock = clock
        self._unix_s = unix_s
        self._rand = rand
        self._lines: dict[str, _Line] = {}
        self._changed = threading.Condition()
        self._said: set[str] = set()
        self.last_beat_monotonic_s = clock()

    def submit(self, notice: Notice) -> bool:
        """Queue a notice; never waits. False: MOST_WAITING are queued already, try again when one is delivered."""
        with self._changed:
            if sum(len(line.waiting) for line in self._lines.values()) >= MOST_WAITING:
                return False
            line = self._lines.setdefault(notice.about.uid, _Line(Backoff(self._rand)))
            line.waiting.append(notice)
            self._changed.notify()
        return True

    def wake(self) -> None:
        """Make run() look at ``stop``."""
        with self._changed:
            self._changed.notify()

    def run(self) -> None:
        """Until stopped."""
        while not self._stop.is_set():
            self.last_beat_monotonic_s = self._clock()
            uid = self._next()
            if uid is not None:
                self.step(uid)

    def _next(self) -> str | None:
        """The pod whose first notice is due longest; waits for one, but not for ever."""
        with self._changed:
            due = self.due_s()
            if due is None or due > self._clock():
                self._changed.wait(IDLE_BEAT_S if due is None else min(IDLE_BEAT_S, due - self._clock()))
                return None
            return min(
                (uid for uid, line in self._lines.items() if line.waiting), key=lambda uid: self._lines[uid].due_s
            )

    def due_s(self) -> float | None:
        """When the next delivery may be tried; None: nothing waits."""
        return min((line.due_s for line in self._lines.values() if line.waiting), default=None)

    def step(self, uid: str) -> None:
        """Try the first notice of one pod."""
        line = self._lines[uid]
        notice = line.waiting[0]
        outcome = self._attempt(notice, line)
        if outcome is None:
            return
        with self._changed:
            line.waiting.popleft()
            if not line.waiting:
                del self._lines[uid]
        self._deliver(EventDelivered(notice.name, outcome))

    def _attempt(self, notice: Notice, line: _Line) -> str | None:
        """What became of it; None: to be tried again."""
        if self._unix_s() - (notice.last_at_unix_s or notice.at_unix_s) > EXPIRED_S:
            return "dropped_expired"
        namespace = notice.about.namespace or NODE_NAMESPACE
        path = f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"
        try:
            self._api.request("POST", path, body=event_body(notice, self._instance)).close()
        except ApiRefusedError as error:
            final = self._refused(error, notice)
            if final is not None:
                return final
            line.due_s = self._clock() + max(error.retry_after_s or 0.0, line.backoff.next_s())
            return None
        except ApiError as error:
            self._say_once(str(error))
            line.due_s = self._clock() + line.backoff.next_s()
            return None
        line.backoff.reset()
        self._said.clear()
        return "created"

    def _refused(self, error: ApiRefusedError, notice: Notice) -> str | None:
        terminating = error.status == 403 and "terminat" in error.message
        if error.status == 409:
            return "exists"
        if error.status == 404 or terminating:
            return "dropped_gone"
        if error.status in (400, 422):
            logger.error("the API will not have the Event %s: %s", notice.name, error)
            return "dropped_invalid"
        mend = (
            ". The agent's ClusterRole must allow create of events in the API group events.k8s.io"
            if error.status == 403
            else ""
        )
        self._say_once(f"Events wait: {error}{mend}")
        return None

    def _say_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            logger.warning("%s", text)
