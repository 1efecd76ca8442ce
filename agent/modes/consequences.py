"""What follows from a container's kills: an exceeded tolerance arms or restarts it; on cgroup v1, mode group is emulated.

Counts by the ledger, so that a restart of the agent changes nothing; an instance of a container that exceeded its tolerance
stays armed to its end, and the next one starts from zero.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from agent.ledger import Ledger
from agent.model import Cgroup, KillAttempt, KillOutcome, Mode, ObjectRef, OnExceeded, OnStall, OomKill, Tolerance
from agent.modes.desired import DesiredMode
from agent.modes.notices import ModeNotices
from agent.modes.tolerance import exceeded

AGAIN_S = 0.02
GIVE_UP_S = 10.0  # an exit may take that long: a process that writes back or dumps core does not refuse
LATER_S = 5.0  # after that, and after a refusal


@dataclass(slots=True)
class Restart:
    """``why``: RESTART for an exceeded tolerance, GROUP for a stall, None for a kill that takes the group with it."""

    container: Cgroup
    pod_uid: str
    name: str
    why: OnExceeded | OnStall | None
    since_s: float
    next_s: float | None = None  # None: no process is left
    trouble_reported: bool = False


@dataclass(eq=False)
class Restarts:
    """``attempt`` is cgroup.killing.kill_container; ``report`` gets "" at the end, or once why not all could be killed (yet)."""

    attempt: Callable[[Cgroup], KillAttempt]
    report: Callable[[Restart, str], None]
    _restarts: dict[int, Restart] = field(default_factory=dict, init=False)

    def start(self, container: Cgroup, pod_uid: str, name: str, why: OnExceeded | OnStall | None, now_s: float) -> None:
        """Kill all of it now; a second call for the same cgroup changes nothing."""
        if container.inode not in self._restarts:
            restart = self._restarts[container.inode] = Restart(container, pod_uid, name, why, now_s)
            self._try(restart, now_s)

    def gone(self, container: Cgroup) -> None:
        restart = self._restarts.pop(container.inode, None)
        if restart is not None and restart.next_s is not None:
            self.report(restart, "")

    def due_s(self) -> float | None:
        """Monotonic time of the next attempt; None: none."""
        return min((r.next_s for r in self._restarts.values() if r.next_s is not None), default=None)

    def collect(self, now_s: float) -> None:
        for restart in list(self._restarts.values()):
            if restart.next_s is not None and restart.next_s <= now_s:
                self._try(restart, now_s)

    def _try(self, restart: Restart, now_s: float) -> None:
        attempt = self.attempt(restart.container)
        if attempt.outcome in (KillOutcome.EMPTY, KillOutcome.GONE):
            restart.next_s = None
            if attempt.outcome is KillOutcome.GONE:
                del self._restarts[restart.container.inode]
            self.report(restart, "")
            return
        trouble = attempt.detail
        if attempt.outcome is KillOutcome.KILLED and now_s - restart.since_s > GIVE_UP_S:
            trouble = f"processes are left {GIVE_UP_S:.0f} s after SIGKILL; see what they wait for in /proc/<pid>/stack"
        if trouble and not restart.trouble_reported:
            restart.trouble_reported = True
            self.report(restart, trouble)
        restart.next_s = now_s + (LATER_S if restart.trouble_reported else AGAIN_S)


@dataclass(eq=False)
class Consequences:
    """``kill`` is cgroup.killing.kill_container. ``emulate_group``: the agent does what mode group requests, as v1's kernel can't.

    ``ending`` is called before a container that exceeded its tolerance is killed.
    """

    ledger: Ledger
    kill: Callable[[Cgroup], KillAttempt]
    notices: ModeNotices
    pod_ref: Callable[[str], ObjectRef | None]
    emulate_group: bool
    ending: Callable[[Cgroup], None] = lambda _: None

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
            over = self._has_exceeded(container, desired.tolerance)
            known = self._known[container.inode] = (desired.tolerance, over)
        return known[1]

    def _has_exceeded(self, container: Cgroup, tolerance: Tolerance) -> bool:
        """Once found it is remembered: the ledger does not keep all kills."""
        if self.ledger.exceeded(container.inode) == tolerance:
            return True
        kills = [k for k in self.ledger.kills_in(container.inode) if k.cgroup_path == container.path]
        if exceeded(kills, tolerance) is None:
            return False
        self.ledger.remember_exceeded(container.inode, tolerance)
        return True

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
        if (pod := self.pod_ref(desired.pod_uid)) is not None:
            self.notices.tolerance_exceeded(pod, desired.container, desired.tolerance, container.inode)
        if desired.tolerance.on_exceeded is OnExceeded.RESTART:
            self.ending(container)
            self.restarts.start(container, desired.pod_uid, desired.container, OnExceeded.RESTART, now_s)

    def end_stalled(self, container: Cgroup, pod_uid: str, name: str, now_s: float) -> None:
        """The container stalls at its own limit and asks to be ended then."""
        self.ending(container)
        self.restarts.start(container, pod_uid, name, OnStall.GROUP, now_s)

    def gone(self, container: Cgroup) -> None:
        """The cgroup was removed: the next instance starts from zero."""
        self._known.pop(container.inode, None)
        self.restarts.gone(container)

    def _ended(self, restart: Restart, trouble: str) -> None:
        if (pod := self.pod_ref(restart.pod_uid)) is not None:
            self.notices.killed_as_a_whole(pod, restart.name, restart.why, restart.container.inode, trouble)
