"""An agent's answer: the JSON that `oomward … --output json` has written there, read strictly.

The documents' shape is known here only: what a command calls its rows, and their version.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import isfinite
from typing import Any

from agent.fleet import FleetError
from agent.fleet.executing import Finished
from agent.wording.text import safe

Row = dict[str, Any]

ROWS = {
    "ps": "containers",
    "top": "containers",
    "history": "kills",
    "diagnose": "diagnoses",
    "advise": "workloads",
    "check": "checks",
}
VERSION = 1  # of the documents that have one
DEEPEST = 50  # levels of a document: those of agents have a dozen, and printing takes a few calls for each
USAGE = 2  # an exit code of oomward: wrong arguments, or wrong settings
MOST_TROUBLES, LONGEST_TROUBLE = 20, 1200
PREFIX = "oomward: "


@dataclass(frozen=True, slots=True)
class Answer:
    """Of one node. ``failure`` None: it has answered; else why not, for people. ``troubles``: lines of standard error there.

    ``text`` is of ``read_text`` only, ``document`` of ``read``.
    """

    node: str
    document: Row
    text: str = ""
    troubles: tuple[str, ...] = ()
    failure: str | None = None
    exit_code: int = 0

    def rows(self, command: str) -> list[Row]:
        """The command's rows, each with its node first."""
        found = self.document.get(ROWS[command], [])
        return [{"node": self.node, **{k: v for k, v in row.items() if k != "node"}} for row in found]


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A node that has not answered. Field names are JSON keys."""

    node: str
    why: str


def failed(node: str, why: str) -> Answer:
    return Answer(node, {}, failure=why)


def read(node: str, command: str, finished: Finished) -> Answer:
    """A command's document. Raises FleetError with the reason if it is none."""
    troubles = _troubles(finished)
    document = _document(finished.stdout)
    if document is None:
        raise FleetError(_without_document(finished, troubles))
    if _is_deep(document):
        raise FleetError(f"its answer is nested more than {DEEPEST} levels deep, which no agent's is")
    version = document.get("oomward", VERSION)
    if version != VERSION:
        raise FleetError(f"its agent answers in version {safe(str(version))}, this program reads version {VERSION}")
    key = ROWS.get(command)
    if key is not None:
        rows = document.get(key)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise FleetError(f"its answer has no {key}: the agent is of another version")
    return Answer(node, document, troubles=troubles, exit_code=finished.exit_code)


def read_text(node: str, finished: Finished) -> Answer:
    """What a command prints for people, line by line safe for a terminal. Raises FleetError with the reason if it has failed."""
    troubles = _troubles(finished)
    if finished.exit_code:
        raise FleetError(_without_document(finished, troubles))
    lines = finished.stdout.decode("utf-8", "replace").splitlines()
    return Answer(node, {}, "\n".join(_safe_line(line) for line in lines), troubles)


def _safe_line(line: str) -> str:
    return safe(line, max(1, 10 * len(line)))  # escaped, never cut


def _document(stdout: bytes) -> Row | None:
    try:
        document = json.loads(stdout, parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _no_constant(name: str) -> None:
    """NaN and infinities are no JSON."""
    raise ValueError(name)


def _finite(text: str) -> float:
    """Raises ValueError for a number that is too large, which could not be printed as JSON again."""
    number = float(text)
    if not isfinite(number):
        raise ValueError(text)
    return number


def _is_deep(document: Row) -> bool:
    level: list[Any] = [document]
    for _ in range(DEEPEST):
        level = [
            inner
            for one in level
            for inner in (one.values() if isinstance(one, dict) else one)
            if isinstance(inner, dict | list)
        ]
    return bool(level)


def _without_document(finished: Finished, troubles: tuple[str, ...]) -> str:
    last = troubles[-1] if troubles else ""
    said = last.rpartition("error: ")[2]
    if finished.exit_code == USAGE:
        return f"its agent does not take this command: {said or 'it is of another version'}"
    if finished.exit_code:
        return said or f"the command ended there with exit code {finished.exit_code}"
    return "its answer is not JSON: the agent is of another version"


def _troubles(finished: Finished) -> tuple[str, ...]:
    lines = [line for line in finished.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    return tuple(safe(line.removeprefix(PREFIX), LONGEST_TROUBLE) for line in lines[-MOST_TROUBLES:])
