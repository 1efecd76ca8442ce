"""What is kept of containers' processes until a kill is reported: bounded, in memory only, shared by namespaces and pods."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from agent.model import SeenProcess, Victim, parent_of
from agent.wording.shares import Shares

FRESH_S = 60.0  # what was seen longer ago is not named, unless the process was there still when its kill was reported
REMOVED_S = 15.0  # a kill is recorded after the removal of its cgroup, and its report may come 5 s late
MOST_PROCESSES = 16  # per container, those that ended included
MOST_CONTAINERS = 200
OF_A_KILL = 4


@dataclass(frozen=True, slots=True)
class Seen:
    """One process, its start (clock ticks since boot), which with the PID names it, and the monotonic time at which it was seen."""

    process: SeenProcess
    start_ticks: int
    at_s: float


@dataclass(slots=True)
class _Container:
    inode: int
    namespace: str
    by_pid: dict[int, Seen] = field(default_factory=dict)
    removed_s: float | None = None


class Kept:
    """Written by the readers' threads and read by the loop's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._containers: dict[str, _Container] = {}
        self._shares = Shares[str, _Container](
            "containers' processes are remembered", lambda path, one: (one.namespace, parent_of(path))
        )

    def add(self, path: str, inode: int, namespace: str, found: Iterable[Seen]) -> None:
        """What was seen in the container at this path. ``namespace``: of its pod, "" if that is unknown.

        A process that has lost its command, because it ends, keeps what was known.
        """
        with self._lock:
            container = self._containers.pop(path, None)
            if container is None or container.inode != inode:
                container = _Container(inode, namespace)
            self._containers[path] = container
            for seen in found:
                before = container.by_pid.get(seen.process.pid)
                same = before is not None and before.start_ticks == seen.start_ticks
                container.by_pid[seen.process.pid] = _joined(before, seen) if before is not None and same else seen
            newest = sorted(container.by_pid.values(), key=lambda one: (-one.at_s, -(one.process.rss_bytes or 0)))
            container.by_pid = {one.process.pid: one for one in newest[:MOST_PROCESSES]}
            self._shares.trim(self._containers, MOST_CONTAINERS)

    def started(self, path: str, pid: int) -> int | None:
        """When the process that is known by this PID started; None: none is."""
        with self._lock:
            known = self._containers[path].by_pid.get(pid) if path in self._containers else None
        return None if known is None else known.start_ticks

    def drop(self, path: str, pid: int) -> None:
        """Its PID is another's now."""
        with self._lock:
            if path in self._containers:
                self._containers[path].by_pid.pop(pid, None)

    def removed(self, path: str, inode: int, now_s: float) -> None:
        """The cgroup was removed: kept for REMOVED_S, or until there is something to add or remove."""
        with self._lock:
            old = [
                at
                for at, one in self._containers.items()
                if one.removed_s is not None and now_s - one.removed_s > REMOVED_S
            ]
            for at in old:
                del self._containers[at]
            container = self._containers.get(path)
            if container is not None and container.inode == inode:
                container.removed_s = now_s

    def of_kill(
        self, path: str, victims: Sequence[Victim], now_s: float, recorded_ticks: float
    ) -> tuple[SeenProcess, ...]:
        """The victims, then the largest others, at most OF_A_KILL. A victim is a process that was seen in this container less than FRESH_S
        ago with this PID and name. Processes that started later than ``recorded_ticks`` (clock ticks since boot) are left out.
        """
        with self._lock:
            container = self._containers.get(path)
            known = () if container is None else tuple(container.by_pid.values())
        fresh_ones = (one for one in known if now_s - one.at_s <= FRESH_S and one.start_ticks <= recorded_ticks)
        fresh = {one.process.pid: one.process for one in fresh_ones}
        killed = {victim.pid: victim.comm for victim in victims}
        named = [one for pid in killed if (one := fresh.get(pid)) is not None and one.comm == killed[pid]]
        others = sorted((one for pid, one in fresh.items() if pid not in killed), key=lambda one: -(one.rss_bytes or 0))
        return (*named, *others)[:OF_A_KILL]


def _joined(before: Seen, now: Seen) -> Seen:
    old, new = before.process, now.process
    if new.command or not old.command:
        return (
            now
            if new.parents or not old.parents
            else replace(now, process=replace(new, parents=old.parents, parent_commands=old.parent_commands))
        )
    kept = replace(old, comm=new.comm, rss_bytes=max(old.rss_bytes or 0, new.rss_bytes or 0))
    return replace(now, process=kept)
