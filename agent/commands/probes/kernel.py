"""The kernel and its log: new enough, and readable by us."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from agent.commands.output.checklist import Check
from agent.commands.probes.answers import passed, warned
from agent.kernel import scheduling
from agent.kernel.kmsg import Kmsg, KmsgUnavailableError
from agent.kernel.limits import PROC, kernel_release, version_of

KMSG_DEVICE = (1, 11)  # Documentation/admin-guide/devices.txt
FROM_THE_OLDEST = -1
WITHOUT_LOG = "Kills are counted without it, but nobody can say which process was killed."
# Documentation/admin-guide/cgroup-v2.rst and its history
KNOB_SINCE = (4, 19)
GROUP_KILLS_SINCE = (5, 17)
PEAK_SINCE = (5, 19)


def release(proc: Path = PROC) -> Iterator[Check]:
    """Whether this kernel has what we use. Numbers tell less than the knob's own probe: vendors backport."""
    text = kernel_release(proc)
    version = version_of(text)
    if version is None:
        yield warned("kernel", f"its release is {text!r}, which tells no version", "See what the knob's check says.")
    elif version < KNOB_SINCE:
        yield warned(
            "kernel",
            f"Linux {text}: memory.oom.group came with 4.19; before, each kill is a single one",
            "Nothing for mode single; for mode group use a node with Linux 4.19 or newer and cgroup v2.",
        )
    else:
        lacking = [
            what
            for what, since in (("oom_group_kill (5.17)", GROUP_KILLS_SINCE), ("memory.peak (5.19)", PEAK_SINCE))
            if version < since
        ]
        without = f", without {' and '.join(lacking)}: nothing that oomward needs" if lacking else ""
        yield passed("kernel", f"Linux {text}{without}")


def real_time(*, wanted: bool) -> Iterator[Check]:
    """Whether the agent comes before the node's workloads: tried for a moment with this process."""
    name = "scheduling"
    if not wanted:
        yield warned(name, f"realTime is false: {scheduling.LATE}", "Leave realTime at true.")
        return
    ours = scheduling.raise_priority()
    scheduling.suspend_real_time()
    if ours.before_workloads:
        yield passed(name, f"{ours}: the agent comes before the node's workloads, within a budget")
    else:
        yield warned(
            name,
            f"{ours}: real-time scheduling is not available here, so {scheduling.LATE}",
            "Give the container the capability SYS_NICE; where it has it, boot the node with rt_group_sched=0 (Linux 6.15), or "
            "give the agent a larger CPU request.",
        )


def log(path: Path) -> Iterator[Check]:
    """Whether a record of the kernel's log can be read (dev-kmsg)."""
    try:
        kmsg = Kmsg(path, FROM_THE_OLDEST)
        try:
            records = kmsg.read(1)
        finally:
            kmsg.close()
    except KmsgUnavailableError as error:
        what, _, mend = str(error).partition("; ")
        yield warned("kernel log", f"{what}. {WITHOUT_LOG}", f"{mend[:1].upper()}{mend[1:]}.")
        return
    mend = "Mount the host's /dev/kmsg (c 1:11) there, or name it with --kmsg."
    if not _is_kmsg(path):
        yield warned("kernel log", f"{path} is not the kernel's log device. {WITHOUT_LOG}", mend)
    elif not records:
        yield warned("kernel log", f"{path} can be read, but there is no record in it. {WITHOUT_LOG}", mend)
    else:
        yield passed("kernel log", f"{path} can be read")


def _is_kmsg(path: Path) -> bool:
    status = path.stat()
    return stat.S_ISCHR(status.st_mode) and (os.major(status.st_rdev), os.minor(status.st_rdev)) == KMSG_DEVICE
