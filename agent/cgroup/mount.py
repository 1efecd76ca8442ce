"""Open directories of the memory hierarchy: the mount's, and those of the cgroups that are kept open; else a walk from the mount.

Paths are relative to the mount. Follows no link and crosses into no other file system.

An open directory is the cgroup's identity: another one at its path is another directory. It hinders neither rmdir nor the kernel in
freeing the cgroup, and its files then say ENOENT (measured on 6.18: num_cgroups in /proc/cgroups falls). Files are not kept open: each
would keep a page of the kernel's memory (fs/seq_file.c) to save two of three system calls.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from agent.cgroup.errors import GONE, CgroupError, GoneError, NotACgroupMountError, or_vanished
from agent.model import Cgroup, Vanished

MAX_NESTING = 32
MAGICS = {"v2": 0x63677270, "v1": 0x27E0EB}  # CGROUP2_SUPER_MAGIC and CGROUP_SUPER_MAGIC, linux/magic.h
FIRST_FILES = {"v2": "memory.current", "v1": "memory.usage_in_bytes"}
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
NO_LINK = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # nor wait for a FIFO in a file's place
MANY = 1 << 16  # open directories, where nothing limits them
NO_CHILDREN = 2  # links to a directory: its name and "." (fs/kernfs/inode.c, kernfs_refresh_inode); file systems that don't count have 1
ONE_READ = 4096  # a control file's text is shorter, but for lists of processes
# Of every cgroup but the hierarchy's root (cgroup-v2.rst), and of that root alone (cgroup-v1/cgroups.rst).
NOT_OF_THE_ROOT, OF_THE_ROOT = "cgroup.type", "release_agent"
LISTS = ("cgroup.procs",)  # the kernel gives them in parts (fs/seq_file.c)
T = TypeVar("T")


class CgroupMount:
    """``version`` is v1 or v2. ``check_magic`` False lets ordinary directories stand for cgroups, for tests.

    Half of the open files that this process may have are for cgroups; the others are walked to. ``beside``: another thread's, whose open
    directories save walks.
    Raises NotACgroupMountError for another file system (statfs(2)), OSError when the mount can't be opened.
    """

    def __init__(
        self, mount: Path, version: str, *, check_magic: bool = True, beside: CgroupMount | None = None
    ) -> None:
        self.mount = mount
        self.version = version
        self._beside = beside
        self._kept: dict[tuple[str, int], int | None] = {}  # by path and inode; None: not opened yet
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._room = MANY if soft == resource.RLIM_INFINITY else soft // 2
        self._fd = os.open(mount, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        if check_magic and _magic(self._fd) != MAGICS[version]:
            os.close(self._fd)
            raise NotACgroupMountError(
                f"{mount} is no cgroup {version} file system (statfs magic is not {MAGICS[version]:#x}): "
                "mount the host's /sys/fs/cgroup there, or name the right place with --cgroup-mount"
            )
        self._device = os.fstat(self._fd).st_dev

    @property
    def is_whole(self) -> bool:
        """Whether the mount shows the whole hierarchy, and not only the part of a node that is a container (kind)."""
        file = NOT_OF_THE_ROOT if self.version == "v2" else OF_THE_ROOT
        return (file in os.listdir(self._fd)) is (self.version == "v1")

    @or_vanished
    def owner(self, path: str) -> int:
        """The uid of the directory's owner. Raises CgroupError."""
        return self.within(path, None, "directory", lambda directory: os.fstat(directory).st_uid)

    def close(self) -> None:
        for fd in (self._fd, *self._kept.values()):
            if fd is not None:
                os.close(fd)
        self._kept.clear()

    def keep_open(self, cgroup: Cgroup) -> None:
        """From its next use on this cgroup's directory stays open, until ``let_go``."""
        self._kept.setdefault((cgroup.path, cgroup.inode), None)

    def let_go(self, cgroup: Cgroup) -> None:
        """The cgroup was removed, or is not used any more."""
        fd = self._kept.pop((cgroup.path, cgroup.inode), None)
        if fd is not None:
            self._room += 1
            os.close(fd)

    @contextmanager
    def directory(self, path: str, inode: int | None = None) -> Iterator[int]:
        """A descriptor of the cgroup's directory with this inode; None: with any.

        Raises OSError: ENOENT, ENOTDIR or ENODEV when it is gone, when another has its path, or when it is no cgroup.
        """
        key = None if inode is None else (path, inode)
        kept = None if key is None else self._kept.get(key)
        fd = self._walk(path, inode) if kept is None else kept
        if kept is None and key in self._kept and self._room > 0:
            kept = self._kept[key] = fd
            self._room -= 1
        try:
            yield fd
        finally:
            if kept is None:
                os.close(fd)

    def copy(self, path: str, inode: int) -> int | None:
        """A descriptor of this cgroup's directory, to be closed by the caller; None: it is not kept open. For other threads, too."""
        kept = self._kept.get((path, inode))
        if kept is None:
            return None
        try:
            fd = os.dup(kept)
        except OSError:  # closed meanwhile …
            return None
        found = os.fstat(fd)
        if (found.st_dev, found.st_ino) == (self._device, inode):
            return fd
        os.close(fd)  # … and the number is another file's now
        return None

    def _walk(self, path: str, inode: int | None) -> int:
        if self._beside is not None and inode is not None and (copied := self._beside.copy(path, inode)) is not None:
            return copied
        fd = os.dup(self._fd)
        try:
            for part in path.split("/") if path else ():
                if part in ("", ".", ".."):
                    raise ValueError(f"{path!r} is no path of a cgroup")
                below = os.open(part, DIRECTORY, dir_fd=fd)
                os.close(fd)
                fd = below
            found = os.fstat(fd)
            if found.st_dev != self._device:
                raise OSError(errno.ENODEV, "something else is mounted over it")
            if inode is not None and found.st_ino != inode:
                raise OSError(errno.ENOENT, "another cgroup has its path now")
        except BaseException:
            os.close(fd)
            raise
        return fd

    def within(self, path: str, inode: int | None, file: str, use: Callable[[int], T]) -> T:
        """Call ``use`` with the cgroup's open directory. Raises GoneError, and CgroupError, which names ``file``."""
        try:
            with self.directory(path, inode) as directory:
                return use(directory)
        except OSError as error:
            if error.errno in GONE:
                raise GoneError from error
            raise CgroupError(path, file, error) from error

    @or_vanished
    def inode(self, path: str) -> int:
        """The directory's inode, unique within a boot. Raises CgroupError."""
        return self.within(path, None, "directory", lambda directory: os.fstat(directory).st_ino)

    @or_vanished
    def children(self, path: str) -> tuple[str, ...]:
        """Names of the child cgroups, sorted. Raises CgroupError."""
        return self.within(path, None, "directory", _children)

    def below(self, path: str, children: Sequence[str] | None = None) -> Iterator[str]:
        """Paths of the cgroups below this one, MAX_NESTING levels down, however deep a workload nests. Raises CgroupError.

        ``children``: the names of the first level; None: to be read.
        """
        level = [path]
        for _ in range(MAX_NESTING):
            found = [(at, self.children(at) if children is None else children) for at in level]
            level = [f"{at}/{name}" for at, names in found if not isinstance(names, Vanished) for name in names]
            children = None
            yield from level

    def read(self, path: str, inode: int | None, file: str) -> str | None:
        """The text of a control file; None: the cgroup is there and has no such file. Raises GoneError, CgroupError."""
        return self.within(path, inode, file, lambda directory: self._text_of(directory, file))

    def read_with_children(self, path: str, inode: int | None, file: str) -> tuple[str | None, tuple[str, ...]]:
        """As ``read``, and the names of the child cgroups."""
        return self.within(path, inode, file, lambda directory: (self._text_of(directory, file), _children(directory)))

    def _text_of(self, directory: int, file: str) -> str | None:
        try:
            with opened(directory, file) as fd:
                return _text(fd, in_parts=file in LISTS).strip()
        except FileNotFoundError:
            self.check_exists(directory)
            return None

    def need(self, path: str, inode: int | None, file: str) -> str:
        """As ``read``; raises CgroupError for a missing file."""
        text = self.read(path, inode, file)
        if text is None:
            raise CgroupError(path, file, FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)))
        return text

    def check_exists(self, directory: int) -> None:
        """Raises OSError (ENODEV) if this open cgroup, which lacks a file, was removed or is being removed.

        A removed cgroup has no files. One that is being removed loses memory's files first, in the order of mm/memcontrol.c, then its
        own, and its directory last (cgroup_destroy_locked, kernel/cgroup/cgroup.c).
        """
        try:
            os.stat(FIRST_FILES[self.version], dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError as error:
            if self.version == "v1" or "memory" in _controllers(directory):
                raise OSError(errno.ENODEV, "the cgroup was removed") from error


@contextmanager
def opened(directory: int, file: str, flags: int = os.O_RDONLY, *, regular: bool = False) -> Iterator[int]:
    """A descriptor of a file in an open directory. ``regular``: raises OSError (EACCES) for any other kind of file."""
    fd = os.open(file, flags | NO_LINK, dir_fd=directory)
    try:
        if regular and not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EACCES, f"{file} is not a regular file")
        yield fd
    finally:
        os.close(fd)


def _controllers(directory: int) -> list[str]:
    """Controllers that the cgroup has; those of one without the file, which all have, are gone with it."""
    try:
        with opened(directory, "cgroup.controllers") as fd:
            return _text(fd).split()
    except FileNotFoundError:
        return ["memory"]


def _children(directory: int) -> tuple[str, ...]:
    if os.fstat(directory).st_nlink == NO_CHILDREN:
        return ()
    with os.scandir(directory) as entries:
        return tuple(sorted(e.name for e in entries if e.is_dir(follow_symlinks=False)))


def _text(fd: int, *, in_parts: bool = False) -> str:
    parts = [os.read(fd, ONE_READ)]
    while len(parts[-1]) == ONE_READ or (in_parts and parts[-1]):
        parts.append(os.read(fd, ONE_READ))
    return b"".join(parts).decode()


class _Statfs(ctypes.Structure):
    """The first word of struct statfs (statfs(2)) is f_type on amd64 and arm64; the rest is only room."""

    _fields_ = (("f_type", ctypes.c_long), ("rest", ctypes.c_long * 32))


def _magic(fd: int) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    result = _Statfs()
    if libc.fstatfs(fd, ctypes.byref(result)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return int(result.f_type)
