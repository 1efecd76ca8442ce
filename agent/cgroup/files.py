"""The only opener of control files. Every access begins at an open directory (mount.py) and follows no link.

Takes cgroups, gives what their files say; writes nothing but memory.oom.group and, where a container is to be killed as a
whole, cgroup.kill: of containers only, below a kubepods root only. A vanished cgroup is a value; other trouble is a
CgroupError with the path in it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from agent.cgroup.layout import classify
from agent.cgroup.memory_events import EventsReader, missing, pairs
from agent.cgroup.mount import (
    DENIED,
    GONE,
    MENDS,
    NO_LINK,
    CgroupError,
    CgroupMount,
    NotACgroupMountError,
    gone_or_raise,
)
from agent.model import VANISHED, Cgroup, CgroupKind, KnobWrite, MemoryEvents, Vanished, WriteOutcome

__all__ = ["KNOB", "CgroupError", "CgroupFiles", "NotACgroupMountError"]

KNOB = "memory.oom.group"
KILL = "cgroup.kill"
NO_KNOB = "there is no memory.oom.group here (cgroup v1, or a kernel older than 4.19): every kill is a single one"
V1_NO_LIMIT = 1 << 60  # memory.limit_in_bytes of an unlimited v1 cgroup is PAGE_COUNTER_MAX, close to 2^63
V2_SIZES = {"limit": "memory.max", "usage": "memory.current", "peak": "memory.peak"}
V1_SIZES = {
    "limit": "memory.limit_in_bytes",
    "usage": "memory.usage_in_bytes",
    "peak": "memory.max_usage_in_bytes",
}

T = TypeVar("T")


class CgroupFiles:
    """``version`` is v1 or v2. ``check_magic`` False lets ordinary directories stand for cgroups, for tests.

    Raises NotACgroupMountError.
    """

    def __init__(self, memory_mount: Path, version: str, *, check_magic: bool = True) -> None:
        self.version = version
        self.mount = memory_mount
        self._mount = CgroupMount(memory_mount, version, check_magic=check_magic)
        self._events = EventsReader(self._mount, version)

    def close(self) -> None:
        self._mount.close()

    def keep_open(self, cgroup: Cgroup) -> None:
        """This cgroup will be asked for again and again, until ``let_go``."""
        self._mount.keep_open(cgroup.path, cgroup.inode)
        self._events.remember(cgroup)

    def let_go(self, cgroup: Cgroup) -> None:
        """The cgroup is gone."""
        self._mount.let_go(cgroup.path, cgroup.inode)
        self._events.forget(cgroup)

    def inode(self, path: str) -> int | Vanished:
        """The directory's inode: within a boot it names this cgroup and no later one. Raises CgroupError."""
        return self._mount.inode(path)

    def children(self, path: str) -> tuple[str, ...] | Vanished:
        """Names of the child cgroups, sorted. Raises CgroupError."""
        return self._mount.children(path)

    # --------------------------------------------------------------------------------------------------------- knob

    def read_oom_group(self, cgroup: Cgroup) -> int | Vanished:
        """memory.oom.group: 0 or 1. Raises CgroupError.

        Where there is no such file (v1, before 4.19, no memory controller here) no kill takes the group: that is a 0.
        """
        text = self._mount.read(cgroup.path, cgroup.inode, KNOB)
        return text if isinstance(text, Vanished) else int(text or 0)

    def plan_oom_group(self, cgroup: Cgroup, wanted: int) -> KnobWrite:
        """What hold_oom_group would do; opens nothing for writing. Raises ValueError as that does."""
        return self._attempt(cgroup, wanted, self._plan)

    def hold_oom_group(
        self, cgroup: Cgroup, wanted: int, before_write: Callable[[int], None] | None = None
    ) -> KnobWrite:
        """Write ``wanted`` (0 or 1) if the value differs, and read it back. Trouble is in the outcome, not raised.

        ``before_write`` hears the value that is there, when it differs and is about to be changed. Where there is no such
        file 0 is so ``already`` and 1 is ``unsupported``.

        Raises ValueError for a cgroup that is no container's (nor below one), and for any other value.
        """
        hold = partial(self._hold, before_write=before_write or _nobody_asks)
        return self._attempt(cgroup, wanted, hold)

    def _attempt(self, cgroup: Cgroup, wanted: int, attempt: Callable[[str, int, int], KnobWrite]) -> KnobWrite:
        kinds = {cgroup.place.kind, classify(cgroup.path).kind}
        if not kinds <= {CgroupKind.CONTAINER, CgroupKind.NESTED}:
            raise ValueError(f"{cgroup.path} is no container's cgroup: {KNOB} is not ours to write there")
        if wanted not in (0, 1):
            raise ValueError(f"{KNOB} is 0 or 1, not {wanted!r}")
        try:
            with self._mount.directory(cgroup.path, cgroup.inode) as directory:
                return attempt(cgroup.path, directory, wanted)
        except OSError as error:
            if error.errno in GONE:
                return KnobWrite(WriteOutcome.GONE, None, wanted)
            outcome = WriteOutcome.DENIED if error.errno in DENIED else WriteOutcome.UNSUPPORTED
            return KnobWrite(outcome, None, wanted, _why(error))

    def _plan(self, path: str, directory: int, wanted: int) -> KnobWrite:
        try:
            before = _with_knob(directory, os.O_RDONLY, _value)
        except FileNotFoundError:
            return self._no_knob(path, directory, wanted)
        return KnobWrite(WriteOutcome.ALREADY if before == wanted else WriteOutcome.DRY_RUN, before, wanted)

    def _hold(self, path: str, directory: int, wanted: int, *, before_write: Callable[[int], None]) -> KnobWrite:
        try:
            return _with_knob(directory, os.O_RDWR, lambda fd: _write(fd, wanted, before_write))
        except OSError as error:
            if error.errno not in (errno.ENOENT, *DENIED):
                raise
            plan = self._plan(path, directory, wanted)
            if plan.outcome is not WriteOutcome.DRY_RUN:
                return plan
            return KnobWrite(WriteOutcome.DENIED, plan.before, wanted, _why(error))

    def _no_knob(self, path: str, directory: int, wanted: int) -> KnobWrite:
        if self._mount.is_still(path, directory):
            outcome = WriteOutcome.UNSUPPORTED if wanted else WriteOutcome.ALREADY
            return KnobWrite(outcome, None, wanted, NO_KNOB)
        return KnobWrite(WriteOutcome.GONE, None, wanted)

    # --------------------------------------------------------------------------------------------------------- kill

    def kill_all(self, cgroup: Cgroup) -> bool | Vanished:
        """SIGKILL to all processes of a container and below, by the kernel in one step (cgroup.kill, since 5.14).

        False: there is no such file (v1, an older kernel). Raises ValueError for a cgroup that is no container's, CgroupError.
        """
        kinds = {cgroup.place.kind, classify(cgroup.path).kind}
        if kinds != {CgroupKind.CONTAINER}:
            raise ValueError(f"{cgroup.path} is no container's cgroup: its processes are not ours to kill")
        try:
            with self._mount.directory(cgroup.path, cgroup.inode) as directory:
                try:
                    _with_file(KILL, directory, os.O_WRONLY, lambda fd: os.pwrite(fd, b"1\n", 0))
                except FileNotFoundError:
                    return False if self._mount.is_still(cgroup.path, directory) else VANISHED
        except OSError as error:
            return gone_or_raise(cgroup.path, KILL, error)
        return True

    # ----------------------------------------------------------------------------------------------------- counters

    def memory_events(self, cgroup: Cgroup) -> MemoryEvents | Vanished:
        """Counters of OOM kills, of this cgroup and below: see memory_events.py. Raises CgroupError."""
        return self._events.read(cgroup)

    # ---------------------------------------------------------------------------------------------- sizes, processes

    def limit_bytes(self, cgroup: Cgroup) -> int | Vanished | None:
        """memory.max (v1: memory.limit_in_bytes); None: no limit. Raises CgroupError."""
        value = self._size(cgroup, "limit")
        return None if isinstance(value, int) and value >= V1_NO_LIMIT else value

    def usage_bytes(self, cgroup: Cgroup) -> int | Vanished | None:
        """memory.current (v1: memory.usage_in_bytes); None where the kernel has none. Raises CgroupError."""
        return self._size(cgroup, "usage")

    def peak_bytes(self, cgroup: Cgroup) -> int | Vanished | None:
        """memory.peak (since 5.19; v1: memory.max_usage_in_bytes); None where the kernel keeps none. Raises CgroupError."""
        return self._size(cgroup, "peak")

    def pids(self, cgroup: Cgroup) -> tuple[int, ...] | Vanished:
        """Processes of this cgroup and of those below, as our pid namespace numbers them.

        Those of other namespaces read as 0 and are left out (hostPID shows them). Raises CgroupError.
        """
        every = self._processes(cgroup)
        return every if isinstance(every, Vanished) else tuple(pid for pid in every if pid)

    def _processes(self, cgroup: Cgroup) -> tuple[int, ...] | Vanished:
        own = self._mount.read(cgroup.path, cgroup.inode, "cgroup.procs")
        if isinstance(own, Vanished):
            return VANISHED
        texts = [own or "", *(self._procs(path) for path in self._mount.below(cgroup.path))]
        return tuple(int(line) for text in texts for line in text.split())

    def _procs(self, path: str) -> str:
        try:
            text = self._mount.read(path, None, "cgroup.procs")
        except CgroupError as error:
            # A threaded cgroup's processes are all in its domain's cgroup.procs (cgroup-v2.rst, Threads).
            if error.errno != errno.EOPNOTSUPP:
                raise
            return ""
        return text if isinstance(text, str) else ""

    def populated(self, cgroup: Cgroup) -> bool | Vanished:
        """Whether any process is in it or below (v2: cgroup.events, without zombies; v1: cgroup.procs). Raises CgroupError."""
        if self.version == "v1":
            every = self._processes(cgroup)
            return every if isinstance(every, Vanished) else bool(every)
        text = self._mount.read(cgroup.path, cgroup.inode, "cgroup.events")
        if text is None:
            raise missing(cgroup.path, "cgroup.events")
        return text if isinstance(text, Vanished) else bool(pairs(text).get("populated"))

    def _size(self, cgroup: Cgroup, which: str) -> int | Vanished | None:
        file = (V1_SIZES if self.version == "v1" else V2_SIZES)[which]
        text = self._mount.read(cgroup.path, cgroup.inode, file)
        return text if isinstance(text, Vanished) else (None if text in ("max", "", None) else int(text))


def _with_knob(directory: int, flags: int, use: Callable[[int], T]) -> T:
    return _with_file(KNOB, directory, flags, use)


def _with_file(name: str, directory: int, flags: int, use: Callable[[int], T]) -> T:
    fd = os.open(name, flags | NO_LINK, dir_fd=directory)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EACCES, f"{name} is not a regular file")
        return use(fd)
    finally:
        os.close(fd)


def _nobody_asks(_before: int) -> None:
    """No one wants to hear what was there."""


def _value(fd: int) -> int:
    return int(os.pread(fd, 16, 0))


def _write(fd: int, wanted: int, before_write: Callable[[int], None]) -> KnobWrite:
    before = _value(fd)
    if before == wanted:
        return KnobWrite(WriteOutcome.ALREADY, before, wanted)
    before_write(before)
    os.pwrite(fd, b"%d\n" % wanted, 0)
    after = _value(fd)
    if after != wanted:
        return KnobWrite(WriteOutcome.CONFLICT, before, wanted, f"it read {after} right after our write")
    return KnobWrite(WriteOutcome.WRITTEN, before, wanted)


def _why(error: OSError) -> str:
    mend = MENDS.get(error.errno or 0)
    return f"{error.strerror}; {mend}" if mend else str(error.strerror)
