"""One agent per node: a locked file in the state directory that names its owner. Without a writable directory there is no guard."""

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
    """A context manager. The kernel drops the lock when the process ends, however it ends (flock(2)). ``trouble``: there is no lock."""

    def __init__(self, state_dir: Path, node: str) -> None:
        self._path = state_dir / FILE
        self._node = node
        self._fd = -1
        self.trouble: str | None = None

    def __enter__(self) -> AgentLock:
        """Raises LockedError."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(self._fd, 256, 0).decode(errors="replace").strip() or "unknown"
            self._close()
            raise LockedError(
                f"another oomward agent ({owner}) has {self._path.parent}: two would write the same memory.oom.group and count "
                "kills twice. Stop one of them, or let only one DaemonSet select this node."
            ) from None
        except OSError as error:
            self._close()
            self.trouble = f"no lock available at {self._path} ({error.strerror}): a second agent would not be noticed"
            return self
        with contextlib.suppress(OSError):  # on a full disk the name can't be written; the lock still works
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"pid {os.getpid()}, node {self._node}\n".encode(), 0)
        return self

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __exit__(self, *_: object) -> None:
        self._close()
