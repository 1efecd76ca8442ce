"""What the kernel is and how much of it we may have: its release, limits and their use, our pid namespace. None: unknown."""

from __future__ import annotations

import os
import re
import resource
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from agent.kernel.processes import PROC

FIRST_PID_NAMESPACE = "pid:[4026531836]"  # PROC_PID_INIT_INO, 0xEFFFFFFC: include/linux/proc_ns.h, since 3.8
MOST_OPEN_FILES = 65_536  # 20,000 cgroups and more; container engines give up to 2^30


@dataclass(frozen=True, slots=True)
class InotifyLimits:
    """Limits of a user (real root in a pod) by inotify(7): watches, instances, and events in one instance's queue."""

    watches: int | None
    instances: int | None
    queued_events: int | None


@dataclass(frozen=True, slots=True)
class InotifyUse:
    """What the visible processes of our user have now, ourselves included. Shared by fork, one counts twice."""

    watches: int
    instances: int


def kernel_release(proc: Path = PROC) -> str:
    """As ``uname -r`` prints it (proc_sys_kernel(5)). Raises OSError."""
    return (proc / "sys/kernel/osrelease").read_text(encoding="utf-8", errors="replace").strip()


def version_of(release: str) -> tuple[int, int] | None:
    """Major and minor version of a release; None for a text that does not begin with them. Vendors backport."""
    match = re.match(r"(\d+)\.(\d+)", release)
    return (int(match[1]), int(match[2])) if match else None


def inotify_limits(proc: Path = PROC) -> InotifyLimits:
    """The sysctls below fs.inotify; None for a missing one."""
    names = ("max_user_watches", "max_user_instances", "max_queued_events")
    return InotifyLimits(*(_number(proc / "sys/fs/inotify" / name) for name in names))


def inotify_use() -> InotifyUse:
    """Counts ``inotify wd:`` lines of fdinfo (proc_pid_fdinfo(5), since 3.8), one per watch.

    Of processes with our effective user: the kernel charges that one (inotify_new_group, fs/notify/inotify).
    Without hostPID only those of our own pid namespace are visible.
    """
    per_instance = [_watches_of(fdinfo) for fdinfo in _inotify_descriptors()]
    return InotifyUse(sum(per_instance), len(per_instance))


def raise_open_files(most: int = MOST_OPEN_FILES) -> int:
    """Raise the soft limit of open files to the hard one, which needs no privilege (setrlimit(2)); returns the limit now in force."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most if hard == resource.RLIM_INFINITY else min(hard, most)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return soft


def is_first_pid_namespace(proc: Path = PROC) -> bool | None:
    """Whether our pid namespace is the machine's own (hostPID), which sees every process. None: unknown."""
    try:
        return str((proc / "self/ns/pid").readlink()) == FIRST_PID_NAMESPACE
    except OSError:
        return None


def _inotify_descriptors() -> Iterator[Path]:
    """Their fdinfo files. Processes and descriptors come and go meanwhile."""
    import psutil  # noqa: PLC0415 (0.5 MiB resident and some 10 ms, needed by ``check`` only)

    for process in psutil.process_iter(["uids"]):  # without those that ended; None: hidden (hidepid) or a zombie
        uids, directory = process.info["uids"], Path(psutil.PROCFS_PATH, str(process.pid))
        if uids is None or uids.effective != os.geteuid():
            continue
        with suppress(OSError):
            for descriptor in os.listdir(directory / "fd"):
                with suppress(OSError):
                    if os.readlink(directory / "fd" / descriptor) == "anon_inode:inotify":
                        yield directory / "fdinfo" / descriptor


def _watches_of(fdinfo: Path) -> int:
    try:
        return fdinfo.read_bytes().count(b"inotify wd:")
    except OSError:
        return 0


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
