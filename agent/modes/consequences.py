"""Tolerance with a limit: which containers were killed in once too often, and what is done about it.

Asks the ledger, so that a restart of the agent changes nothing; an instance of a container that exceeded what is tolerated
stays armed to its end, and the next one starts afresh. Decides by policy, kills through restarts.py, tells through telling.
"""

from __future__ import annotations

from collections.abc import Callable

from agent.ledger import Ledger
from agent.model import Cgroup, Mode, OnExceeded, OomKill, Pod, Tolerance
from agent.modes import exceeded
from agent.modes.desired import Wish
from agent.modes.notices import ModeNotices
from agent.modes.restarts import Restarts


class Consequences:
    """``emulate_group``: on cgroup v1 the agent does what mode group asks for, since the kernel can't."""

    def __init__(
        self,
        ledger: Ledger,
        restarts: Restarts,
        notices: ModeNotices,
        pod_of: Callable[[str], Pod | None],
        *,
        emulate_group: bool,
    ) -> None:
        self._ledger = ledger
        self._restarts = restarts
        self._notices = notices
        self._pod_of = pod_of
        self.emulate_group = emulate_group
        self._known: dict[int, tuple[Tolerance, float | None]] = {}

    def mode_of(self, container: Cgroup, wish: Wish) -> Mode | None:
        """The mode to be held: the one wished for, or group where more was killed than is tolerated."""
        armed = wish.decision.mode is Mode.SINGLE and self._exceeded(container, wish) is not None
        return Mode.GROUP if armed else wish.decision.mode

    def _exceeded(self, container: Cgroup, wish: Wish) -> float | None:
        if wish.tolerance is None or wish.pod_uid is None:
            return None
        known = self._known.get(container.inode)
        if known is None or known[0] != wish.tolerance:
            found = self._ledger.kills_in(wish.pod_uid, container.inode)
            kills = [kill for kill in found if kill.cgroup_path == container.path]
            known = self._known[container.inode] = (wish.tolerance, exceeded(kills, wish.tolerance))
        return known[1]

    def concerns(self, wish: Wish) -> bool:
        """Whether a kill in such a container may have consequences."""
        return wish.tolerance is not None or self.emulate_group

    def killed(self, container: Cgroup) -> None:
        """There was a kill in it, or news of one: it is counted anew."""
        self._known.pop(container.inode, None)

    def act(self, container: Cgroup, wish: Wish, kill: OomKill | None, now_s: float) -> None:
        """What follows from the container's kills, beside its mode. ``kill`` is the one that just happened, None: none did."""
        if wish.container is None or wish.pod_uid is None:
            return
        if self.emulate_group and kill is not None and self.mode_of(container, wish) is Mode.GROUP:
            self._restarts.start(container, wish.pod_uid, wish.container, None, now_s)
        if wish.decision.mode is not Mode.SINGLE or wish.tolerance is None or self._exceeded(container, wish) is None:
            return
        pod = self._pod_of(wish.pod_uid)
        if pod is not None:
            self._notices.tolerance_exceeded(pod, wish.container, wish.tolerance, container.inode)
        if wish.tolerance.on_exceeded is OnExceeded.RESTART:
            self._restarts.start(container, wish.pod_uid, wish.container, OnExceeded.RESTART, now_s)

    def gone(self, container: Cgroup) -> None:
        """Its end: the next instance starts afresh."""
        self._known.pop(container.inode, None)
        self._restarts.gone(container)

    def due_s(self) -> float | None:
        """When a killing has to be looked after."""
        return self._restarts.due_s()

    def collect(self, now_s: float) -> None:
        """Restarts that came to an end are told."""
        for killed in self._restarts.collect(now_s):
            pod = self._pod_of(killed.pod_uid)
            if pod is not None:
                self._notices.killed_as_a_whole(pod, killed.name, killed.why, killed.container.inode, killed.trouble)
