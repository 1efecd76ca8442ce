"""A check of one prerequisite: made from the result or the error of a probe, and printed as a row of ``check``."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TextIO

from agent.commands.output.table import Output, show_rows
from agent.look.view import Column, Listing, styled
from agent.model import AgentError
from agent.wording.text import safe
from agent.wording.view import Cell

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
TEXT_LIMIT = 1200


class Status(StrEnum):
    """``warn``: oomward works with restrictions, or may stop working. ``fail``: it does not work here."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One prerequisite. ``found`` is a sentence; ``advice`` says what to do, "" if nothing."""

    name: str
    status: Status
    found: str
    advice: str = ""


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


def show_checks(checks: Sequence[Check], output: Output, file: TextIO) -> None:
    """Print checks in the given order; a table ends with the number of each status. JSON is not cut: it escapes text itself."""
    show_rows(Listing("checks", COLUMNS, _check_json, "Nothing was checked."), checks, output, file)
    if checks and output is Output.TABLE:
        file.write(f"\n{total(checks)}\n")


def total(checks: Sequence[Check]) -> str:
    """``2 fail, 1 warn, 14 pass.``, without zeros."""
    counts = Counter(check.status for check in checks)
    return ", ".join(f"{counts[s]} {s.value}" for s in (Status.FAIL, Status.WARN, Status.PASS) if counts[s]) + "."


def _check_json(check: Check) -> dict[str, object]:
    return {"name": check.name, "status": check.status.value, "found": check.found, "advice": check.advice}


def _sentences(check: Check) -> Cell:
    text = styled(safe(check.found.rstrip("."), TEXT_LIMIT) + ".")
    if check.advice:
        text += styled(" To do: ", "bold") + styled(safe(check.advice, TEXT_LIMIT))
    return text


STYLES = {Status.PASS: "green", Status.WARN: "yellow", Status.FAIL: "bold red"}
COLUMNS: tuple[Column[Check], ...] = (
    Column("STATUS", lambda check: styled(check.status.value, style=STYLES[check.status])),
    Column("CHECK", lambda check: styled(safe(check.name))),
    Column("FOUND", _sentences, prose=True),
)
