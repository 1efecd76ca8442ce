"""Containers that the agent kills as a whole: tried again until no process is left, and reported at the end or if it can't be done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agent.model import Cgroup, KillAttempt, KillOutcome, OnExceeded

AGAIN_S = 0.02
GIVE_UP_S = 10.0  # an exit may take that long: a process that writes back or dumps core does not refuse
LATER_S = 5.0  # after that, and after a refusal


@dataclass(slots=True)
class Restart:
    """``why`` is RESTART for an exceeded tolerance, None for a kill that takes the group with it."""

    container: Cgroup
    pod_uid: str
    name: str
    why: OnExceeded | None
    since_s: float
    next_s: float | None = None  # None: no process is left
    trouble_reported: bool = False


class Restarts:
    """``attempt`` is cgroup.killing.kill_container; ``report`` gets "" at the end, or once why not all could be killed (yet)."""

    def __init__(self, attempt: Callable[[Cgroup], KillAttempt], report: Callable[[Restart, str], None]) -> None:
        self._attempt = attempt
        self._report = report
        self._restarts: dict[int, Restart] = {}

    def start(self, container: Cgroup, pod_uid: str, name: str, why: OnExceeded | None, now_s: float) -> None:
        """Kill all of it now; a second call for the same cgroup changes nothing."""
        if container.inode not in self._restarts:
            restart = self._restarts[container.inode] = Restart(container, pod_uid, name, why, now_s)
            self._try(restart, now_s)

    def gone(self, container: Cgroup) -> None:
        """The cgroup was removed, so no process is left."""
        restart = self._restarts.pop(container.inode, None)
        if restart is not None and restart.next_s is not None:
            self._report(restart, "")

    def due_s(self) -> float | None:
        """Monotonic time of the next attempt; None: none."""
        return min((r.next_s for r in self._restarts.values() if r.next_s is not None), default=None)

    def collect(self, now_s: float) -> None:
        """Make the attempts that are due."""
        for restart in list(self._restarts.values()):
            if restart.next_s is not None and restart.next_s <= now_s:
                self._try(restart, now_s)

    def _try(self, restart: Restart, now_s: float) -> None:
        attempt = self._attempt(restart.container)
        if attempt.outcome in (KillOutcome.EMPTY, KillOutcome.GONE):
            restart.next_s = None
            if attempt.outcome is KillOutcome.GONE:
                del self._restarts[restart.container.inode]
            self._report(restart, "")
            return
        trouble = attempt.detail
        if attempt.outcome is KillOutcome.KILLED and now_s - restart.since_s > GIVE_UP_S:
            trouble = f"processes are left {GIVE_UP_S:.0f} s after SIGKILL; see what they wait for in /proc/<pid>/stack"
        if trouble and not restart.trouble_reported:
            restart.trouble_reported = True
            self._report(restart, trouble)
        restart.next_s = now_s + (LATER_S if restart.trouble_reported else AGAIN_S)
