"""The only opener of control files. Every access walks from the held descriptor of the mount, following no link.

Takes cgroups, gives what their files say; writes nothing but memory.oom.group, of containers only, below a kubepods
root only. A vanished cgroup is a value; other trouble is a CgroupError with the path in it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.model import (
    VANISHED,
    AgentError,
    Cgroup,
    CgroupKind,
    KnobWrite,
    MemoryEvents,
    Vanished,
    WriteOutcome,
)

CGROUP2_MAGIC = 0x63677270  # linux/magic.h
CGROUP1_MAGIC = 0x27E0EB
KNOB = "memory.oom.group"
V1_NO_LIMIT = 1 << 60  # memory.limit_in_bytes of an unlimited v1 cgroup is PAGE_COUNTER_MAX, close to 2^63
GONE = (errno.ENOENT, errno.ENODEV, errno.ENOTDIR)
DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
MENDS = {
    errno.EACCES: "run as root, and on SELinux nodes as spc_t",
    errno.EPERM: "run as root, and on SELinux nodes as spc_t",
    errno.EROFS: "mount the host's /sys/fs/cgroup read-write into the agent's container",
    errno.EMFILE: "raise the limit of open files (RLIMIT_NOFILE)",
}


class NotACgroupMountError(AgentError):
    """The given mount is no cgroup file system of the version expected."""


class CgroupError(OSError):
    """A control file that can't be read though its cgroup is there. Says what, where, and what to do."""

    def __init__(self, path: str, file: str, error: OSError) -> None:
        mend = MENDS.get(error.errno or 0, "see the kernel's log; the rest of the node is watched as before")
        super().__init__(error.errno, f"{file} of cgroup {path}: {error.strerror}; {mend}")
        self.path, self.file = path, file

    def __str__(self) -> str:
        return str(self.strerror)


class CgroupFiles:
    """``check_magic`` False lets ordinary directories stand for cgroups, for tests. Raises NotACgroupMountError."""

    def __init__(
        self, memory_mount: Path, version: str, *, local_events: bool = False, check_magic: bool = True
    ) -> None:
        self.version = version
        self.local_events = local_events
        self.mount = memory_mount
        self._mount_fd = os.open(memory_mount, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        expected = CGROUP2_MAGIC if version == "v2" else CGROUP1_MAGIC
        if check_magic and _magic(self._mount_fd) != expected:
            os.close(self._mount_fd)
            raise NotACgroupMountError(
                f"{memory_mount} is no cgroup {version} file system (statfs magic is not {expected:#x}): "
                "mount the host's /sys/fs/cgroup there, or name the right place with --cgroup-mount"
            )

    def close(self) -> None:
        os.close(self._mount_fd)

    # -------------------------------------------------------------------------------------------------- directories

    @contextmanager
    def _directory(self, path: str, inode: int | None = None) -> Iterator[int]:
        """A descriptor of the cgroup's directory. Raises OSError ENOENT when it is gone, or another took its path."""
        fd = os.dup(self._mount_fd)
        try:
            for part in path.split("/") if path else ():
                if part in ("", ".", ".."):
                    raise ValueError(f"{path!r} is no path of a cgroup")
                below = os.open(part, DIRECTORY, dir_fd=fd)
                os.close(fd)
                fd = below
            if inode is not None and os.fstat(fd).st_ino != inode:
                raise OSError(errno.ENOENT, "another cgroup has its path now")
            yield fd
        finally:
            os.close(fd)

    def inode(self, path: str) -> int | Vanished:
        """The directory's inode: within a boot it names this cgroup and no later one."""
        try:
            with self._directory(path) as fd:
                return os.fstat(fd).st_ino
        except OSError as error:
            return _gone_or_raise(path, "", error)

    def children(self, path: str) -> tuple[str, ...] | Vanished:
        """Names of the child cgroups."""
        try:
            with self._directory(path) as fd, os.scandir(fd) as entries:
                return tuple(sorted(e.name for e in entries if e.is_dir(follow_symlinks=False)))
        except OSError as error:
            return _gone_or_raise(path, "", error)

    # --------------------------------------------------------------------------------------------------------- knob

    def read_oom_group(self, cgroup: Cgroup) -> int | Vanished:
        """memory.oom.group: 0 or 1 (since kernel 4.19; v1 has none and reads as 0: every v1 kill is single)."""
        if self.version == "v1":
            return VANISHED
        text = self._text(cgroup, KNOB)
        return text if isinstance(text, Vanished) else int(text)

    def plan_oom_group(self, cgroup: Cgroup, wanted: int) -> KnobWrite:
        """What hold_oom_group would do; opens nothing for writing."""
        return self._attempt(cgroup, wanted, os.O_RDONLY)

    def hold_oom_group(self, cgroup: Cgroup, wanted: int) -> KnobWrite:
        """Write ``wanted`` (0 or 1) if the value differs, and read it back. Trouble is in the outcome, not raised."""
        return self._attempt(cgroup, wanted, os.O_RDWR)

    def _attempt(self, cgroup: Cgroup, wanted: int, flags: int) -> KnobWrite:
        if cgroup.place.kind not in (CgroupKind.CONTAINER, CgroupKind.NESTED) or cgroup.place.container_id is None:
            raise ValueError(f"{cgroup.path} is no container's cgroup: {KNOB} is not ours to write there")
        if wanted not in (0, 1):
            raise ValueError(f"{KNOB} is 0 or 1, not {wanted!r}")
        try:
            with self._directory(cgroup.path, cgroup.inode) as directory:
                return self._write(directory, wanted, flags)
        except OSError as error:
            if error.errno in GONE:
                return KnobWrite(WriteOutcome.GONE, None, wanted)
            if error.errno in DENIED:
                return KnobWrite(WriteOutcome.DENIED, None, wanted, f"{error.strerror}; {MENDS[error.errno or 0]}")
            return KnobWrite(WriteOutcome.UNSUPPORTED, None, wanted, str(error))

    def _write(self, directory: int, wanted: int, flags: int) -> KnobWrite:
        try:
            fd = os.open(KNOB, flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        except FileNotFoundError:
            why = "the kernel has no memory.oom.group here (cgroup v1, or older than 4.19): every kill is a single one"
            return KnobWrite(WriteOutcome.UNSUPPORTED, None, wanted, why)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return KnobWrite(WriteOutcome.DENIED, None, wanted, f"{KNOB} is not a regular file: not written")
            before = int(os.pread(fd, 16, 0))
            if before == wanted:
                return KnobWrite(WriteOutcome.ALREADY, before, wanted)
            if flags == os.O_RDONLY:
                return KnobWrite(WriteOutcome.DRY_RUN, before, wanted)
            os.pwrite(fd, b"%d\n" % wanted, 0)
            after = int(os.pread(fd, 16, 0))
            if after != wanted:
                return KnobWrite(WriteOutcome.CONFLICT, before, wanted, f"it read {after} right after our write")
            return KnobWrite(WriteOutcome.WRITTEN, before, wanted)
        finally:
            os.close(fd)

    # ----------------------------------------------------------------------------------------------------- counters

    def memory_events(self, cgroup: Cgroup) -> MemoryEvents | Vanished:
        """Counters of OOM kills, of this cgroup and below (cgroup-v2.rst, memory.events; v1: memory.oom_control's oom_kill).

        v1 and mounts with memory_localevents count one cgroup only: there the subtree is added up.
        """
        if self.version == "v1":
            return self._sum(cgroup, self._v1_events)
        if self.local_events:
            return self._sum(cgroup, self._v2_events)
        return self._v2_events(cgroup.path, cgroup.inode)

    def _v2_events(self, path: str, inode: int | None) -> MemoryEvents | Vanished:
        events = self._keys(path, inode, "memory.events")
        if isinstance(events, Vanished):
            return VANISHED
        local = self._keys(path, inode, "memory.events.local", optional=True)
        return MemoryEvents(
            oom_kill=events.get("oom_kill", 0),
            oom=events.get("oom", 0),
            oom_group_kill=events.get("oom_group_kill"),
            local_oom=None if isinstance(local, Vanished) else local.get("oom"),
        )

    def _v1_events(self, path: str, inode: int | None) -> MemoryEvents | Vanished:
        events = self._keys(path, inode, "memory.oom_control")
        return events if isinstance(events, Vanished) else MemoryEvents(oom_kill=events.get("oom_kill", 0))

    def _sum(self, cgroup: Cgroup, read: object) -> MemoryEvents | Vanished:
        assert callable(read)
        own = read(cgroup.path, cgroup.inode)
        if isinstance(own, Vanished):
            return VANISHED
        total: MemoryEvents = own
        for path in self._below(cgroup.path):
            part = read(path, None)
            if isinstance(part, MemoryEvents):
                groups = None if total.oom_group_kill is None else total.oom_group_kill + (part.oom_group_kill or 0)
                total = MemoryEvents(total.oom_kill + part.oom_kill, total.oom + part.oom, groups, total.local_oom)
        return total

    def _below(self, path: str) -> Iterator[str]:
        names = self.children(path)
        for name in () if isinstance(names, Vanished) else names:
            yield f"{path}/{name}"
            yield from self._below(f"{path}/{name}")

    # ---------------------------------------------------------------------------------------------- sizes, processes

    def limit_bytes(self, cgroup: Cgroup) -> int | Vanished | None:
        """memory.max (v1: memory.limit_in_bytes); None: no limit."""
        value = self._number(cgroup, "memory.max" if self.version == "v2" else "memory.limit_in_bytes")
        return None if isinstance(value, int) and value >= V1_NO_LIMIT else value

    def usage_bytes(self, cgroup: Cgroup) -> int | Vanished | None:
        """memory.current (v1: memory.usage_in_bytes)."""
        return self._number(cgroup, "memory.current" if self.version == "v2" else "memory.usage_in_bytes")

    def peak_bytes(self, cgroup: Cgroup) -> int | Vanished | None:
        """memory.peak (since 5.19; v1: memory.max_usage_in_bytes); None where the kernel keeps none."""
        text = self._text(cgroup, "memory.peak" if self.version == "v2" else "memory.max_usage_in_bytes", optional=True)
        return text if isinstance(text, Vanished) else (int(text) if text else None)

    def pids(self, cgroup: Cgroup) -> tuple[int, ...] | Vanished:
        """Processes of this cgroup and of those below, as the node numbers them (0s, for processes unseen, left out)."""
        own = self._text(cgroup, "cgroup.procs")
        if isinstance(own, Vanished):
            return VANISHED
        texts = [own]
        for path in self._below(cgroup.path):
            text = self._read(path, None, "cgroup.procs")
            texts += [] if isinstance(text, Vanished) else [text]
        return tuple(pid for text in texts for line in text.split() if (pid := int(line)))

    def populated(self, cgroup: Cgroup) -> bool | Vanished:
        """Whether any process is in it or below (v2: cgroup.events)."""
        if self.version == "v1":
            pids = self.pids(cgroup)
            return pids if isinstance(pids, Vanished) else bool(pids)
        keys = self._keys(cgroup.path, cgroup.inode, "cgroup.events")
        return keys if isinstance(keys, Vanished) else bool(keys.get("populated"))

    # ------------------------------------------------------------------------------------------------------ reading

    def _number(self, cgroup: Cgroup, file: str) -> int | Vanished | None:
        text = self._text(cgroup, file)
        return text if isinstance(text, Vanished) else (None if text in ("max", "") else int(text))

    def _text(self, cgroup: Cgroup, file: str, *, optional: bool = False) -> str | Vanished:
        return self._read(cgroup.path, cgroup.inode, file, optional=optional)

    def _keys(self, path: str, inode: int | None, file: str, *, optional: bool = False) -> dict[str, int] | Vanished:
        text = self._read(path, inode, file, optional=optional)
        if isinstance(text, Vanished):
            return VANISHED
        pairs = (line.split() for line in text.splitlines())
        return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}

    def _read(self, path: str, inode: int | None, file: str, *, optional: bool = False) -> str | Vanished:
        try:
            with self._directory(path, inode) as directory:
                try:
                    fd = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
                except FileNotFoundError:
                    if optional:
                        return ""
                    raise
                try:
                    return _whole(fd).decode().strip()
                finally:
                    os.close(fd)
        except OSError as error:
            return _gone_or_raise(path, file, error)


def _whole(fd: int) -> bytes:
    parts = []
    while part := os.read(fd, 65536):
        parts.append(part)
    return b"".join(parts)


def _gone_or_raise(path: str, file: str, error: OSError) -> Vanished:
    if error.errno in GONE:
        return VANISHED
    raise CgroupError(path, file or "directory", error) from error


class _Statfs(ctypes.Structure):
    """The first word of struct statfs (statfs(2)) is f_type on every 64-bit Linux; the rest is only room."""

    _fields_ = (("f_type", ctypes.c_long), ("rest", ctypes.c_long * 32))


def _magic(fd: int) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    result = _Statfs()
    if libc.fstatfs(fd, ctypes.byref(result)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return int(result.f_type)
