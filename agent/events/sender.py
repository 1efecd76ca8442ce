"""The event poster: notices become events.k8s.io/v1 Events and are delivered, in order for each pod, once.

A thread's body with a bounded queue; what doesn't fit waits in the ledger. While a notice waits (the API is away, the
budget is spent), a newer count of it takes its place. Touches no state of the loop: what became of a notice goes there as
EventDelivered. Words for its outcome: ``created``, ``exists`` (a 409: it was there already), ``patched`` (it was there, and its
count is brought up to date), ``dropped_gone`` (the namespace is gone or going), ``dropped_invalid``, ``dropped_expired``.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote

from agent.events.budget import NODE_BUDGET, POD_BUDGET, Budgets
from agent.kube.api import Api, ApiError, ApiRefusedError
from agent.kube.backoff import Backoff
from agent.model import Budget, EventDelivered, Message, Notice

logger = logging.getLogger("oomward")

CONTROLLER = "oomward.dev/agent"
MOST_WAITING = 1000
EXPIRED_S = 3600.0  # the API keeps Events for an hour: an older one tells nobody anything
IDLE_BEAT_S = 60.0
NODE_NAMESPACE = "default"  # Events about cluster objects live there
MERGE_PATCH = "application/merge-patch+json"
MOST_NOTE_BYTES = 1024  # the API counts bytes of UTF-8, not characters (pkg/apis/core/validation/events.go)
MOST_TEXT_BYTES = 128
FOR_EVERYBODY = (401, 429, 503, 504)  # not about this Event: all wait
SEEN = ("created", "patched")  # outcomes by which a reader sees something new
CONFLICT = 409
PASSING = (401, 403, 408, CONFLICT, 429)  # and all 5xx; any other 4xx would be the same the next time


def event_body(notice: Notice, reporting_instance: str) -> dict[str, object]:
    """The API object (events.k8s.io/v1 Event), with lengths and fields as pkg/apis/core/validation/events.go asks."""
    namespace = notice.about.namespace or NODE_NAMESPACE
    regarding = {"apiVersion": "v1", "kind": notice.about.kind, "name": notice.about.name, "uid": notice.about.uid}
    if notice.about.namespace:
        regarding["namespace"] = namespace
    body: dict[str, object] = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": notice.name, "namespace": namespace},
        "eventTime": _micro_time(notice.at_unix_s),
        "reportingController": CONTROLLER,
        "reportingInstance": _cut(reporting_instance, MOST_TEXT_BYTES),
        "action": _cut(notice.action, MOST_TEXT_BYTES),
        "reason": notice.reason.value,
        "regarding": regarding,
        "note": _cut(notice.note, MOST_NOTE_BYTES),
        "type": "Warning" if notice.warning else "Normal",
    }
    return body | series(notice)


def series(notice: Notice) -> dict[str, object]:
    """The part that says how often it happened, and the only one that may change later; empty for a single time."""
    if notice.count < 2:
        return {}
    return {"series": {"count": notice.count, "lastObservedTime": _micro_time(notice.last_unix_s)}}


def _micro_time(at_unix_s: float) -> str:
    """metav1.MicroTime: RFC 3339 with exactly six digits of the second."""
    return datetime.fromtimestamp(at_unix_s, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _cut(text: str, most_bytes: int) -> str:
    """As much of it as fits, in whole characters."""
    return text.encode(errors="replace")[:most_bytes].decode(errors="ignore")


@dataclass(slots=True)
class _Line:
    """The notices of one pod by name, in order; ``due_s`` is when the first may be tried (again)."""

    backoff: Backoff
    waiting: dict[str, Notice] = field(default_factory=dict)
    due_s: float = 0.0

    def first(self) -> Notice:
        """The next to be tried: what a person must know doesn't wait behind what is only good to know."""
        return next((notice for notice in self.waiting.values() if notice.warning), next(iter(self.waiting.values())))


class EventSender:
    """``unix_s`` is the wall clock, against which notices expire."""

    def __init__(
        self,
        api: Api,
        deliver: Callable[[Message], None],
        *,
        reporting_instance: str,
        stop: threading.Event,
        pod_budget: Budget = POD_BUDGET,
        node_budget: Budget = NODE_BUDGET,
        clock: Callable[[], float] = time.monotonic,
        unix_s: Callable[[], float] = time.time,
        rand: Callable[[], float] = random.random,
    ) -> None:
        self._api = api
        self._deliver = deliver
        self._instance = reporting_instance
        self._stop = stop
        self._budgets = Budgets(pod_budget, node_budget)
        self._clock = clock
        self._unix_s = unix_s
        self._rand = rand
        self._lines: dict[str, _Line] = {}
        self._waiting = 0
        self._away = Backoff(rand)
        self._away_until_s = 0.0  # until then nobody's notice is tried: the server is away, or said not to come
        self._changed = threading.Condition()
        self._said: set[int] = set()
        self.last_beat_monotonic_s = clock()

    def submit(self, notice: Notice) -> bool:
        """Queue a notice, in the place of an older one of its name; never waits.

        False: MOST_WAITING are queued already, try again when one is delivered.
        """
        with self._changed:
            line = self._lines.get(notice.about.uid)
            if line is None or notice.name not in line.waiting:
                if self._waiting >= MOST_WAITING:
                    return False
                self._waiting += 1
                line = self._lines.setdefault(notice.about.uid, _Line(Backoff(self._rand)))
            line.waiting[notice.name] = notice
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
            return min(self._lines, key=self._line_due_s)

    def due_s(self) -> float | None:
        """When (on ``clock``) the next delivery may be tried; None: nothing waits."""
        first = min(map(self._line_due_s, self._lines), default=None)
        return None if first is None else max(first, self._away_until_s, self._budgets.node_ready_s())

    def _line_due_s(self, uid: str) -> float:
        return max(self._lines[uid].due_s, self._budgets.ready_s(uid))

    def step(self, uid: str) -> None:
        """Try the first notice of one pod."""
        with self._changed:
            line = self._lines[uid]
            notice = line.first()
        outcome = self._attempt(notice, line)
        if outcome is None:
            return
        with self._changed:
            if outcome in SEEN:
                self._budgets.spend(uid, self._clock())
            if line.waiting[notice.name] is notice:  # and no newer count of it came meanwhile
                del line.waiting[notice.name]
                self._waiting -= 1
            del self._lines[uid]
            if line.waiting:  # behind the others: a pod with many notices does not hold them up
                line.due_s = self._clock()
                self._lines[uid] = line
        self._deliver(EventDelivered(notice.name, outcome, notice.count))

    def _attempt(self, notice: Notice, line: _Line) -> str | None:
        """What became of it; None: to be tried again."""
        if self._unix_s() - notice.last_unix_s > EXPIRED_S:
            return "dropped_expired"
        try:
            outcome = self._send(notice)
        except ApiRefusedError as error:
            final = self._final(error, notice)
            if final is None:
                self._later(line, error.status, error.retry_after_s or 0.0)
                return None
            outcome = final
        except ApiError as error:
            self._say_once(0, f"Events wait: {error}")
            self._away_until_s = self._clock() + self._away.next_s()
            return None
        line.backoff.reset()
        self._away.reset()
        if outcome in SEEN:
            self._said.clear()
        return outcome

    def _send(self, notice: Notice) -> str:
        """Create it, or bring the count of the one that is there up to date. Raises ApiError.

        One that the API was told of may have expired there since: then it is made anew, with its whole count.
        """
        namespace = quote(notice.about.namespace or NODE_NAMESPACE, safe="")
        path = f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"
        if notice.sent_count and self._patched(path, notice):
            return "patched"
        try:
            self._api.request("POST", path, body=event_body(notice, self._instance)).finish()
        except ApiRefusedError as error:
            if error.status != CONFLICT:
                raise
            if not series(notice):
                return "exists"
            if not self._patched(path, notice):
                raise  # it expired in between: the next try creates it
            return "patched"
        return "created"

    def _patched(self, path: str, notice: Notice) -> bool:
        """Whether the Event was there to be patched."""
        target = f"{path}/{quote(notice.name, safe='')}"
        try:
            self._api.request("PATCH", target, body=series(notice), content_type=MERGE_PATCH).finish()
        except ApiRefusedError as error:
            if error.status != 404:
                raise
            return False
        return True

    def _later(self, line: _Line, status: int, at_least_s: float) -> None:
        """The pod's line waits, or everybody's when it was not about this Event."""
        if status in FOR_EVERYBODY:
            self._away_until_s = self._clock() + max(at_least_s, self._away.next_s())
        else:
            line.due_s = self._clock() + max(at_least_s, line.backoff.next_s())

    def _final(self, error: ApiRefusedError, notice: Notice) -> str | None:
        """The outcome that a refusal means; None: it may pass."""
        # The words of NamespaceLifecycle's admission; the namespace's own name may say "terminating" as well.
        terminating = error.status == 403 and "because it is being terminated" in error.message
        if error.status == 404 or terminating:
            return "dropped_gone"
        if error.status not in PASSING and error.status < 500:
            logger.error("the API will not have the Event %s: %s", notice.name, error)
            return "dropped_invalid"
        mend = (
            ". The agent's ClusterRole must allow create and patch of events in the API group events.k8s.io"
            if error.status == 403
            else ""
        )
        self._say_once(error.status, f"Events wait: {error}{mend}")
        return None

    def _say_once(self, kind: int, text: str) -> None:
        """``kind``: the status, or 0 for no answer. Said again only after a delivery: the words may differ each time."""
        if kind not in self._said:
            self._said.add(kind)
            logger.warning("%s", text)
