"""All processes of one container are killed, or its largest one, and no others: by the kernel in one step, or one by one by pidfd.

Waits for nothing.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress

from agent.cgroup.errors import CgroupError
from agent.cgroup.files import CgroupFiles
from agent.cgroup.layout import classify
from agent.model import Cgroup, CgroupKind, KillAttempt, KillOutcome, SeenProcess, Vanished

BATCH = 200  # descriptors at once
HIDDEN = "its processes have no pid here: set hostPID: true in the DaemonSet's pod template"


def kill_container(files: CgroupFiles, cgroup: Cgroup) -> KillAttempt:
    """One attempt; trouble is in the outcome. The caller tries again until no process is left.

    Raises ValueError for a cgroup that is no container's.
    """
    try:
        by_kernel = files.kill_all(cgroup)
        populated = by_kernel if isinstance(by_kernel, Vanished) else files.populated(cgroup)
        if isinstance(populated, Vanished):
            return KillAttempt(KillOutcome.GONE)
        if not populated:
            return KillAttempt(KillOutcome.EMPTY)
        return KillAttempt(KillOutcome.KILLED) if by_kernel else _one_by_one(files, cgroup)
    except CgroupError as error:
        return KillAttempt(KillOutcome.DENIED, str(error))
    except PermissionError as error:
        return KillAttempt(KillOutcome.DENIED, f"a process could not be killed: {error.strerror}; run as root")


def kill_largest(
    files: CgroupFiles,
    cgroup: Cgroup,
    largest: Callable[[Iterable[int]], Sequence[SeenProcess]],
    main: Callable[[Iterable[int]], int | None],
) -> tuple[KillAttempt, SeenProcess | None]:
    """SIGKILL to the largest process of a container, and which that was. ``largest`` sorts them. ``main`` (None: not known) is the one
    whose end would end the container: it is killed only if there is no other.

    Raises ValueError for a cgroup that is no container's.
    """
    if {cgroup.place.kind, classify(cgroup.path).kind} != {CgroupKind.CONTAINER}:
        raise ValueError(f"{cgroup.path} is no container's cgroup: its processes are not ours to kill")
    try:
        listed = files.pids(cgroup)
        if isinstance(listed, Vanished):
            return KillAttempt(KillOutcome.GONE), None
        if not any(listed):
            return KillAttempt(KillOutcome.DENIED, HIDDEN) if listed else KillAttempt(KillOutcome.EMPTY), None
        found = [one for one in largest(pid for pid in listed if pid) if one.rss_bytes]
        main_pid = main(pid for pid in listed if pid)
        chosen = next((one for one in found if one.pid != main_pid), found[0] if found else None)
        if chosen is None:
            return KillAttempt(KillOutcome.EMPTY), None
        sent = _signal(files, cgroup, (chosen.pid,))
        return KillAttempt(KillOutcome.KILLED if sent else KillOutcome.EMPTY), chosen
    except CgroupError as error:
        return KillAttempt(KillOutcome.DENIED, str(error)), None
    except PermissionError as error:
        return KillAttempt(KillOutcome.DENIED, f"a process could not be killed: {error.strerror}; run as root"), None


def _one_by_one(files: CgroupFiles, cgroup: Cgroup) -> KillAttempt:
    listed = files.pids(cgroup)
    if isinstance(listed, Vanished):
        return KillAttempt(KillOutcome.GONE)
    pids = tuple(pid for pid in listed if pid)
    if listed and not pids:  # nothing listed: the last one ended since it was asked whether there is any
        return KillAttempt(KillOutcome.DENIED, HIDDEN)
    for begin in range(0, len(pids), BATCH):
        _signal(files, cgroup, pids[begin : begin + BATCH])
    return KillAttempt(KillOutcome.KILLED)


def _signal(files: CgroupFiles, cgroup: Cgroup, pids: tuple[int, ...]) -> int:
    """SIGKILL to those of these pids that are still in the cgroup: how many. Raises PermissionError, CgroupError.

    A pid may be another process's by now: a pidfd (pidfd_open(2), since 5.3) is of the process that has it, and only after that the
    cgroup is read again. If the pid is still in it, the pidfd's process is, or it is gone, and the signal reaches no process.
    """
    sent = 0
    with ExitStack() as opened:
        pidfds = {}
        for pid in pids:
            with suppress(ProcessLookupError):
                pidfds[pid] = os.pidfd_open(pid)
                opened.callback(os.close, pidfds[pid])
        there = files.pids(cgroup)
        for pid in () if isinstance(there, Vanished) else there:
            if pid in pidfds:
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(pidfds[pid], signal.SIGKILL)
                    sent += 1
    return sent
