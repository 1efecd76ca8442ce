"""The only reader and writer of containers' control files (but for psi.py, proof.py, and v1's eventfds in kernel/v1events.py).

Every access begins at an open directory (mount.py) and follows no link.

Writes nothing but memory.oom.group and, where a container is to be killed as a whole, cgroup.kill: of containers only, below a
kubepods root only. A removed cgroup is a value; other trouble is a CgroupError.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

from agent.cgroup.errors import ADVICE, DENIED, GONE, CgroupError, GoneError, NotACgroupMountError, or_vanished
from agent.cgroup.layout import classify
from agent.cgroup.mount import CgroupMount, opened
from agent.cgroup.stat import use_of_v1, use_of_v2
from agent.model import Cgroup, CgroupKind, MemoryEvents, MemoryUse, OomGroupWrite, WriteOutcome

__all__ = ["OOM_GROUP", "CgroupError", "CgroupFiles", "NotACgroupMountError", "refused", "value"]

OOM_GROUP = "memory.oom.group"
KILL = "cgroup.kill"
NO_OOM_GROUP = "there is no memory.oom.group here (cgroup v1, or a kernel older than 4.19): every kill is a single one"
NO_CONTROLLER = "the memory controller is not enabled here (yet)"
UNREAD = ((-1, -1), (None, None))
V1_NO_LIMIT = 1 << 60  # memory.limit_in_bytes of an unlimited v1 cgroup is PAGE_COUNTER_MAX, close to 2^63
V2_SIZES = {"limit": "memory.max", "usage": "memory.current", "peak": "memory.peak", "beside": "memory.swap.current"}
V1_SIZES = {
    "limit": "memory.limit_in_bytes",
    "usage": "memory.usage_in_bytes",
    "peak": "memory.max_usage_in_bytes",
    "beside": "memory.kmem.usage_in_bytes",
}


class CgroupFiles(CgroupMount):
    """The cgroups' control files, read and written. Arguments and errors: see CgroupMount."""

    def __init__(
        self, mount: Path, version: str, *, check_magic: bool = True, beside: CgroupMount | None = None
    ) -> None:
        super().__init__(mount, version, check_magic=check_magic, beside=beside)
        self._last: dict[
            Cgroup, tuple[tuple[int, int], tuple[int | None, int | None]]
        ] = {}  # of those kept open: ``oom`` and ``max`` as read last, and the cgroup's own
        self._sizes = V1_SIZES if version == "v1" else V2_SIZES

    def keep_open(self, cgroup: Cgroup) -> None:
        super().keep_open(cgroup)
        self._last.setdefault(cgroup, UNREAD)

    def let_go(self, cgroup: Cgroup) -> None:
        super().let_go(cgroup)
        self._last.pop(cgroup, None)

    @or_vanished
    def read_oom_group(self, cgroup: Cgroup) -> int:
        """memory.oom.group: 0 or 1. Raises CgroupError.

        Where there is no such file (v1, before 4.19, no memory controller here) no kill takes the group: that is a 0.
        """
        return int(self.read(cgroup.path, cgroup.inode, OOM_GROUP) or 0)

    def plan_oom_group(self, cgroup: Cgroup, wanted: int) -> OomGroupWrite:
        """What set_oom_group would do; opens nothing for writing. Raises ValueError as that does."""
        return self._attempt(cgroup, wanted, None)

    def set_oom_group(
        self, cgroup: Cgroup, wanted: int, before_write: Callable[[int], None] | None = None
    ) -> OomGroupWrite:
        """Write ``wanted`` (0 or 1) if the value differs, and read it back. Trouble is in the outcome, not raised.

        ``before_write`` is called with the value found, before it is changed. Where there is no such file 0 is
        ``already`` and 1 is ``unsupported``, or ``no_controller`` where the memory controller is not enabled (yet).

        Raises ValueError for a cgroup that is no container's (nor below one), and for any other value.
        """
        return self._attempt(cgroup, wanted, before_write or (lambda _: None))

    def _attempt(self, cgroup: Cgroup, wanted: int, before_write: Callable[[int], None] | None) -> OomGroupWrite:
        kinds = {cgroup.place.kind, classify(cgroup.path).kind}
        if not kinds <= {CgroupKind.CONTAINER, CgroupKind.NESTED}:
            raise ValueError(f"{cgroup.path} is no container's cgroup: {OOM_GROUP} is not ours to write there")
        if wanted not in (0, 1):
            raise ValueError(f"{OOM_GROUP} is 0 or 1, not {wanted!r}")
        try:
            with self.directory(cgroup.path, cgroup.inode) as directory:
                if before_write is None:
                    return self._plan(directory, wanted)
                try:
                    with opened(directory, OOM_GROUP, os.O_RDWR, regular=True) as fd:
                        return _write(fd, wanted, before_write)
                except OSError as error:
                    if error.errno not in (errno.ENOENT, *DENIED):
                        raise
                    plan = self._plan(directory, wanted)
                    return refused(error, wanted, plan.before) if plan.outcome is WriteOutcome.DRY_RUN else plan
        except OSError as error:
            return OomGroupWrite(WriteOutcome.GONE, None, wanted) if error.errno in GONE else refused(error, wanted)

    def _plan(self, directory: int, wanted: int) -> OomGroupWrite:
        try:
            with opened(directory, OOM_GROUP, regular=True) as fd:
                before = value(fd)
        except FileNotFoundError:
            self.check_exists(directory)
            if not wanted:
                return OomGroupWrite(WriteOutcome.ALREADY, None, wanted, NO_OOM_GROUP)
            if self.version == "v2" and not _has_memory(directory):
                return OomGroupWrite(WriteOutcome.NO_CONTROLLER, None, wanted, NO_CONTROLLER)
            return OomGroupWrite(WriteOutcome.UNSUPPORTED, None, wanted, NO_OOM_GROUP)
        return OomGroupWrite(WriteOutcome.ALREADY if before == wanted else WriteOutcome.DRY_RUN, before, wanted)

    @or_vanished
    def kill_all(self, cgroup: Cgroup) -> bool:
        """SIGKILL to all processes of a container and below, by the kernel in one step (cgroup.kill, since 5.14).

        False: there is no such file (v1, an older kernel). Raises ValueError for a cgroup that is no container's, CgroupError.
        """
        if {cgroup.place.kind, classify(cgroup.path).kind} != {CgroupKind.CONTAINER}:
            raise ValueError(f"{cgroup.path} is no container's cgroup: its processes are not ours to kill")

        def kill(directory: int) -> bool:
            try:
                with opened(directory, KILL, os.O_WRONLY, regular=True) as fd:
                    return os.pwrite(fd, b"1\n", 0) > 0
            except FileNotFoundError:
                self.check_exists(directory)
                return False

        return self.within(cgroup.path, cgroup.inode, KILL, kill)

    @or_vanished
    def memory_events(self, cgroup: Cgroup) -> MemoryEvents:
        """Counters of OOM kills of this cgroup and of those below it (cgroup-v2.rst, memory.events). Raises CgroupError.

        v1's memory.oom_control counts one cgroup only: there the subtree is added up. Missing keys are 0 or None as MemoryEvents says.
        """
        if self.version == "v1":
            below = (self._read_below(path, "memory.oom_control") for path in self.below(cgroup.path))
            texts = (self.need(cgroup.path, cgroup.inode, "memory.oom_control"), *below)
            return MemoryEvents(sum(_pairs(text).get("oom_kill", 0) for text in texts))
        counts = _pairs(self.need(cgroup.path, cgroup.inode, "memory.events"))
        hits = counts.get("oom", 0)
        reached = counts.get("max", 0)
        own_hits, own_reached = self._own(cgroup, hits, reached)
        return MemoryEvents(
            counts.get("oom_kill", 0),
            hits,
            counts.get("oom_group_kill"),
            own_hits,
            reached if own_reached is None else own_reached,
        )

    def _own(self, cgroup: Cgroup, hits: int, reached: int) -> tuple[int | None, int | None]:
        """``oom`` and ``max`` of memory.events.local; None before Linux 5.2.

        The kernel counts there first, and then in memory.events of each level (memcg_memory_event, mm/memcontrol.c): as long as
        that file has the same counts, this one has.
        """
        last = self._last.get(cgroup)
        if last is not None and last[0] == (hits, reached):
            return last[1]
        counts = _pairs(self.read(cgroup.path, cgroup.inode, "memory.events.local") or "")
        own = counts.get("oom"), counts.get("max")
        if last is not None:
            self._last[cgroup] = ((hits, reached), own)
        return own

    @or_vanished
    def limit_bytes(self, cgroup: Cgroup) -> int | None:
        """memory.max (v1: memory.limit_in_bytes); None: no limit. Raises CgroupError."""
        limit = self._size(cgroup, "limit")
        return None if limit is None or limit >= V1_NO_LIMIT else limit

    @or_vanished
    def usage_bytes(self, cgroup: Cgroup) -> int | None:
        """memory.current (v1: memory.usage_in_bytes); None where the kernel has none. Raises CgroupError."""
        return self._size(cgroup, "usage")

    @or_vanished
    def peak_bytes(self, cgroup: Cgroup) -> int | None:
        """memory.peak (since 5.19; v1: memory.max_usage_in_bytes); None where the kernel has none. Raises CgroupError."""
        return self._size(cgroup, "peak")

    @or_vanished
    def control_file(self, cgroup: Cgroup, file: str) -> str | None:
        """Its text; None: there is no such file. Raises CgroupError."""
        return self.read(cgroup.path, cgroup.inode, file)

    @or_vanished
    def memory_use(self, cgroup: Cgroup) -> MemoryUse:
        """memory.stat by kind, with the cgroups below, and swap (v1: and kernel memory), a file of its own. Raises CgroupError."""
        stat = _pairs(self.need(cgroup.path, cgroup.inode, "memory.stat"))
        return (use_of_v1 if self.version == "v1" else use_of_v2)(stat, self._size(cgroup, "beside"))

    @or_vanished
    def times_at_limit(self, cgroup: Cgroup) -> int:
        """How often a charge ran into this cgroup's own limit since it was made. Raises CgroupError.

        v2: ``max`` of memory.events.local (before 5.2 of memory.events, which counts those below, too); v1: memory.failcnt.
        """
        if self.version == "v1":
            return int(self.need(cgroup.path, cgroup.inode, "memory.failcnt"))
        text = self.read(cgroup.path, cgroup.inode, "memory.events.local")
        return _pairs(text or self.need(cgroup.path, cgroup.inode, "memory.events")).get("max", 0)

    def _size(self, cgroup: Cgroup, which: str) -> int | None:
        text = self.read(cgroup.path, cgroup.inode, self._sizes[which])
        return None if text in ("max", "", None) else int(text)

    @or_vanished
    def pids(self, cgroup: Cgroup) -> tuple[int, ...]:
        """Processes of this cgroup and of those below, as our pid namespace numbers them.

        0: a process of another namespace, which has no number here (hostPID gives it one). Raises CgroupError.
        """
        return tuple(self._processes(cgroup))

    @or_vanished
    def populated(self, cgroup: Cgroup) -> bool:
        """Whether any process is in it or below (v2: cgroup.events, without zombies; v1: cgroup.procs). Raises CgroupError."""
        if self.version == "v1":
            return bool(self._processes(cgroup))
        return bool(_pairs(self.need(cgroup.path, cgroup.inode, "cgroup.events")).get("populated"))

    def _processes(self, cgroup: Cgroup) -> list[int]:
        own, children = self.read_with_children(cgroup.path, cgroup.inode, "cgroup.procs")
        texts = [self._read_below(path, "cgroup.procs") for path in self.below(cgroup.path, children)]
        return [int(line) for text in (own or "", *texts) for line in text.split()]

    def _read_below(self, path: str, file: str) -> str:
        """Empty for a cgroup that was removed, or has no such file."""
        try:
            return self.read(path, None, file) or ""
        except GoneError:
            return ""
        except CgroupError as error:
            # A threaded cgroup's processes are all in its domain's cgroup.procs (cgroup-v2.rst, Threads).
            if error.errno != errno.EOPNOTSUPP:
                raise
            return ""


def _has_memory(directory: int) -> bool:
    """Whether the memory controller is enabled in this cgroup of v2 (cgroup-v2.rst, cgroup.controllers)."""
    try:
        with opened(directory, "cgroup.controllers") as fd:
            return b"memory" in os.pread(fd, 4096, 0).split()
    except FileNotFoundError:  # it is being removed, or is no cgroup
        return True


def value(fd: int) -> int:
    """The value of an open memory.oom.group."""
    return int(os.pread(fd, 16, 0))


def refused(error: OSError, wanted: int, before: int | None = None, advice: str | None = None) -> OomGroupWrite:
    """A write that failed with this error, with the advice for it unless another is given."""
    outcome = WriteOutcome.DENIED if error.errno in DENIED else WriteOutcome.UNSUPPORTED
    advice = advice or ADVICE.get(error.errno or 0)
    return OomGroupWrite(outcome, before, wanted, f"{error.strerror}; {advice}" if advice else str(error.strerror))


def _pairs(text: str) -> dict[str, int]:
    """Lines ``name number`` of a control file; others are left out."""
    found = (line.split() for line in text.splitlines())
    return {pair[0]: int(pair[1]) for pair in found if len(pair) == 2 and pair[1].isdecimal()}


def _write(fd: int, wanted: int, before_write: Callable[[int], None]) -> OomGroupWrite:
    before = value(fd)
    if before == wanted:
        return OomGroupWrite(WriteOutcome.ALREADY, before, wanted)
    before_write(before)
    os.pwrite(fd, b"%d\n" % wanted, 0)
    after = value(fd)
    if after != wanted:
        return OomGroupWrite(WriteOutcome.CONFLICT, before, wanted, f"it read {after} right after our write")
    return OomGroupWrite(WriteOutcome.WRITTEN, before, wanted)
