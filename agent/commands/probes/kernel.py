"""The kernel's version, scheduling and log."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from agent.commands.probes.checks import Check, passed, warned
from agent.kernel import scheduling
from agent.kernel.kmsg import Kmsg, KmsgUnavailableError
from agent.kernel.limits import PROC, kernel_release, version_of

KMSG_DEVICE = (1, 11)  # Documentation/admin-guide/devices.txt
FROM_THE_OLDEST = -1
WITHOUT_LOG = "Without it kills are counted, but the killed processes are not known."
# Documentation/admin-guide/cgroup-v2.rst and its history
OOM_GROUP_SINCE = (4, 19)
OPTIONAL = (("oom_group_kill (5.17)", (5, 17)), ("memory.peak (5.19)", (5, 19)))


def release(proc: Path = PROC) -> Iterator[Check]:
    """Whether this kernel has what oomward uses. Vendors backport: the check of memory.oom.group is more reliable."""
    text = kernel_release(proc)
    version = version_of(text)
    if version is None:
        yield warned("kernel", f"its release {text!r} has no version number", "See the check of memory.oom.group.")
    elif version < OOM_GROUP_SINCE:
        yield warned(
            "kernel",
            f"Linux {text} is older than 4.19 and has no memory.oom.group: each OOM kill ends one process",
            "Nothing for mode single. For mode group, use a node with Linux 4.19 or newer and cgroup v2.",
        )
    else:
        lacking = [what for what, since in OPTIONAL if version < since]
        without = f", without {' and '.join(lacking)}, which oomward does not need" if lacking else ""
        yield passed("kernel", f"Linux {text}{without}")


def real_time(wanted: bool) -> Iterator[Check]:
    """Whether real-time priority is available: tried briefly with this process."""
    if not wanted:
        yield warned("scheduling", f"realTime is false: {scheduling.LATE}", "Set realTime to true.")
        return
    ours = scheduling.raise_priority()
    scheduling.suspend_real_time()
    if ours.before_workloads:
        yield passed("scheduling", f"{ours}: the agent runs before the node's workloads, within a CPU budget")
    else:
        yield warned(
            "scheduling",
            f"{ours}: real-time scheduling is not available, so {scheduling.LATE}",
            "Give the container the capability SYS_NICE; if it has it, boot the node with rt_group_sched=0 (Linux 6.15), or "
            "give the agent a larger CPU request.",
        )


def log(path: Path) -> Iterator[Check]:
    """Whether a record of the kernel log can be read (dev-kmsg)."""
    try:
        with closing(Kmsg(path, FROM_THE_OLDEST)) as kmsg:
            records = kmsg.read(1)
    except KmsgUnavailableError as error:
        what, _, advice = str(error).partition("; ")
        yield warned("kernel log", f"{what}. {WITHOUT_LOG}", f"{advice[:1].upper()}{advice[1:]}.")
        return
    advice = "Mount the host's /dev/kmsg (c 1:11) there, or give its path with --kmsg."
    if not _is_kmsg(path):
        yield warned("kernel log", f"{path} is not the kernel log device. {WITHOUT_LOG}", advice)
    elif not records:
        yield warned("kernel log", f"{path} is readable but has no record. {WITHOUT_LOG}", advice)
    else:
        yield passed("kernel log", f"{path} can be read")


def _is_kmsg(path: Path) -> bool:
    status = path.stat()
    return stat.S_ISCHR(status.st_mode) and (os.major(status.st_rdev), os.minor(status.st_rdev)) == KMSG_DEVICE
