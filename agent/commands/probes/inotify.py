"""inotify's limits against what watching this node takes. Called while the survey's own watches are held: as many as the agent's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from agent.cgroup.tree import Tree
from agent.cgroup.watches import NoInotifyError
from agent.commands.output.checklist import Check
from agent.commands.probes.answers import INSTANCES_MEND, WATCHES_MEND, failed, passed, warned
from agent.commands.survey import Survey
from agent.kernel.limits import PROC, InotifyLimits, InotifyUse, inotify_limits, inotify_use

NOWHERE = ("oomward-check",)  # a root that is not there: such a tree watches the mount's top only
ROOM_TO_GROW = 2
QUEUE_MEND = "Raise it on the node: sysctl -w fs.inotify.max_queued_events=16384 (the kernel's default), or more."
AT_ONCE = 2  # notices of each watched file within one turn of the loop, say of a daemon-reload that rewrites all knobs


def limits(found: Survey, proc: Path = PROC) -> Iterator[Check]:
    """Watches, instances and the queue: proved by taking one more instance and watch, and compared with the sysctls."""
    need = found.tree.watches
    known, used = inotify_limits(proc), inotify_use(proc)
    try:
        refused = _one_more(found)
    except NoInotifyError:
        yield from no_instance(proc)
        return
    yield passed("inotify instances", f"one more can be had: {_of(used.instances, known.instances)} in use")
    yield _watches(need, known, used, refused)
    yield from _queue(need, known)


def no_instance(proc: Path = PROC) -> Iterator[Check]:
    """What EMFILE of inotify_init1(2) means: nearly always max_user_instances, else the process's limit of open files."""
    known, used = inotify_limits(proc), inotify_use(proc)
    yield failed(
        "inotify instances",
        f"no inotify instance to be had, so nothing can be watched: {_of(used.instances, known.instances)} seen in use "
        "(fs.inotify.max_user_instances)",
        f"{INSTANCES_MEND} If few are in use, raise the limit of open files (ulimit -n).",
    )


def _one_more(found: Survey) -> bool:
    """Whether one more watch is refused. Raises NoInotifyError when there is no instance to be had."""
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
            f"the limit fs.inotify.max_user_watches is reached: {in_use} seen in use, and no further one to be had. What is not "
            "watched is seen at the slow resync only",
            WATCHES_MEND,
        )
    others = max(0, used.watches - need)
    if known.watches is not None and others + ROOM_TO_GROW * need > known.watches:
        return warned(
            "inotify watches",
            f"{need} needed now, and little room to grow under fs.inotify.max_user_watches: {in_use} seen in use",
            WATCHES_MEND,
        )
    return passed("inotify watches", f"{need} needed now: {in_use} in use, with those of this check")


def _queue(need: int, known: InotifyLimits) -> Iterator[Check]:
    if known.queued_events is None:
        return
    if known.queued_events < AT_ONCE * need:
        yield warned(
            "inotify queue",
            f"fs.inotify.max_queued_events is {known.queued_events} for {need} watches: when it overflows, all has to "
            "be looked at anew",
            QUEUE_MEND,
        )
    else:
        yield passed("inotify queue", f"room for {known.queued_events} events")


def _of(used: int, limit: int | None) -> str:
    return f"{used} of {limit}" if limit is not None else f"{used} (the limit can't be read)"
