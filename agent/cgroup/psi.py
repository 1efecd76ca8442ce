"""PSI of cgroups (Documentation/accounting/psi.rst): how long the processes stalled on memory, and notifications that they do.

A notification is a trigger: a line written to memory.pressure, which changes nothing else and ends when the descriptor is closed. It is
opened without CAP_SYS_RESOURCE, since by that the kernel (6.5 and newer) chooses between the worker that computes the averages anyway
and a real-time thread per cgroup (kernel/sched/psi.c, psi_trigger_create). Without it the window must be a multiple of 2 s.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from agent.cgroup.errors import ADVICE, DENIED, GONE, CgroupError
from agent.cgroup.files import CgroupFiles
from agent.cgroup.mount import opened
from agent.model import Cgroup, Vanished

PRESSURE = "memory.pressure"
STALLED = b"full 150000 2000000\0"  # microseconds: 150 ms of 2 s
NO_PSI = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)  # switched off (cgroup.pressure, psi=0), or a kernel before 5.2
USUAL = (*GONE, *NO_PSI, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EBUSY)
SIGNAL = select.EPOLLPRI | select.EPOLLERR  # EPOLLERR: the cgroup was removed
CAPABILITY_VERSION = 0x20080522  # linux/capability.h: two words of 32 bits per set
CAP_SYS_RESOURCE = 1 << 24


class Selector(Protocol):
    """What waits for the descriptors. Not an epoll inside another: asking such a trigger whether it is ready takes its event."""

    def register(self, descriptor: int, mask: int) -> None: ...
    def unregister(self, descriptor: int) -> None: ...


def has_psi(proc: Path = Path("/proc")) -> bool:
    """Whether the kernel has PSI and it is not switched off: else there is no such directory (kernel/sched/psi.c, psi_proc_init)."""
    return (proc / "pressure" / "memory").exists()


def stalled_us(text: str) -> int | None:
    """``total`` of the line ``full``, in microseconds; None: the text has no such line."""
    for line in text.splitlines():
        fields = line.split()
        for field in fields if fields[:1] == ["full"] else ():
            name, _, number = field.partition("=")
            if name == "total" and number.isdecimal():
                return int(number)
    return None


class Psi:
    """``files`` are of the v2 hierarchy. Once triggers can't be created, ``on_trouble`` gets one sentence about it:
    from then on stalls are seen by readings alone. So it does at the first of each other error that is not usual; these may pass.
    """

    def __init__(self, files: CgroupFiles, selector: Selector, on_trouble: Callable[[str], None]) -> None:
        self._files = files
        self._selector = selector
        self._on_trouble = on_trouble
        self._denied = False
        self._said: set[int | None] = set()  # errors
        self._triggers: dict[Cgroup, int] = {}
        self._cgroups: dict[int, Cgroup] = {}

    def __len__(self) -> int:
        return len(self._triggers)

    def stalled_us(self, cgroup: Cgroup) -> int | None:
        """How long all processes that had work stalled on memory since the cgroup was made; None: there is no PSI, or no such cgroup."""
        try:
            text = self._files.control_file(cgroup, PRESSURE)
        except CgroupError as error:
            if error.errno in (*NO_PSI, *DENIED):
                return None
            raise
        return None if text is None or isinstance(text, Vanished) else stalled_us(text)

    def watch(self, cgroup: Cgroup) -> bool:
        """Signal when its processes stall. False: there is no trigger, for reasons that may last or not."""
        if cgroup in self._triggers:
            return True
        if self._denied:
            return False
        try:
            descriptor = self._open(cgroup)
            self._wait_for(descriptor)
        except OSError as error:
            self._failed(error)
            return False
        self._triggers[cgroup] = descriptor
        self._cgroups[descriptor] = cgroup
        return True

    def _wait_for(self, descriptor: int) -> None:
        try:
            self._selector.register(descriptor, SIGNAL)
        except OSError:
            os.close(descriptor)
            raise

    def _failed(self, error: OSError) -> None:
        if error.errno in DENIED:
            self._denied = True
            why = f"{PRESSURE} can't be opened for writing ({error.strerror})"
            self._on_trouble(f"{why}: stalls on memory are only noticed when a container reaches its limit")
        elif error.errno not in (*USUAL, *self._said):
            self._said.add(error.errno)
            advice = ADVICE.get(error.errno or 0, "see the kernel's log")
            self._on_trouble(
                f"{PRESSURE} of a container takes no trigger ({error.strerror}; {advice}): until it does, which is tried again, its "
                "stalls on memory are only noticed when it reaches its limit"
            )

    def _open(self, cgroup: Cgroup) -> int:
        with (
            self._files.directory(cgroup.path, cgroup.inode) as directory,
            unprivileged(),
            opened(directory, PRESSURE, os.O_RDWR, regular=True) as descriptor,
        ):
            os.write(descriptor, STALLED)
            return os.dup(descriptor)

    def unwatch(self, cgroup: Cgroup) -> None:
        """Watched or not."""
        descriptor = self._triggers.pop(cgroup, None)
        if descriptor is not None:
            del self._cgroups[descriptor]
            self._selector.unregister(descriptor)
            os.close(descriptor)

    def signalled(self, ready: Mapping[int, int]) -> list[Cgroup]:
        """The watched cgroups that stall, of descriptors that are ready, with the mask of epoll(7). Removed ones are dropped."""
        ours = [(self._cgroups[each], mask) for each, mask in ready.items() if each in self._cgroups]
        for cgroup, mask in ours:
            if mask & select.EPOLLERR:
                self.unwatch(cgroup)
        return [cgroup for cgroup, mask in ours if mask & select.EPOLLPRI and cgroup in self._triggers]

    def close(self) -> None:
        for cgroup in list(self._triggers):
            self.unwatch(cgroup)


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


@contextmanager
def unprivileged() -> Iterator[None]:
    """Without CAP_SYS_RESOURCE in force in this thread, if it has it (capset(2)). Where that is refused, nothing changes."""
    libc = ctypes.CDLL(None, use_errno=True)
    header, sets = _Header(CAPABILITY_VERSION, 0), (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; twice
    libc.capget(ctypes.byref(header), sets)
    effective, dropped = int(sets[0]), False
    if effective & CAP_SYS_RESOURCE:
        sets[0] = effective & ~CAP_SYS_RESOURCE
        dropped = libc.capset(ctypes.byref(header), sets) == 0
    try:
        yield
    finally:
        if dropped:
            sets[0] = effective
            libc.capset(ctypes.byref(header), sets)
