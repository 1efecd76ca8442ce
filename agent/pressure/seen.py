"""Which processes a container had when it reached its limit: a process that was killed can't be asked any more.

Read by threads of their own (readers.py), so the loop's never waits; paced (pace.py), bounded (kept.py), and without secrets
(wording/redact.py) before anything is kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from heapq import nlargest
from itertools import islice
from pathlib import Path
from typing import Protocol

from agent.kernel.command_lines import CUT, arguments, resident_bytes
from agent.kernel.processes import PROC, TICKS_PER_S, Process, boot_s, cgroup_of, exists, process
from agent.model import Cgroup, CgroupKind, SeenProcess, Victim, parent_of
from agent.pressure.kept import OF_A_KILL, Kept, Seen
from agent.pressure.pace import Pace
from agent.wording.redact import Redaction
from agent.wording.text import cut

LARGEST = 8
MOST_LOOKED_AT = 8192  # processes of one container
MOST_PARENTS = 5
COMMAND_CHARS, PARENT_CHARS, ARGUMENT_CHARS = 256, 96, 100


class Submit(Protocol):
    def __call__(self, pod: str, key: str, work: Callable[[], None], *, soon: bool = False) -> bool: ...


class Release(Protocol):
    def __call__(self, *, waits: bool) -> None: ...


class SeenProcesses:
    """``pids`` are those of a container's cgroup and below; called in readers' threads. ``containers``: those of a pod, by its key.
    ``namespace_of``: of the pod of the cgroup at this path, "" if that is unknown; called by the loop's thread.

    ``redaction`` None: command lines aren't read, only names. ``submit`` and ``release`` are those of Readers.
    """

    def __init__(
        self,
        pids: Callable[[Cgroup], Iterable[int]],
        containers: Callable[[str | None], Sequence[Cgroup]],
        redaction: Redaction | None,
        submit: Submit,
        *,
        release: Release = lambda **_: None,
        namespace_of: Callable[[str], str] = lambda _path: "",
        proc: Path = PROC,
        clock: Callable[[], float] = time.monotonic,
        boot_clock: Callable[[], float] = boot_s,
    ) -> None:
        self._pids = pids
        self._containers = containers
        self._redaction = redaction
        self._submit = submit
        self.release = release
        self._namespace_of = namespace_of
        self._proc = proc
        self._clock = clock
        self._boot_clock = boot_clock
        self._pace = Pace()
        self._kept = Kept()

    # ------------------------------------------------------------------------------------------------ the loop's thread

    def reached(self, cgroup: Cgroup, now_s: float) -> None:
        """This container, or pod, is at its limit, or may be: its processes are read soon, if it is not too soon. Never waits."""
        if cgroup.place.kind is CgroupKind.POD:
            for container in self._containers(cgroup.place.pod_key):
                self.reached(container, now_s)
        elif cgroup.place.kind is CgroupKind.CONTAINER and self._pace.due(cgroup.path, now_s):
            namespace = self._namespace_of(cgroup.path)
            taken = self._submit(parent_of(cgroup.path), cgroup.path, lambda: self._look(cgroup, namespace))
            self._pace.give_back(0.0 if taken else 1.0)  # one pod's containers must not use up what others may need

    def reported(self, cgroup: Cgroup, victims: Sequence[Victim], now_s: float) -> None:
        """The kernel's log names processes of this container that were killed: what is left of them, and their parents, is read soon.

        Usually nothing is left: waking a reader costs more than checking that the processes exist (measured).
        """
        left = [victim for victim in victims[:OF_A_KILL] if exists(victim.pid, self._proc)]
        if left and self._pace.take(now_s):
            namespace, first, key = self._namespace_of(cgroup.path), left, f"{cgroup.path} killed"
            self._submit(parent_of(cgroup.path), key, lambda: self._look_at_killed(cgroup, namespace, first), soon=True)

    def gone(self, cgroup: Cgroup, now_s: float) -> None:
        """The cgroup was removed."""
        if cgroup.place.kind is CgroupKind.CONTAINER:
            self._pace.forget(cgroup.path)
            self._kept.removed(cgroup.path, cgroup.inode, now_s)

    def of_kill(self, path: str, victims: Sequence[Victim], recorded_s: float | None = None) -> tuple[SeenProcess, ...]:
        """Of the container at this path: the victims as far as they were seen, then the largest others. Without victims: the largest.

        ``recorded_s``: the monotonic time at which the kill was recorded; None: it is recorded now.
        """
        now_s = self._clock()
        recorded_ticks = (self._boot_clock() - (0.0 if recorded_s is None else now_s - recorded_s)) * TICKS_PER_S
        return self._kept.of_kill(path, victims, now_s, recorded_ticks)

    # -------------------------------------------------------------------------------------------------- readers' threads

    def _look(self, cgroup: Cgroup, namespace: str) -> None:
        began_s = time.thread_time()
        inside = {pid for pid in islice(self._pids(cgroup), MOST_LOOKED_AT) if pid > 0}
        look = _Look(self._redaction, inside.__contains__, self._proc)
        found = [one for pid in self._largest(inside) if (one := look.process(pid)) is not None]
        self._kept.add(cgroup.path, cgroup.inode, namespace, [self._seen(look, one) for one in found])
        self._pace.took(cgroup.path, time.thread_time() - began_s)

    def _largest(self, pids: set[int]) -> Collection[int]:
        if len(pids) <= LARGEST:
            return pids
        return [pid for _, pid in nlargest(LARGEST, ((resident_bytes(pid, self._proc), pid) for pid in pids))]

    def _look_at_killed(self, cgroup: Cgroup, namespace: str, victims: Sequence[Victim]) -> None:
        """A victim is the process of this PID that ends, in this container, under this name. Another that has the PID now shows that what
        was seen is gone.
        """
        path = f"/{cgroup.path}/"
        look = _Look(self._redaction, lambda pid: path in f"{cgroup_of(pid, self._proc)}/", self._proc)
        found = []
        for victim in victims:
            now = look.process(victim.pid)
            if now is None:
                continue
            if now.ends and now.comm == victim.comm and look.is_inside(victim.pid):
                found.append(self._seen(look, now))
            elif self._kept.started(cgroup.path, victim.pid) not in (None, now.start_ticks):
                self._kept.drop(cgroup.path, victim.pid)
        self._kept.add(cgroup.path, cgroup.inode, namespace, found)

    def _seen(self, look: _Look, one: Process) -> Seen:
        return Seen(look.describe(one), one.start_ticks, self._clock())


class _Look:
    """One reading; what several processes have in common is read once. ``is_inside``: whether a PID is of the container."""

    def __init__(self, redaction: Redaction | None, is_inside: Callable[[int], bool], proc: Path) -> None:
        self._redaction = redaction
        self.is_inside = is_inside
        self._proc = proc
        self._processes: dict[int, Process | None] = {}
        self._commands: dict[int, str] = {}

    def describe(self, one: Process) -> SeenProcess:
        parents: list[Process] = []
        at = one
        while len(parents) < MOST_PARENTS and at.parent > 0 and self.is_inside(at.parent):
            above = self.process(at.parent)
            if above is None:
                break
            parents.append(above)
            at = above
        return SeenProcess(
            one.pid,
            one.comm,
            self._command(one.pid, COMMAND_CHARS),
            tuple(parent.comm for parent in parents),
            tuple(self._command(parent.pid, PARENT_CHARS) for parent in parents),
            one.rss_bytes,
        )

    def process(self, pid: int) -> Process | None:
        if pid not in self._processes:
            self._processes[pid] = process(pid, self._proc)
        return self._processes[pid]

    def _command(self, pid: int, most_chars: int) -> str:
        if self._redaction is None:
            return ""
        if pid not in self._commands:
            self._commands[pid] = " ".join(map(_short, self._redaction.arguments(arguments(pid, self._proc))))
        return cut(self._commands[pid], most_chars)


def _short(argument: str) -> str:
    """A script is shown by its first line; a long argument without its middle."""
    lines = argument.strip("\n").split("\n", 1)
    return cut(lines[0] if len(lines) == 1 else f"{lines[0]} {CUT}", ARGUMENT_CHARS)
