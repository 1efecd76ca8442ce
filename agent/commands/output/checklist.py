"""Output of ``check``: a row per prerequisite with its status, what was found, and what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TextIO

from rich.text import Text

from agent.commands.output.table import Column, Listing, Output
from agent.wording.text import safe

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


def show_checks(checks: Sequence[Check], output: Output, file: TextIO) -> None:
    """Print checks in the given order; a table ends with the number of each status. JSON is not cut: it escapes text itself."""
    Listing("checks", COLUMNS, _check_json, "Nothing was checked.").show(checks, output, file)
    if checks and output is Output.TABLE:
        file.write(f"\n{total(checks)}\n")


def total(checks: Sequence[Check]) -> str:
    """``2 fail, 1 warn, 14 pass.``, without zeros."""
    counts = Counter(check.status for check in checks)
    return ", ".join(f"{counts[s]} {s.value}" for s in (Status.FAIL, Status.WARN, Status.PASS) if counts[s]) + "."


def _check_json(check: Check) -> dict[str, object]:
    return {"name": check.name, "status": check.status.value, "found": check.found, "mend": check.advice}


def _sentences(check: Check) -> Text:
    text = Text(safe(check.found.rstrip("."), TEXT_LIMIT) + ".")
    if check.advice:
        text.append(" To do: ", style="bold").append(safe(check.advice, TEXT_LIMIT))
    return text


STYLES = {Status.PASS: "green", Status.WARN: "yellow", Status.FAIL: "bold red"}
COLUMNS: tuple[Column[Check], ...] = (
    Column("STATUS", lambda check: Text(check.status.value, style=STYLES[check.status])),
    Column("CHECK", lambda check: Text(safe(check.name))),
    Column("FOUND", _sentences),
)
