"""How many Events may be sent: so many at once, then one every so often, for each pod and for the node as a whole.

A token bucket is kept as one time: when it would be full again. Takes times of a monotonic clock, gives times. Sends
nothing and waits for nothing.
"""

from __future__ import annotations

from agent.model import Budget

POD_BUDGET = Budget(10, 60.0)
NODE_BUDGET = Budget(50, 1.0)


class Budgets:
    """Buckets that are full are not kept: there are as many as pods with recent Events."""

    def __init__(self, pod: Budget, node: Budget) -> None:
        self._pod = pod
        self._node = node
        self._full_at_s: dict[str, float] = {}
        self._node_full_at_s = 0.0

    def ready_s(self, uid: str) -> float:
        """From when on something about this object may be sent, as far as its own budget goes; in the past: now."""
        return _ready_s(self._pod, self._full_at_s.get(uid, 0.0))

    def node_ready_s(self) -> float:
        """The same for everything on the node."""
        return _ready_s(self._node, self._node_full_at_s)

    def spend(self, uid: str, now_s: float) -> None:
        """Something about this object was sent."""
        self._node_full_at_s = max(self._node_full_at_s, now_s) + self._node.every_s
        full_at_s = max(self._full_at_s.pop(uid, 0.0), now_s) + self._pod.every_s
        self._full_at_s = {other: at_s for other, at_s in self._full_at_s.items() if at_s > now_s}
        self._full_at_s[uid] = full_at_s


def _ready_s(budget: Budget, full_at_s: float) -> float:
    """With one token in it: the rest of the burst is missing then."""
    return full_at_s - (budget.burst - 1) * budget.every_s
