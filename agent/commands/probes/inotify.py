"""inotify limits compared with the need of this node. Called while the survey's watches exist: as many as the agent's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from agent.cgroup.tree import Tree
from agent.cgroup.watches import NoInotifyError
from agent.commands.output.checklist import Check
from agent.commands.probes.answers import INSTANCES_ADVICE, WATCHES_ADVICE, failed, passed, warned
from agent.commands.survey import Survey
from agent.kernel.limits import PROC, InotifyLimits, InotifyUse, inotify_limits, inotify_use

NOWHERE = ("oomward-check",)  # a root that does not exist: this tree watches only the top of the mount
ROOM_TO_GROW = 2
QUEUE_ADVICE = "Raise it on the node: sysctl -w fs.inotify.max_queued_events=16384 (the kernel's default), or more."
AT_ONCE = 2  # events per watched file in one turn of the loop, e.g. if a daemon-reload rewrites every memory.oom.group


def limits(found: Survey, proc: Path = PROC) -> Iterator[Check]:
    """Watches, instances and the queue: tested with one more instance and watch, and compared with the sysctls."""
    need = found.tree.watches
    known, used = inotify_limits(proc), inotify_use()
    try:
        refused = _one_more(found)
    except NoInotifyError:
        yield from no_instance(proc)
        return
    yield passed("inotify instances", f"one more is available: {_of(used.instances, known.instances)} in use")
    yield _watches(need, known, used, refused)
    yield from _queue(need, known)


def no_instance(proc: Path = PROC) -> Iterator[Check]:
    """EMFILE of inotify_init1(2): nearly always max_user_instances, else the limit of open files."""
    known, used = inotify_limits(proc), inotify_use()
    yield failed(
        "inotify instances",
        f"no inotify instance is available, so nothing can be watched: {_of(used.instances, known.instances)} in use "
        "(fs.inotify.max_user_instances)",
        f"{INSTANCES_ADVICE} If few are in use, raise the limit of open files (ulimit -n).",
    )


def _one_more(found: Survey) -> bool:
    """Whether one more watch is refused. Raises NoInotifyError without an instance."""
    tree = Tree(found.files, root_override=NOWHERE)
    try:
        return bool(tree.scan(time.monotonic()))
    finally:
        tree.close()


def _watches(need: int, known: InotifyLimits, used: InotifyUse, refused: bool) -> Check:
    in_use = _of(used.watches, known.watches)
    if refused:
        return failed(
            "inotify watches",
            f"the limit fs.inotify.max_user_watches is reached: {in_use} in use. Cgroups without a watch are seen only at the "
            "full resync",
            WATCHES_ADVICE,
        )
    others = max(0, used.watches - need)
    if known.watches is not None and others + ROOM_TO_GROW * need > known.watches:
        return warned(
            "inotify watches",
            f"{need} needed now, with little room below fs.inotify.max_user_watches: {in_use} in use",
            WATCHES_ADVICE,
        )
    return passed("inotify watches", f"{need} needed now: {in_use} in use, including this check")


def _queue(need: int, known: InotifyLimits) -> Iterator[Check]:
    if known.queued_events is None:
        return
    if known.queued_events < AT_ONCE * need:
        yield warned(
            "inotify queue",
            f"fs.inotify.max_queued_events is {known.queued_events} for {need} watches: an overflow causes a full resync",
            QUEUE_ADVICE,
        )
    else:
        yield passed("inotify queue", f"room for {known.queued_events} events")


def _of(used: int, limit: int | None) -> str:
    return f"{used} of {limit}" if limit is not None else f"{used} (the limit can't be read)"
