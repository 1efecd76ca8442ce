"""One agent per node: a locked file in the state directory that names its owner, and the cgroups' mount, which nobody can remove."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from agent.model import AgentError

FILE = "agent.lock"


class LockedError(AgentError):
    """Another agent has this state directory."""


class AgentLock:
    """A context manager. The kernel drops the locks when the process ends, however it ends (flock(2)). ``trouble``: there is no lock.

    ``mount`` is the folder of cgroups: its lock lasts when the state directory is removed, or another has its path.
    ``of_agent`` False: of a command that must not write beside an agent.
    """

    def __init__(self, state_dir: Path, node: str, mount: Path | None = None, *, of_agent: bool = True) -> None:
        self._path = state_dir / FILE
        self._of_agent = of_agent
        self._node = node
        self._mount = mount
        self._fds: list[int] = []
        self.trouble: str | None = None

    def __enter__(self) -> AgentLock:
        """Raises LockedError."""
        try:
            fd = self._lock_file()
            if self._mount is not None:
                with contextlib.suppress(OSError):  # it is not there, which is reported elsewhere
                    self._lock(self._mount, os.O_RDONLY | os.O_DIRECTORY, self._mount)
        except BaseException:
            self._close()
            raise
        if fd is not None:
            with contextlib.suppress(OSError):  # on a full disk the name can't be written; the lock still works
                os.ftruncate(fd, 0)
                os.pwrite(fd, f"pid {os.getpid()}, node {self._node}\n".encode(), 0)
        elif not self._fds and self.trouble is not None:
            self.trouble += ": a second agent would not be noticed"
        return self

    def _lock_file(self) -> int | None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            return self._lock(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, self._path.parent)
        except OSError as error:
            self.trouble = f"no lock available at {self._path} ({error.strerror})"
            return None

    def _lock(self, path: Path, flags: int, what: Path) -> int:
        """Raises LockedError, OSError."""
        fd = os.open(path, flags | os.O_CLOEXEC, 0o644)
        self._fds.append(fd)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LockedError(self._locked(self._owner(path), what)) from None
        except OSError:
            self._fds.remove(fd)
            os.close(fd)
            raise
        return fd

    def _locked(self, owner: str, what: Path) -> str:
        if not self._of_agent:
            return f"an oomward agent ({owner}) has {what}: it would write its own values again at once. Stop it first."
        return (
            f"another oomward agent ({owner}) has {what}: two would write the same memory.oom.group and count kills twice. "
            "Stop one of them, or let only one DaemonSet select this node."
        )

    def _owner(self, locked: Path) -> str:
        """As the file says that the other has written; if that was removed, or is another, as the kernel lists its locks."""
        with contextlib.suppress(OSError):
            fd = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                if named := os.pread(fd, 256, 0).decode(errors="replace").strip():
                    return named
            finally:
                os.close(fd)
        pid = _holder(locked)
        removed = "its name was removed with its state directory"
        return removed if pid is None else f"pid {pid}; {removed}"

    def _close(self) -> None:
        for fd in self._fds:
            os.close(fd)
        self._fds.clear()

    def __exit__(self, *_: object) -> None:
        self._close()


def _holder(path: Path) -> int | None:
    """The process with the lock of this file, by /proc/locks (proc_locks(5)); None: not listed, as from another pid namespace."""
    with contextlib.suppress(OSError):
        found = path.stat()
        place = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
        for line in Path("/proc/locks").read_text().splitlines():
            fields = line.split()
            if (
                len(fields) > 5
                and fields[1] == "FLOCK"
                and fields[5] == place
                and fields[4].isdigit()
                and fields[4] != "0"
            ):
                return int(fields[4])
    return None
