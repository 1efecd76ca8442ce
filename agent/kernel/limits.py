"""What the kernel is and how much of it we may have: its release, limits and who uses them up, our pid namespace.

Takes /proc, gives numbers; None where the kernel doesn't tell. Changes our own limit of open files, and nothing else.
"""

from __future__ import annotations

import os
import re
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
RELEASE = re.compile(r"(\d+)\.(\d+)")
FIRST_PID_NAMESPACE = "pid:[4026531836]"  # PROC_PID_INIT_INO, 0xEFFFFFFC: include/linux/proc_ns.h, since 3.8
MOST_OPEN_FILES = 65_536  # 20,000 cgroups and more; container engines give up to 2^30
INOTIFY_FD = "anon_inode:inotify"


@dataclass(frozen=True, slots=True)
class InotifyLimits:
    """Limits of a user (real root in a pod) by inotify(7): watches, instances, and events in one instance's queue."""

    watches: int | None
    instances: int | None
    queued_events: int | None


@dataclass(frozen=True, slots=True)
class InotifyUse:
    """What processes of our user that we can see have now, ourselves included. Shared by fork, one counts twice."""

    watches: int
    instances: int


def kernel_release(proc: Path = PROC) -> str:
    """As ``uname -r`` has it (proc_sys_kernel(5)). Raises OSError."""
    return (proc / "sys/kernel/osrelease").read_text(encoding="utf-8", errors="replace").strip()


def version_of(release: str) -> tuple[int, int] | None:
    """Major and minor version of a release; None for a text that begins with no such numbers. Vendors backport."""
    match = RELEASE.match(release)
    return (int(match[1]), int(match[2])) if match else None


def inotify_limits(proc: Path = PROC) -> InotifyLimits:
    """The sysctls below fs.inotify; None for one that is not there."""
    sysctls = proc / "sys/fs/inotify"
    return InotifyLimits(
        watches=_number(sysctls / "max_user_watches"),
        instances=_number(sysctls / "max_user_instances"),
        queued_events=_number(sysctls / "max_queued_events"),
    )


def inotify_use(proc: Path = PROC) -> InotifyUse:
    """Counts ``inotify wd:`` lines of fdinfo (proc_pid_fdinfo(5), since 3.8), a line a watch.

    Of processes whose owner is our effective user: that is whom the kernel charges (inotify_new_group, fs/notify/inotify).
    Without hostPID only those of our own pid namespace are seen.
    """
    per_instance = [_watches_of(fdinfo) for fdinfo in _inotify_descriptors(proc)]
    return InotifyUse(sum(per_instance), len(per_instance))


def raise_open_files(most: int = MOST_OPEN_FILES) -> int:
    """Raise the soft limit of open files to the hard one, which needs no privilege (setrlimit(2)); the limit that holds from now on."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most if hard == resource.RLIM_INFINITY else min(hard, most)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return soft


def is_first_pid_namespace(proc: Path = PROC) -> bool | None:
    """Whether our pid namespace is the machine's own (hostPID), which sees every process. None: not told."""
    try:
        return str((proc / "self/ns/pid").readlink()) == FIRST_PID_NAMESPACE
    except OSError:
        return None


def _inotify_descriptors(proc: Path) -> Iterator[Path]:
    """Their fdinfo files. Processes and descriptors come and go meanwhile."""
    for process in proc.iterdir():
        try:
            if not process.name.isdecimal() or process.stat().st_uid != os.geteuid():
                continue
            descriptors = list((process / "fd").iterdir())
        except OSError:
            continue
        for descriptor in descriptors:
            try:
                if str(descriptor.readlink()) == INOTIFY_FD:
                    yield process / "fdinfo" / descriptor.name
            except OSError:
                continue


def _watches_of(fdinfo: Path) -> int:
    try:
        lines = fdinfo.read_bytes().splitlines()
    except OSError:
        return 0
    return sum(line.startswith(b"inotify wd:") for line in lines)


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
