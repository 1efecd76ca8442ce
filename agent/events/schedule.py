"""Which Event is sent next, and when: Warnings first, turns of namespaces and pods (first reports before new counts), budgets, back-off,
and shares of the room. Pure.

Times are of the monotonic clock. Of each Event only its newest count is kept. The node's own Events count as one more namespace's.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import inf

from agent.events.places import Places
from agent.kube.backoff import Backoff
from agent.model import Budget, Notice

MOST_WAITING = 1000
POD_BUDGET = Budget(10, 60.0)
NODE_BUDGET = Budget(50, 0.2)
FOR_EVERYBODY = (None, 401)  # no answer, or our token is refused: all wait
FOR_THE_NAMESPACE = (403, 429, 503, 504)  # a quota, a limit or a webhook of one namespace or pod: the others are sent
MOST_PAUSE_S = 2.0  # of all, when several namespaces are refused in a row: then the server may be overloaded


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
class _Turns:
    """Of a pod or namespace with Events. ``turn`` is higher the later it was tried; after a failure nothing is tried before ``retry_s``.

    ``refused``: the uid of the pod that was refused last, "" after an answer for good.
    """

    backoff: Backoff
    turn: int = 0
    retry_s: float = -inf
    refused: str = ""

    def served(self, turn: int) -> None:
        self.turn, self.refused = turn, ""
        self.backoff.reset()

    def wait(self, at_least_s: float, now_s: float) -> None:
        self.retry_s = now_s + max(at_least_s, self.backoff.next_s())


def choose(due: Iterable[Notice], turn: Callable[[Notice], tuple[int, ...]]) -> Notice | None:
    """The Event to send of those that are due: Warnings first, then by ``turn``, lowest first, the oldest first."""
    return min(due, key=lambda notice: (not notice.warning, *turn(notice)), default=None)


class Schedule:
    """Events that wait in memory, at most ``room`` of them, shared fairly."""

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
        self._places = {warning: Places() for warning in (True, False)}
        self._pods: dict[str, _Turns] = {}
        self._namespaces: dict[str, _Turns] = {}
        self._turns = 0
        self._under_way: str | None = None  # the name of the Event that next() gave last
        self._none_before_s = inf  # no Event of any pod is ready before; later than that only next() finds out
        self._refused: set[str] = set()  # namespaces with Events that were refused since the last answer for good
        self._away = Backoff(rand)
        self._away_until_s = -inf  # until then no Event is tried: the server is away, or asked us to wait

    def __len__(self) -> int:
        return len(self._notices)

    def __contains__(self, name: str) -> bool:
        return name in self._notices

    def __getitem__(self, name: str) -> Notice:
        return self._notices[name]

    def put(self, notice: Notice) -> Notice | None:
        """Add an Event, or replace the older one of its name. Returns the Event that has no place any more, perhaps this one.

        Where there is no room it is a Normal one, if there is any, of the namespace with the most places and its pod with the most.
        """
        about, known = notice.about, self._notices.get(notice.name)
        if known is not None and known.warning is not notice.warning:
            self._places[known.warning].remove(known)
        self._notices[notice.name] = notice
        self._places[notice.warning].add(notice)
        self._pods.setdefault(about.uid, _Turns(Backoff(self._rand)))
        self._namespaces.setdefault(about.namespace, _Turns(Backoff(self._rand)))
        left_out = self._crowded(notice) if len(self._notices) > self.room else None
        if left_out is not None:
            self.remove(left_out)
        if left_out is not notice:
            self._none_before_s = min(self._none_before_s, self._ready_s(notice))
        return left_out

    def _crowded(self, newest: Notice) -> Notice:
        """The Event that is left out."""
        places = self._places[not self._places[False]]
        name = places.crowded(newest, self._under_way)
        return newest if name is None else self._notices[name]

    def remove(self, notice: Notice) -> None:
        """It is sent, or dropped, or has no place."""
        uid, namespace = notice.about.uid, notice.about.namespace
        self._places[self._notices.pop(notice.name).warning].remove(notice)
        if self._under_way == notice.name:
            self._under_way = None
        if not any(places.of_pod(notice) for places in self._places.values()):
            del self._pods[uid]
        if not any(places.of_namespace(namespace) for places in self._places.values()):
            del self._namespaces[namespace]
            self._refused.discard(namespace)
        if not self._notices:
            self._none_before_s = inf

    def next(self, now_s: float) -> Notice | None:
        """The Event to send now; None: nothing is due."""
        if (due_s := self.due_s()) is None or due_s > now_s:
            return None
        due = [notice for notice in self._notices.values() if self._ready_s(notice) <= now_s]
        if not due:
            self._none_before_s = min(map(self._ready_s, self._notices.values()))
        chosen = choose(due, self._turn)
        self._under_way = chosen.name if chosen is not None else None
        return chosen

    def _turn(self, notice: Notice) -> tuple[bool, int, bool, int]:
        """The lowest is the next: namespaces that are refused come last, and within a namespace new counts after first reports."""
        namespace, pod = notice.about.namespace, self._pods[notice.about.uid]
        return namespace in self._refused, self._namespaces[namespace].turn, notice.sent_count > 0, pod.turn

    def due_s(self) -> float | None:
        """When to ask for the next Event, at the same cost however many wait; None: none waits."""
        if not self._notices:
            return None
        return max(self._away_until_s, self._budgets.node_ready_s(), self._none_before_s)

    def _ready_s(self, notice: Notice) -> float:
        """Before, this Event is not sent."""
        uid, namespace = notice.about.uid, notice.about.namespace
        retry_s = max(self._pods[uid].retry_s, self._namespaces[namespace].retry_s)
        return max(notice.due_s, retry_s, self._budgets.ready_s(uid))

    def answered(self, notice: Notice, now_s: float, *, charge: bool) -> None:
        """The API answered for good; the others' turn is next. ``charge``: a reader sees something new, which costs budget."""
        self._under_way = None
        self._turns += 1
        self._pods[notice.about.uid].served(self._turns)
        self._namespaces[notice.about.namespace].served(self._turns)
        self._refused.clear()
        self._away.reset()
        if charge:
            self._budgets.spend(notice.about.uid, now_s)

    def failed(self, notice: Notice, status: int | None, retry_after_s: float, now_s: float) -> None:
        """It stays and is tried again, behind the others. Its pod waits; its namespace too if two of its pods were refused; and all where
        no Event can be sent.
        """
        self._under_way = None
        uid, namespace = notice.about.uid, notice.about.namespace
        if status in FOR_EVERYBODY:
            self._away_until_s = now_s + max(retry_after_s, self._away.next_s())
            return
        self._turns += 1
        self._pods[uid].turn = self._namespaces[namespace].turn = self._turns
        self._pods[uid].wait(retry_after_s, now_s)
        if status in FOR_THE_NAMESPACE:
            turns = self._namespaces[namespace]
            if turns.refused not in ("", uid):
                turns.wait(retry_after_s, now_s)
            turns.refused = uid
            self._refused.add(namespace)
            if len(self._refused) > 1:
                self._away_until_s = now_s + min(MOST_PAUSE_S, self._away.next_s())
