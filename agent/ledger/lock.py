"""One agent a node: a lock file in the state directory that names its holder."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType

from agent.model import AgentError

FILE = "agent.lock"


class LockedError(AgentError):
    """Another agent has this state directory, or the lock can't be had."""


class AgentLock:
    """A context manager. The kernel lets go of the lock when the process ends, however it ends (flock(2))."""

    def __init__(self, state_dir: Path, node: str) -> None:
        self._path = state_dir / FILE
        self._node = node
        self._fd = -1

    def __enter__(self) -> AgentLock:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            # A state directory that can't be written has no other agent in it that we could disturb: the ledger says more.
            self._fd = -1
            self._trouble = str(error)
            return self
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._fd, 256, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._fd)
            raise LockedError(
                f"another oomward agent runs on this node already ({holder}) and has {self._path.parent}: two would write the same "
                "knobs and count twice. Stop one of them, or check that only one DaemonSet selects this node."
            ) from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"pid {os.getpid()}, node {self._node}\n".encode(), 0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._fd >= 0:
            os.close(self._fd)
