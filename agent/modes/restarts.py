"""Containers that are to be killed as a whole: tried again until nobody is left, and told when it is done or can't be.

Takes a container and why, makes the attempts through cgroup/killing.py, gives Killed. Waits for nothing: the loop asks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from agent.model import Cgroup, KillAttempt, KillOutcome, OnExceeded

AGAIN_S = 0.02
GIVE_UP_S = 10.0  # so long an exit may take: a process that writes back or dumps core is not refusing
LATER_S = 5.0  # after that, and after a refusal


@dataclass(frozen=True, slots=True)
class Killed:
    """The end of it. ``trouble`` "": nobody is left; else why not all could be killed (yet), told once."""

    container: Cgroup
    pod_uid: str
    name: str
    why: OnExceeded | None
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class _Under:
    killed: Killed
    since_s: float
    next_s: float
    told: bool = False


class Restarts:
    """``attempt`` is cgroup/killing.kill_container on this node's files."""

    def __init__(self, attempt: Callable[[Cgroup], KillAttempt]) -> None:
        self._attempt = attempt
        self._under_way: dict[int, _Under] = {}
        self._ended: set[int] = set()
        self._done: list[Killed] = []

    def start(self, container: Cgroup, pod_uid: str, name: str, why: OnExceeded | None, now_s: float) -> None:
        """Kill all of it now; once it has begun, and when it is done, saying so again changes nothing.

        ``why`` is RESTART for a tolerance that was exceeded, None for a kill that takes the group with it.
        """
        if container.inode not in self._under_way and container.inode not in self._ended:
            self._under_way[container.inode] = _Under(Killed(container, pod_uid, name, why), now_s, now_s)
            self._try(container.inode, now_s)

    def gone(self, container: Cgroup) -> None:
        """The cgroup was removed: nobody can be left."""
        self._ended.discard(container.inode)
        under = self._under_way.pop(container.inode, None)
        if under is not None:
            self._done.append(under.killed)

    def due_s(self) -> float | None:
        """When the next attempt is due; None: nothing is under way."""
        if self._done:
            return 0.0
        return min((under.next_s for under in self._under_way.values()), default=None)

    def collect(self, now_s: float) -> list[Killed]:
        """Try again what is due; what came to an end."""
        for inode in [inode for inode, under in self._under_way.items() if under.next_s <= now_s]:
            self._try(inode, now_s)
        done, self._done = self._done, []
        return done

    def _try(self, inode: int, now_s: float) -> None:
        under = self._under_way[inode]
        attempt = self._attempt(under.killed.container)
        if attempt.outcome in (KillOutcome.EMPTY, KillOutcome.GONE):
            del self._under_way[inode]
            if attempt.outcome is KillOutcome.EMPTY:
                self._ended.add(inode)
            self._done.append(under.killed)
            return
        trouble = attempt.detail
        if attempt.outcome is KillOutcome.KILLED and now_s - under.since_s > GIVE_UP_S:
            trouble = f"processes are left {GIVE_UP_S:.0f} s after SIGKILL; see what they wait for in /proc/<pid>/stack"
        if trouble and not under.told:
            self._done.append(replace(under.killed, trouble=trouble))
        pause = LATER_S if trouble or under.told else AGAIN_S
        self._under_way[inode] = replace(under, next_s=now_s + pause, told=under.told or bool(trouble))
