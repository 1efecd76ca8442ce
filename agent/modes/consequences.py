"""What follows from a container's kills: an exceeded tolerance arms or restarts it; on cgroup v1, mode group is emulated.

Counts by the ledger, so that a restart of the agent changes nothing; an instance of a container that exceeded its tolerance
stays armed to its end, and the next one starts afresh.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agent.ledger import Ledger
from agent.model import Cgroup, KillAttempt, Mode, OnExceeded, OomKill, Pod, Tolerance
from agent.modes.desired import DesiredMode
from agent.modes.notices import ModeNotices
from agent.modes.restarts import Restart, Restarts
from agent.modes.tolerance import exceeded


@dataclass(eq=False)
class Consequences:
    """``kill`` is cgroup.killing.kill_container. ``emulate_group``: the agent does what mode group requests, as v1's kernel can't."""

    ledger: Ledger
    kill: Callable[[Cgroup], KillAttempt]
    notices: ModeNotices
    pod_of: Callable[[str], Pod | None]
    emulate_group: bool

    def __post_init__(self) -> None:
        self.restarts = Restarts(self.kill, self._ended)
        self._known: dict[int, tuple[Tolerance, bool]] = {}  # by inode: whether this tolerance is exceeded

    def mode_of(self, container: Cgroup, desired: DesiredMode) -> Mode | None:
        """The mode to enforce: the desired one, or group if the tolerance is exceeded."""
        return Mode.GROUP if self._armed(container, desired) else desired.decision.mode

    def _armed(self, container: Cgroup, desired: DesiredMode) -> bool:
        if desired.decision.mode is not Mode.SINGLE or desired.tolerance is None or desired.pod_uid is None:
            return False
        known = self._known.get(container.inode)
        if known is None or known[0] != desired.tolerance:
            found = self.ledger.kills_in(desired.pod_uid, container.inode)
            kills = [kill for kill in found if kill.cgroup_path == container.path]
            over = exceeded(kills, desired.tolerance) is not None
            known = self._known[container.inode] = (desired.tolerance, over)
        return known[1]

    def killed(self, container: Cgroup) -> None:
        """A kill in it was recorded or amended: count again."""
        self._known.pop(container.inode, None)

    def act(self, container: Cgroup, desired: DesiredMode, kill: OomKill | None, now_s: float) -> None:
        """Restart the container if its kills require it. ``kill`` is the one that just happened, None: none did."""
        if desired.container is None or desired.pod_uid is None:
            return
        if self.emulate_group and kill is not None and self.mode_of(container, desired) is Mode.GROUP:
            self.restarts.start(container, desired.pod_uid, desired.container, None, now_s)
        if desired.tolerance is None or not self._armed(container, desired):
            return
        pod = self.pod_of(desired.pod_uid)
        if pod is not None:
            self.notices.tolerance_exceeded(pod, desired.container, desired.tolerance, container.inode)
        if desired.tolerance.on_exceeded is OnExceeded.RESTART:
            self.restarts.start(container, desired.pod_uid, desired.container, OnExceeded.RESTART, now_s)

    def gone(self, container: Cgroup) -> None:
        """The cgroup was removed: the next instance starts afresh."""
        self._known.pop(container.inode, None)
        self.restarts.gone(container)

    def _ended(self, restart: Restart, trouble: str) -> None:
        pod = self.pod_of(restart.pod_uid)
        if pod is not None:
            self.notices.killed_as_a_whole(pod, restart.name, restart.why, restart.container.inode, trouble)
