"""The kernel's scheduler: when the threads of this process get the processor. Gives them a policy and takes it away again.

Why not a nice value: it weighs a thread against others of its own cgroup only. A pod as a whole has the weight of its CPU request
(sched(7), "The autogroup feature" has the same of groups; kernel/sched/fair.c), so on a busy node a small one waits, nice or not.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import threading
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

LATE = "on a node whose processors are busy a mode may come into force after a container's first instruction"
NICE = -15
PRIORITY = 1  # the lowest of real-time: above everything that is not, below everything that is
SCHED_DEADLINE = 6  # include/uapi/linux/sched.h
FIRST_CGROUP_NAMESPACE = "cgroup:[4026531835]"  # PROC_CGROUP_INIT_INO, 0xEFFFFFFB: include/linux/proc_ns.h
RESET_ON_FORK = 1  # SCHED_FLAG_RESET_ON_FORK: without it a thread with a deadline may not start others
SCHED_ATTR = struct.Struct("=IIQiIQQQ")  # size, policy, flags, nice, priority, runtime, deadline, period (ns)
SCHED_SETATTR = {"x86_64": 314, "aarch64": 274, "riscv64": 274, "ppc64le": 355, "s390x": 345, "armv7l": 380}
# Nanoseconds of the processor in each period. All together below the 95 % of one processor that the kernel gives away at the most
# (kernel.sched_rt_runtime_us), for nodes that have but one; a thread that is over waits for its next period.
PERIOD_NS = 20_000_000
MAIN_NS = 10_000_000
OTHERS_NS = 2_000_000


class Policy(StrEnum):
    """How our threads are scheduled, the best first."""

    ROUND_ROBIN = "round-robin"
    DEADLINE = "deadline"
    NICE_AMONG_ALL = "nice in the root cgroup"
    NICE = "nice"
    USUAL = "usual"

    @property
    def comes_first(self) -> bool:
        """Whether the node's workloads wait for us, whatever their weight."""
        return self in (Policy.ROUND_ROBIN, Policy.DEADLINE, Policy.NICE_AMONG_ALL)

    @property
    def real_time(self) -> bool:
        """Whether what we use of the processor is nobody else's, however much it is."""
        return self in (Policy.ROUND_ROBIN, Policy.DEADLINE)


def come_first() -> Policy:
    """Give all threads of this process what it takes to come first, as far as the kernel lets us, and say which it is.

    In the root cgroup a nice value is enough: there a thread is weighed against whole cgroups. Else it takes real time.
    SCHED_RR needs CAP_SYS_NICE, and is refused below the root cgroup by kernels built with CONFIG_RT_GROUP_SCHED (Talos and
    Amazon Linux 2023 have been; cgroup v2 has no budget to give). SCHED_DEADLINE, with the same capability, isn't: that check
    is of rt_policy() only (kernel/sched/syscalls.c, __sched_setscheduler). It is refused where our CPUs are not all of the
    node's, or too much is promised already. Then a nice value, which counts within our own cgroup.
    """
    usual = be_nice()
    if usual is Policy.NICE and in_root_cgroup():
        return Policy.NICE_AMONG_ALL
    main, *others = _threads()
    for policy, give in ((Policy.ROUND_ROBIN, _round_robin), (Policy.DEADLINE, _deadline)):
        try:
            give(main)
        except OSError:
            continue
        for thread in others:
            with suppress(OSError):  # it has ended; or no more can be promised, and it stays as it was
                give(thread)
        return policy
    return usual


def be_nice() -> Policy:
    """A nice value for the main thread, and so for those that it starts afterwards; a negative one needs CAP_SYS_NICE.

    On Linux each thread has one of its own, and the main thread's id is the process's (setpriority(2), Notes).
    """
    try:
        os.setpriority(os.PRIO_PROCESS, os.getpid(), NICE)
    except PermissionError:
        return Policy.USUAL
    return Policy.NICE


def in_root_cgroup(proc: Path = Path("/proc")) -> bool:
    """Whether no cgroup's weight counts for us (cgroups(7), /proc/pid/cgroup). In a namespace of its own a path of / tells nothing."""
    try:
        namespace = os.readlink(proc / "self/ns/cgroup")
        lines = (proc / "self/cgroup").read_text().splitlines()
    except OSError:
        return False
    hierarchies = [line.split(":", 2)[1:] for line in lines]
    of_cpu = [path for controllers, path in hierarchies if "cpu" in controllers.split(",")]
    unified = [path for controllers, path in hierarchies if not controllers]
    return namespace == FIRST_CGROUP_NAMESPACE and set(of_cpu or unified) == {"/"}


def join(policy: Policy) -> None:
    """This thread too, which began after come_first() had said that policy: SCHED_DEADLINE is not inherited."""
    if policy is Policy.DEADLINE:
        with suppress(OSError):  # no more can be promised: it stays as it is
            _deadline(threading.get_native_id())


def stand_back() -> None:
    """All threads as any other program's; the main thread's nice value stays."""
    for thread in _threads():
        with suppress(ProcessLookupError):
            os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))


def _threads() -> tuple[int, ...]:
    """The main thread, whose id is the process's, then the others."""
    found = (thread.native_id for thread in threading.enumerate())
    return (os.getpid(), *(thread for thread in found if thread is not None and thread != os.getpid()))


def _round_robin(thread: int) -> None:
    os.sched_setscheduler(thread, os.SCHED_RR, os.sched_param(PRIORITY))


def _deadline(thread: int) -> None:
    """sched_setattr(2), which neither Python nor older C libraries have a function for. Raises OSError."""
    number = SCHED_SETATTR.get(platform.machine())
    if number is None:
        raise OSError(errno.ENOSYS, f"sched_setattr's number on {platform.machine()} is not known")
    runtime = MAIN_NS if thread == os.getpid() else OTHERS_NS
    wanted = SCHED_ATTR.pack(SCHED_ATTR.size, SCHED_DEADLINE, RESET_ON_FORK, 0, 0, runtime, PERIOD_NS, PERIOD_NS)
    _syscall(number, thread, wanted)


def _syscall(number: int, thread: int, attributes: bytes) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    if libc.syscall(number, thread, attributes, 0):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
