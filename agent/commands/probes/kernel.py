"""The kernel's version, scheduling, log and inotify limits."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from agent.cgroup.tree import Tree
from agent.cgroup.watches import NoInotifyError
from agent.commands.probes.checks import Check, failed, passed, warned
from agent.commands.survey import OwnSurvey
from agent.kernel import scheduling
from agent.kernel.kmsg import Kmsg, KmsgUnavailableError, is_kmsg
from agent.kernel.limits import InotifyLimits, InotifyUse, inotify_limits, inotify_use, kernel_release, version_of
from agent.kernel.processes import PROC
from agent.wording.text import count

FROM_THE_OLDEST = -1
WITHOUT_LOG = "Without it kills are counted, but the killed processes are not known."
# Documentation/admin-guide/cgroup-v2.rst and its history
OOM_GROUP_SINCE = (4, 19)
OPTIONAL = (("oom_group_kill (5.17)", (5, 17)), ("memory.peak (5.19)", (5, 19)))
REAL_TIME_ADVICE = (
    "Give the container the capability SYS_NICE; if it has it, boot the node with rt_group_sched=0 (Linux 6.15), or give the agent "
    "a larger CPU request."
)
NOWHERE = ("oomward-check",)  # a root that does not exist: this tree watches only the top of the mount
ROOM_TO_GROW = 2
WATCHES_ADVICE = "Raise it on the node: sysctl -w fs.inotify.max_user_watches=1048576, and in /etc/sysctl.d to keep it."
INSTANCES_ADVICE = (
    "Raise it on the node: sysctl -w fs.inotify.max_user_instances=1024, and in /etc/sysctl.d to keep it. If few are in use, "
    "raise the limit of open files (ulimit -n)."
)
QUEUE_ADVICE = "Raise it on the node: sysctl -w fs.inotify.max_queued_events=16384 (the kernel's default), or more."
AT_ONCE = 2  # events per watched file in one turn of the loop, e.g. if a daemon-reload rewrites every memory.oom.group


def release(proc: Path = PROC) -> Iterator[Check]:
    """Whether this kernel has what oomward uses. Vendors backport: the check of memory.oom.group is more reliable."""
    text = kernel_release(proc)
    version = version_of(text)
    if version is None:
        yield warned("kernel", f"its release {text!r} has no version number", "See the check of memory.oom.group.")
    elif version < OOM_GROUP_SINCE:
        old = f"Linux {text} is older than 4.19 and has no memory.oom.group: each OOM kill ends one process"
        advice = "Nothing for mode single. For mode group, use a node with Linux 4.19 or newer and cgroup v2."
        yield warned("kernel", old, advice)
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
        late = f"{ours}: real-time scheduling is not available, so {scheduling.LATE}"
        yield warned("scheduling", late, REAL_TIME_ADVICE)


def log(path: Path) -> Iterator[Check]:
    """Whether a record of the kernel log can be read (dev-kmsg)."""
    advice = "Mount the host's /dev/kmsg (c 1:11) there, or give its path with --kmsg."
    try:
        if path.exists() and not is_kmsg(path.stat()):
            yield warned("kernel log", f"{path} is not the kernel log device. {WITHOUT_LOG}", advice)
            return
        with closing(Kmsg(path, FROM_THE_OLDEST)) as kmsg:
            records = kmsg.read(1)
    except KmsgUnavailableError as error:
        what, _, advice = str(error).partition("; ")
        yield warned("kernel log", f"{what}. {WITHOUT_LOG}", f"{advice[:1].upper()}{advice[1:]}.")
        return
    if not records:
        yield warned("kernel log", f"{path} is readable but has no record. {WITHOUT_LOG}", advice)
    else:
        yield passed("kernel log", f"{path} can be read")


def inotify(found: OwnSurvey) -> Iterator[Check]:
    """Tested with one more instance and watch; limits compared with this node's need: the survey has as many watches as the agent."""
    need = found.tree.watches
    known, used = inotify_limits(), inotify_use()
    try:
        with closing(Tree(found.files, root_override=NOWHERE)) as tree:
            refused = bool(tree.scan(time.monotonic()))
    except NoInotifyError:
        yield from no_inotify()
        return
    yield passed("inotify instances", f"one more is available: {_of(used.instances, known.instances)} in use")
    yield _watches(need, known, used, refused)
    yield from _queue(need, known)


def no_inotify() -> Iterator[Check]:
    """EMFILE of inotify_init1(2): nearly always max_user_instances, else the limit of open files."""
    known, used = inotify_limits(), inotify_use()
    in_use = f"{_of(used.instances, known.instances)} in use (fs.inotify.max_user_instances)"
    none = "no inotify instance is available, so nothing can be watched"
    yield failed("inotify instances", f"{none}: {in_use}", INSTANCES_ADVICE)


def _watches(need: int, known: InotifyLimits, used: InotifyUse, refused: bool) -> Check:
    in_use = _of(used.watches, known.watches)
    if refused:
        reached = f"the limit fs.inotify.max_user_watches is reached: {in_use} in use"
        effect = "Cgroups without a watch are seen only at the full resync"
        return failed("inotify watches", f"{reached}. {effect}", WATCHES_ADVICE)
    others = max(0, used.watches - need)
    if known.watches is not None and others + ROOM_TO_GROW * need > known.watches:
        little = f"{need} needed now, with little room below fs.inotify.max_user_watches: {in_use} in use"
        return warned("inotify watches", little, WATCHES_ADVICE)
    return passed("inotify watches", f"{need} needed now: {in_use} in use, including this check")


def _queue(need: int, known: InotifyLimits) -> Iterator[Check]:
    room = known.queued_events
    if room is not None and room < AT_ONCE * need:
        small = f"fs.inotify.max_queued_events is {room} for {count(need, 'watch')}: an overflow causes a full resync"
        yield warned("inotify queue", small, QUEUE_ADVICE)
    elif room is not None:
        yield passed("inotify queue", f"room for {count(room, 'event')}")


def _of(used: int, limit: int | None) -> str:
    return f"{used} of {limit}" if limit is not None else f"{used} (the limit can't be read)"
