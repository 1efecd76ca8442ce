"""How the answers are printed: as ``-o`` says."""

from __future__ import annotations

from typing import TextIO

from agent.commands.output.table import Output, show
from agent.fleet.answers import Row
from agent.fleet.looking import Look
from agent.fleet.merging import text_in
from agent.wording.text import is_object_name

# Of rows: the kind that kubectl has for them, and the field with the name; of a workload its kind.
NAMES = {"check": ("node", "node"), "events": ("event.events.k8s.io", "event_name")}
PODS = ("pod", "pod")


def print_look(look: Look, output: Output, command: str, file: TextIO) -> None:
    if output is Output.NAME:
        file.writelines(f"{name}\n" for name in names(look.rows, command))
    else:
        show(look.shown, output, file)


def names(rows: list[Row], command: str) -> list[str]:
    """``pod/NAME``, as kubectl prints it, each once and in the order of the rows.

    They are made for a shell: what is no name of an object is left out.
    """
    found: dict[str, None] = {}
    for row in rows:
        kind, key = NAMES.get(command, PODS)
        if command == "advise":
            kind, key = text_in(row, "workload_kind").lower(), "workload"
        if is_object_name(kind) and is_object_name(name := row.get(key)):
            found[f"{kind}/{name}"] = None
    return list(found)
