"""Facts about processes by their pid in this machine's /proc (hostPID in a pod), and the node's count of OOM kills.

A process that is gone or hidden from us is None or False, never an error. Read here and not by psutil, which has neither NSpid, cgroup,
flags nor pending signals, and reads more files: some of this happens once per kill.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from heapq import nsmallest
from pathlib import Path

from agent.model import SeenProcess

PROC = Path("/proc")
WHOLE = 1 << 16
PAGE = resource.getpagesize()
TICKS_PER_S = os.sysconf("SC_CLK_TCK")  # of a process's start
MOST_FIRST = 32  # of a cgroup's processes, as listed and by pid: where a container's PID 1 is
MOST_LOOKED = 128  # with their parents; a look takes some 50 us
_PF_EXITING = 0x4  # include/linux/sched.h
_SIGKILL = 1 << 8


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """One process: pids are used again within a boot, a pid with its start is not.

    ``start_ticks``: clock ticks since boot (proc_pid_stat(5), field 22), which no change of the wall clock moves.
    """

    pid: int
    start_ticks: int


@dataclass(frozen=True, slots=True)
class Process:
    """``comm``: not made safe, decoded as the names in the kernel's log are. ``rss_bytes``: to some pages per thread; 0 when its memory is
    gone. ``ends``: it waits for its parent, is within do_exit, or SIGKILL is pending.
    """

    pid: int
    comm: str
    parent: int
    start_ticks: int
    rss_bytes: int
    ends: bool


def init_process(pids: Iterable[int], proc: Path = PROC) -> ProcessIdentity | None:
    """The PID 1 of a container, of the pids in its cgroup; None when there is none (shared or host pid namespace).

    Its ``NSpid`` (proc_pid_status(5), since 4.1) ends in 1 in a namespace right below ours, and its parent is not in the container.
    Further down (docker in docker), or as a child of another process of the container (unshare(1)), it is the PID 1 of something
    inside: the container may live on without it. pid 0, which cgroup.procs shows for processes outside our namespace, is skipped.

    Of very many some are looked at: those listed first, which were there first (v2), those with the lowest pids, and their parents.
    """
    listed = [pid for pid in pids if pid > 0]
    inside = set(listed)
    looked = list(dict.fromkeys((*nsmallest(MOST_FIRST, inside), *listed[:MOST_FIRST])))
    for pid in looked:
        levels, parent = _namespaces(pid, proc)
        if (
            len(levels) == 2
            and levels[1] == b"1"
            and parent not in inside
            and (found := process(pid, proc)) is not None
        ):
            return ProcessIdentity(pid, found.start_ticks)
        if parent in inside and parent not in looked and len(looked) < MOST_LOOKED:
            looked.append(parent)  # this loop comes to it
    return None


def first_process(pids: Iterable[int], proc: Path = PROC) -> int | None:
    """The oldest of these processes whose parent is none of them: the main process of a container without a PID 1 of its own."""
    inside = {pid for pid in pids if pid > 0}
    found = [one for pid in inside if (one := process(pid, proc)) is not None and one.parent not in inside]
    return min(found, key=lambda one: (one.start_ticks, one.pid)).pid if found else None


def is_alive(identity: ProcessIdentity, proc: Path = PROC) -> bool:
    """Whether this very process runs on: same start, not a zombie, and not about to end.

    A PID 1 that was killed sleeps on until all processes of its namespace are gone and reaped (kernel/pid_namespace.c,
    zap_pid_ns_processes), on a busy node for longer than it takes to look.
    """
    found = process(identity.pid, proc)
    return found is not None and found.start_ticks == identity.start_ticks and not found.ends


def cgroup_of(pid: int | str, proc: Path = PROC, controller: str = "memory") -> str | None:
    """The cgroup of a process with a slash in front; None when the process is gone or hidden, or in no such hierarchy.

    In the controller's v1 hierarchy where there is one, else in v2's (cgroups(7)). Works on a dying process and in a removed cgroup,
    without its `` (deleted)``. From within a private cgroup namespace it begins with ``/..`` and names nothing.
    """
    paths: dict[str, str] = {}
    for line in (read_file(pid, "cgroup", proc) or b"").split(b"\n"):
        _, controllers, path = (*os.fsdecode(line).split(":", 2), "", "")[:3]
        if path:
            paths |= dict.fromkeys(controllers.split(","), path.removesuffix(" (deleted)"))
    return paths.get(controller, paths.get(""))  # v2 names no controllers


def boot_s() -> float:
    """Seconds since boot, those of suspension included: by this clock a process's start is counted (proc_pid_stat(5), since 3.17)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def exists(pid: int, proc: Path = PROC) -> bool:
    """Whether there is a process of this PID, also one that ends and is not waited for yet. Never waits, as reading its files may."""
    return os.path.exists(f"{proc}/{pid}")


def node_oom_kills(proc: Path = PROC) -> int | None:
    """All OOM kills since boot, of any kind (``oom_kill`` in /proc/vmstat, since 4.13); None: it has none, or it can't be read."""
    text = b""
    with suppress(OSError), (proc / "vmstat").open("rb", buffering=0) as file:  # the kernel gives it in parts of a page
        while part := file.read(WHOLE):
            text += part
            if b"\noom_kill " in text[: text.rindex(b"\n")]:
                break
    _, found, rest = text.partition(b"\noom_kill ")
    return int(rest.split(maxsplit=1)[0]) if found else None


def largest(pids: Iterable[int], proc: Path = PROC, between: Callable[[], None] = lambda: None) -> list[SeenProcess]:
    """These processes with their resident memory, the largest first. ``between`` is called before each."""
    found = []
    for pid in pids:
        between()
        if pid > 0 and (one := process(pid, proc)) is not None:
            found.append(SeenProcess(pid, one.comm, rss_bytes=one.rss_bytes))
    return sorted(found, key=lambda one: one.rss_bytes or 0, reverse=True)


def available_share(proc: Path = PROC) -> float | None:
    """MemAvailable of MemTotal (proc_meminfo(5)); None: it can't be read."""
    try:
        lines = (proc / "meminfo").read_text().splitlines()
    except OSError:
        return None
    sizes = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines) if rest.strip()}
    total = sizes.get("MemTotal", 0)
    return sizes["MemAvailable"] / total if total and "MemAvailable" in sizes else None


def process(pid: int, proc: Path = PROC) -> Process | None:
    """What /proc/PID/stat says of a process (proc_pid_stat(5): fields 2, 3, 4, 9, 22, 24 and 31). None: it is gone or hidden.

    It waits for no lock of the process's memory (fs/proc/array.c, do_task_stat).
    """
    line = read_file(pid, "stat", proc)
    if line is None:
        return None
    before, after = line.index(b"(") + 1, line.rindex(b")")  # the name may have spaces and brackets
    fields = line[after + 1 :].split()
    state, parent, flags, start_ticks, rss, pending = (fields[number - 3] for number in (3, 4, 9, 22, 24, 31))
    ends = state in (b"Z", b"X", b"x") or bool(int(flags) & _PF_EXITING or int(pending) & _SIGKILL)
    comm = line[before:after].decode("utf-8", "backslashreplace")
    return Process(pid, comm, int(parent), int(start_ticks), max(0, int(rss)) * PAGE, ends)


def _namespaces(pid: int, proc: Path) -> tuple[list[bytes], int | None]:
    """Its pid in our namespace and in those below, down to its own; and its parent's pid in ours, None if it is not known."""
    status = read_file(pid, "status", proc) or b""
    levels, parents = (status.partition(b"\n%s:" % key)[2].partition(b"\n")[0].split() for key in (b"NSpid", b"PPid"))
    return levels, int(parents[0]) if parents else None


def read_file(pid: int | str, file: str, proc: Path, most_bytes: int = WHOLE) -> bytes | None:
    """The beginning of a process's file. None: the process is gone, we may not see it (hidepid, proc(5)), or no descriptor is free.

    One read is enough: the kernel makes the text of such a file at once (fs/proc/base.c, proc_single_show).
    """
    try:
        fd = os.open(f"{proc}/{pid}/{file}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return os.read(fd, most_bytes)
    except OSError:
        return None
    finally:
        os.close(fd)
