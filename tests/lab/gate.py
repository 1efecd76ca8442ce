"""A process of a container takes too much memory when the test says so, and all others there stand still meanwhile.

Why they stand still: a process that dies is out of the OOM killer's sight before its memory is back, since the cgroup's iterator passes
over a thread group whose last thread exits. If another process of the same cgroup needs a page in these 10 to 100 ms, the kernel kills a
second, smaller one (seen on 7.2: a notebook's server, which a test had just asked for a page). That is right too, but a test has to know
whom the kernel will kill. While the others are stopped nobody asks for a page, so there is no second kill.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.lab.cgroups import MOUNT
from tests.lab.spec import Folder

SECONDS = 60.0
INSIDE = "/gate"
ENDED = ("Z", "X", "")  # of /proc/PID/stat; "" is gone


class Gate:
    """A FIFO in a folder of the container: who reads a byte of it waits until the test lets it in. Close it."""

    def __init__(self, folder: Path, name: str = "large") -> None:
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)
        path = folder / name
        os.mkfifo(path)
        path.chmod(0o644)
        self.folder = Folder(INSIDE, str(folder))
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)  # so that bytes stay, and a reader waits for them
        self._inode = os.stat(path).st_ino

    def close(self) -> None:
        os.close(self._fd)

    def let_in(self, count: int = 1) -> None:
        """So many of those that wait, or that will come, pass."""
        os.write(self._fd, b"." * count)

    def waiting(self, path: str) -> int:
        """The pid of the process that waits, of the cgroup at ``path``, once there is one. Raises TimeoutError."""
        found: list[int] = []

        def somebody_waits() -> bool:
            found[:] = [pid for pid in processes(path) if self._is_open_in(pid)]
            return bool(found)

        _wait(somebody_waits, f"somebody of {path} waits at the gate")
        (pid,) = found
        return pid

    def _is_open_in(self, pid: int) -> bool:
        with suppress(FileNotFoundError, ProcessLookupError):
            for descriptor in os.listdir(f"/proc/{pid}/fd"):
                with suppress(FileNotFoundError):
                    if os.stat(f"/proc/{pid}/fd/{descriptor}").st_ino == self._inode:
                        return True
        return False


@contextmanager
def stopped(path: str, *, but: int) -> Iterator[None]:
    """All processes of the cgroup at ``path`` but this one stand still, from the beginning to the end."""
    others = [pid for pid in processes(path) if pid != but]
    try:
        for pid in others:
            os.kill(pid, signal.SIGSTOP)
        for pid in others:
            _wait(lambda pid=pid: all(state in ("T", *ENDED) for state in _states(pid)), f"{pid} stands still")  # type: ignore[misc]
        yield
    finally:
        for pid in others:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def wait_ended(pid: int) -> None:
    """Until the process is gone or a zombie, and its memory is back. Raises TimeoutError."""
    _wait(lambda: all(state in ENDED for state in _states(pid)), f"{pid} has ended")


def processes(path: str) -> list[int]:
    """The pids in the cgroup at ``path``."""
    return [int(pid) for pid in (MOUNT / path / "cgroup.procs").read_text().split()]


def _states(pid: int) -> list[str]:
    """Of all threads, as /proc/PID/stat has it; [""] when there are none."""
    states = []
    with suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):
                states.append((task / "stat").read_text().rpartition(")")[2].split()[0])
    return states or [""]


def _wait(condition: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(f"not within {SECONDS:g} s: {what}")
        time.sleep(0.01)
