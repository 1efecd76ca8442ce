"""Errors of control files, with advice; a removed cgroup is none, but VANISHED."""

from __future__ import annotations

import errno
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from agent.model import VANISHED, AgentError, Vanished

GONE = (errno.ENOENT, errno.ENODEV, errno.ENOTDIR)
DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
AS_ROOT = "run as root, and on SELinux nodes as spc_t"
ADVICE = {
    errno.EACCES: AS_ROOT,
    errno.EPERM: AS_ROOT,
    errno.EROFS: "mount the host's /sys/fs/cgroup read-write into the agent's container",
    errno.EMFILE: "raise the limit of open files (RLIMIT_NOFILE)",
    errno.ENFILE: "raise the node's limit of open files (sysctl fs.file-max)",
    errno.ENOENT: "the memory controller is not enabled there: see cgroup.subtree_control of the cgroup above it",
    errno.EAGAIN: "the node has no pid or thread left: see the sysctls kernel.pid_max and kernel.threads-max",
    errno.ELOOP: "it is a link, which no control file is; see what is mounted there",
}
P = ParamSpec("P")
T = TypeVar("T")


class NotACgroupMountError(AgentError):
    """The given mount is no cgroup file system of the expected version."""


class CgroupError(OSError):
    """A control file of an existing cgroup that can't be read. ``str()`` is a sentence with the path and what to do."""

    def __init__(self, path: str, file: str, error: OSError) -> None:
        advice = ADVICE.get(error.errno or 0, "see the kernel's log; the rest of the node is watched as before")
        super().__init__(error.errno, f"{file} of cgroup {path or '/'}: {error.strerror}; {advice}")
        self.path, self.file = path, file

    def __str__(self) -> str:
        return str(self.strerror)


class GoneError(Exception):
    """The cgroup was removed. Never leaves this room: see or_vanished."""


def or_vanished(ask: Callable[P, T]) -> Callable[P, T | Vanished]:
    """The same function, but for a removed cgroup it returns VANISHED."""

    @wraps(ask)
    def asked(*args: P.args, **kwargs: P.kwargs) -> T | Vanished:
        try:
            return ask(*args, **kwargs)
        except GoneError:
            return VANISHED

    return asked
