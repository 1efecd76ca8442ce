"""The kernel's scheduler: raises the priority of this process' threads and gives it back.

Why not only a nice value: it weighs a thread against others of its own cgroup. A pod as a whole has the weight of its CPU request
(sched(7), "The autogroup feature" has the same of groups; kernel/sched/fair.c), so on a busy node a small one waits, nice or not.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

from agent.kernel.processes import PROC, cgroup_of

LATE = "on a node with busy processors a mode may come into force after a container's first instruction"
NICE = -15
PRIORITY = 1  # the lowest of real-time: above everything that is not, below everything that is
FIRST_CGROUP_NAMESPACE = "cgroup:[4026531835]"  # PROC_CGROUP_INIT_INO, 0xEFFFFFFB: include/linux/proc_ns.h


class SchedulingClass(StrEnum):
    """How our threads are scheduled, the best first."""

    ROUND_ROBIN = "round-robin"
    NICE_AMONG_ALL = "nice in the root cgroup"
    NICE = "nice"
    USUAL = "usual"

    @property
    def before_workloads(self) -> bool:
        """Whether the node's workloads wait for us, whatever their weight."""
        return self in (SchedulingClass.ROUND_ROBIN, SchedulingClass.NICE_AMONG_ALL)

    @property
    def real_time(self) -> bool:
        """Whether the processor time that we use is lost to all others, however much it is."""
        return self is SchedulingClass.ROUND_ROBIN


def raise_priority() -> SchedulingClass:
    """Put all threads of this process before the node's workloads, as far as the kernel allows, and return the class they have now.

    In the root cgroup a nice value is enough: there a thread is weighed against whole cgroups. Else it takes real-time priority.
    SCHED_RR needs CAP_SYS_NICE, and is refused below the root cgroup by kernels built with CONFIG_RT_GROUP_SCHED (Talos and
    Amazon Linux 2023 have been; cgroup v2 has no budget to give). Then a nice value is left, which counts within our own cgroup.
    Threads that start later inherit the class (pthread_create(3)).
    """
    usual = set_nice()
    if usual is SchedulingClass.NICE and in_root_cgroup():
        return SchedulingClass.NICE_AMONG_ALL
    main, *others = _threads()
    try:
        _schedule(main, os.SCHED_RR, PRIORITY)
    except OSError:
        return usual
    for thread in others:
        with suppress(ProcessLookupError):  # it has ended
            _schedule(thread, os.SCHED_RR, PRIORITY)
    return SchedulingClass.ROUND_ROBIN


def set_nice() -> SchedulingClass:
    """A nice value for the main thread and the threads that it starts afterwards; a negative one needs CAP_SYS_NICE.

    On Linux each thread has one of its own, and the main thread's id is the process's (setpriority(2), Notes).
    """
    try:
        os.setpriority(os.PRIO_PROCESS, os.getpid(), NICE)
    except PermissionError:
        return SchedulingClass.USUAL
    return SchedulingClass.NICE


def in_root_cgroup(proc: Path = PROC) -> bool:
    """Whether no cgroup's weight counts for us (cgroups(7), /proc/pid/cgroup). In another cgroup namespace a path of / says nothing."""
    try:
        namespace = os.readlink(proc / "self/ns/cgroup")
    except OSError:
        return False
    return namespace == FIRST_CGROUP_NAMESPACE and cgroup_of("self", proc, "cpu") == "/"


def suspend_real_time() -> None:
    """All threads as any other program's; the main thread's nice value stays."""
    for thread in _threads():
        with suppress(ProcessLookupError):
            _schedule(thread, os.SCHED_OTHER, 0)


def _threads() -> tuple[int, ...]:
    """The main thread, which has the process's id, then the others."""
    found = (thread.native_id for thread in threading.enumerate())
    return (os.getpid(), *(thread for thread in found if thread is not None and thread != os.getpid()))


def _schedule(thread: int, policy: int, priority: int) -> None:
    os.sched_setscheduler(thread, policy, os.sched_param(priority))
