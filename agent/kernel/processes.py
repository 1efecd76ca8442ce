"""Facts about processes: which is a container's PID 1, is it still there, which cgroup is it in; and the node's count of OOM kills.

Takes pids as this machine's /proc shows them (hostPID in a pod), gives values; a process that is gone or hidden from us is None or
False, never an error. Signals nothing and changes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
WHOLE = 1 << 16
_DELETED = " (deleted)"
_PF_EXITING = 0x4  # include/linux/sched.h
_SIGKILL = 1 << 8
_ENDED = (b"Z", b"X", b"x")


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """One process: pids are used again within a boot, a pid with its start is not.

    ``start_ticks``: clock ticks since boot (proc_pid_stat(5), field 22). No change of the wall clock moves them, as it moves a start in
    seconds since 1970, which is the boot time plus these.
    """

    pid: int
    start_ticks: int


def init_process(pids: Iterable[int], proc: Path = PROC) -> ProcessIdentity | None:
    """The PID 1 of a container, of the pids in its cgroup; None when there is none (shared or host pid namespace).

    It is the one whose ``NSpid`` (proc_pid_status(5), since 4.1) ends in 1 in a namespace below ours; of several (docker
    in docker) the outermost. pid 0, which cgroup.procs shows for processes outside our namespace, is passed over.
    """
    found: list[tuple[int, int]] = []
    for pid in pids:
        levels = _nspid(pid, proc) if pid > 0 else ()
        if len(levels) > 1 and levels[-1] == 1:
            found.append((len(levels), pid))
    for _, pid in sorted(found):
        if (stat := _stat(pid, proc)) is not None:
            return ProcessIdentity(pid, stat.start_ticks)
    return None


def is_alive(identity: ProcessIdentity, proc: Path = PROC) -> bool:
    """Whether this very process runs on: same start, not a zombie that only waits for its parent, and not about to end.

    A PID 1 that was killed sleeps on until all processes of its namespace are gone and reaped (kernel/pid_namespace.c,
    zap_pid_ns_processes), on a busy node for longer than it takes to look.
    """
    stat = _stat(identity.pid, proc)
    return stat is not None and stat.start_ticks == identity.start_ticks and not stat.ends


def cgroup_of(pid: int, proc: Path = PROC) -> str | None:
    """The memory cgroup of a process with a slash in front; None when the process is gone or hidden, or in no such hierarchy.

    The v1 memory hierarchy's where there is one, else v2's (cgroups(7)). Works on a dying process and in a removed cgroup,
    whose `` (deleted)`` is taken off. From within a private cgroup namespace it begins with ``/..`` and names nothing.
    """
    unified: str | None = None
    for line in (_read(pid, "cgroup", proc) or b"").splitlines():
        parts = os.fsdecode(line).split(":", 2)
        if len(parts) != 3:
            continue
        number, controllers, path = parts
        if "memory" in controllers.split(","):
            return path.removesuffix(_DELETED)
        if number == "0" and not controllers:
            unified = path.removesuffix(_DELETED)
    return unified


def node_oom_kills(proc: Path = PROC) -> int | None:
    """All OOM kills since boot, of any kind (``oom_kill`` in /proc/vmstat, since 4.13); None where the kernel has none."""
    text = b""
    with (proc / "vmstat").open("rb", buffering=0) as file:  # the kernel gives it in parts of a page
        while part := file.read(WHOLE):
            text += part
            if b"\noom_kill " in text[: text.rindex(b"\n")]:
                break
    _, found, rest = text.partition(b"\noom_kill ")
    return int(rest.split(maxsplit=1)[0]) if found else None


@dataclass(frozen=True, slots=True)
class _Stat:
    """``ends``: it has ended and waits for its parent, is within do_exit, or SIGKILL is pending."""

    start_ticks: int
    ends: bool


def _stat(pid: int, proc: Path) -> _Stat | None:
    """/proc/PID/stat (proc_pid_stat(5): fields 3, 9, 22 and 31); None when the process is gone or hidden."""
    line = _read(pid, "stat", proc)
    if line is None:
        return None
    fields = line[line.rindex(b")") + 1 :].split()  # the name before it may have spaces and brackets
    state, flags, start_ticks, pending = (fields[number - 3] for number in (3, 9, 22, 31))
    return _Stat(int(start_ticks), state in _ENDED or bool(int(flags) & _PF_EXITING or int(pending) & _SIGKILL))


def _nspid(pid: int, proc: Path) -> tuple[int, ...]:
    for line in (_read(pid, "status", proc) or b"").splitlines():
        if line.startswith(b"NSpid:"):
            return tuple(int(level) for level in line.split()[1:])
    return ()


def _read(pid: int, file: str, proc: Path) -> bytes | None:
    """None: the process is gone, or we may not see it (hidepid, proc(5))."""
    try:
        return (proc / str(pid) / file).read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
