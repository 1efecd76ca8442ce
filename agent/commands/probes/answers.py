"""Making Checks from the results and errors of probes."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable

from agent.commands.output.checklist import Check, Status
from agent.model import AgentError

ERRORS = (AgentError, OSError, ValueError)  # of a probe
ADVICE = {
    errno.EACCES: "Run as root; in a pod, with securityContext.privileged.",
    errno.EPERM: "Run as root; in a pod, with securityContext.privileged.",
    errno.EROFS: "Mount it read-write into the container.",
    errno.ENOENT: "Mount the node's own into the container, or give the right path.",
    errno.EMFILE: "Raise the limit of open files (ulimit -n); for inotify also sysctl fs.inotify.max_user_instances.",
    errno.ENFILE: "Raise the node's limit of open files: sysctl fs.file-max.",
    errno.ENOSPC: "Free some space on its disk.",
}


def passed(name: str, found: str) -> Check:
    return Check(name, Status.PASS, found)


def warned(name: str, found: str, advice: str) -> Check:
    return Check(name, Status.WARN, found, advice)


def failed(name: str, found: str, advice: str) -> Check:
    return Check(name, Status.FAIL, found, advice)


def guarded(name: str, probe: Callable[..., Iterable[Check]], *arguments: object) -> list[Check]:
    """The probe's checks; an error becomes a failed check, and the other probes still run."""
    checks: list[Check] = []
    try:
        checks.extend(probe(*arguments))
    except ERRORS as error:
        checks.append(failed(name, *explained(error)))
    return checks


def explained(error: Exception) -> tuple[str, str]:
    """The error as text, and what to do. Our own errors say that themselves."""
    advice = ADVICE.get(error.errno or 0) if isinstance(error, OSError) else None
    if isinstance(error, ValueError):
        return f"unexpected content: {error}", "Report this text as a bug."
    return str(error), advice or "Do what the message says, then run the check again."
