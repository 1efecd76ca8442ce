"""Output of ``check``: a row per prerequisite with its status, what was found, and what to do.

Takes Checks in output order. All text goes through ``safe()``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TextIO

from rich.text import Text

from agent.commands.output.table import Column, Output, print_json, print_table
from agent.wording.kills import safe

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


def show_checks(checks: Iterable[Check], output: Output, file: TextIO) -> None:
    """Print checks in the given order; a table ends with the number of each status."""
    rows = tuple(checks)
    if output is Output.JSON:
        print_json("checks", [check_json(row) for row in rows], file)
        return
    print_table(rows, COLUMNS, "Nothing was checked.", file)
    if rows:
        file.write(f"\n{total(rows)}\n")


def check_json(check: Check) -> dict[str, object]:
    """A check's row. Text is not cut or made safe: JSON escapes it."""
    return {"name": check.name, "status": check.status.value, "found": check.found, "mend": check.advice}


def total(checks: Iterable[Check]) -> str:
    """``2 fail, 1 warn, 14 pass.``, without zeros."""
    counts = Counter(check.status for check in checks)
    return ", ".join(f"{counts[s]} {s.value}" for s in (Status.FAIL, Status.WARN, Status.PASS) if counts[s]) + "."


STYLES = {Status.PASS: "green", Status.WARN: "yellow", Status.FAIL: "bold red"}


def _sentences(check: Check) -> Text:
    text = Text(safe(check.found.rstrip("."), TEXT_LIMIT) + ".")
    if check.advice:
        text.append(" To do: ", style="bold").append(safe(check.advice, TEXT_LIMIT))
    return text


COLUMNS: tuple[Column[Check], ...] = (
    Column("STATUS", lambda check: Text(check.status.value, style=STYLES[check.status])),
    Column("CHECK", lambda check: Text(safe(check.name))),
    Column("FOUND", _sentences),
)
