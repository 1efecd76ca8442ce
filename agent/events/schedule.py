"""Which Event is sent next, and when: order per pod, Warnings first, budgets, back-off, and room for so many. Pure.

Times are of the monotonic clock. Of each Event only its newest count is kept. The node's own Events count as one more pod's.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import inf

from agent.kube.backoff import Backoff
from agent.model import Budget, Notice

MOST_WAITING = 1000
POD_BUDGET = Budget(10, 60.0)
NODE_BUDGET = Budget(50, 1.0)
FOR_EVERYBODY = (None, 401, 429, 503, 504)  # no answer, and statuses that are not about this Event: all wait


class Budgets:
    """Token buckets, one per pod and one for the node; each is kept as the time at which it would be full again.

    Full ones are not kept: there are as many as pods with recent Events.
    """

    def __init__(self, pod: Budget, node: Budget) -> None:
        self._pod = pod
        self._node = node
        self._full_at_s: dict[str, float] = {}
        self._node_full_at_s = 0.0

    def ready_s(self, uid: str) -> float:
        """Before, nothing about this object is sent."""
        return _ready_s(self._pod, self._full_at_s.get(uid, 0.0))

    def node_ready_s(self) -> float:
        """Before, nothing at all is sent."""
        return _ready_s(self._node, self._node_full_at_s)

    def spend(self, uid: str, now_s: float) -> None:
        """Something about this object was sent."""
        self._node_full_at_s = max(self._node_full_at_s, now_s) + self._node.every_s
        full_at_s = max(self._full_at_s.pop(uid, 0.0), now_s) + self._pod.every_s
        self._full_at_s = {other: at_s for other, at_s in self._full_at_s.items() if at_s > now_s} | {uid: full_at_s}


def _ready_s(budget: Budget, full_at_s: float) -> float:
    """With one token in it: the rest of the burst is missing then."""
    return full_at_s - (budget.burst - 1) * budget.every_s


@dataclass(slots=True)
class _Pod:
    """A pod with Events. ``turn`` is higher the later it was served; after a failure nothing is tried before ``retry_s``."""

    backoff: Backoff
    turn: int = 0
    retry_s: float = -inf


def choose(due: Iterable[Notice], turn: Callable[[Notice], int]) -> Notice | None:
    """The Event to send of those that are due: of the pod that was not served for longest, Warnings first, the oldest first."""
    return min(due, key=lambda notice: (turn(notice), not notice.warning), default=None)


class Schedule:
    """Events that wait in memory, at most ``room`` of them."""

    def __init__(
        self,
        pod_budget: Budget = POD_BUDGET,
        node_budget: Budget = NODE_BUDGET,
        rand: Callable[[], float] = random.random,
        room: int = MOST_WAITING,
    ) -> None:
        self.room = room
        self._budgets = Budgets(pod_budget, node_budget)
        self._rand = rand
        self._notices: dict[str, Notice] = {}
        self._pods: dict[str, _Pod] = {}
        self._turns = 0
        self._none_before_s = inf  # no Event of any pod is ready before; later than that only next() finds out
        self._away = Backoff(rand)
        self._away_until_s = -inf  # until then no Event is tried: the server is away, or asked us to wait

    def __len__(self) -> int:
        return len(self._notices)

    def __contains__(self, name: str) -> bool:
        return name in self._notices

    def __getitem__(self, name: str) -> Notice:
        return self._notices[name]

    def put(self, notice: Notice) -> None:
        """Add an Event, or replace the older one of its name."""
        self._notices[notice.name] = notice
        self._pods.setdefault(notice.about.uid, _Pod(Backoff(self._rand)))
        self._none_before_s = min(self._none_before_s, self._ready_s(notice))

    def remove(self, notice: Notice) -> None:
        """It is sent, or dropped."""
        del self._notices[notice.name]
        if all(other.about.uid != notice.about.uid for other in self._notices.values()):
            del self._pods[notice.about.uid]
        if not self._notices:
            self._none_before_s = inf

    def next(self, now_s: float) -> Notice | None:
        """The Event to send now; None: nothing is due."""
        if (due_s := self.due_s()) is None or due_s > now_s:
            return None
        due = [notice for notice in self._notices.values() if self._ready_s(notice) <= now_s]
        if not due:
            self._none_before_s = min(map(self._ready_s, self._notices.values()))
        return choose(due, lambda notice: self._pods[notice.about.uid].turn)

    def due_s(self) -> float | None:
        """When to ask for the next Event, at the same cost however many wait; None: none waits."""
        if not self._notices:
            return None
        return max(self._away_until_s, self._budgets.node_ready_s(), self._none_before_s)

    def _ready_s(self, notice: Notice) -> float:
        """Before, this Event is not sent."""
        uid = notice.about.uid
        return max(notice.due_s, self._pods[uid].retry_s, self._budgets.ready_s(uid))

    def answered(self, notice: Notice, now_s: float, *, charge: bool) -> None:
        """The API answered for good; the other pods' turn is next. ``charge``: a reader sees something new, which costs budget."""
        pod = self._pods[notice.about.uid]
        self._turns += 1
        pod.turn = self._turns
        pod.backoff.reset()
        self._away.reset()
        if charge:
            self._budgets.spend(notice.about.uid, now_s)

    def failed(self, notice: Notice, status: int | None, retry_after_s: float, now_s: float) -> None:
        """It stays and is tried again: its pod waits, or all pods where the failure is not about this Event."""
        if status in FOR_EVERYBODY:
            self._away_until_s = now_s + max(retry_after_s, self._away.next_s())
        else:
            pod = self._pods[notice.about.uid]
            pod.retry_s = now_s + max(retry_after_s, pod.backoff.next_s())
