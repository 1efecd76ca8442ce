"""How the answers are printed: as ``-o`` says."""

from __future__ import annotations

from typing import TextIO

from agent.commands.output.table import Output, print_json, show
from agent.fleet.answers import Row
from agent.fleet.looking import Look
from agent.wording.text import safe

NAMES = {"check": ("node", "node"), "events": ("event.events.k8s.io", "name")}  # of other rows: a pod's


def print_look(look: Look, output: str, command: str, file: TextIO) -> None:
    """``wide`` is a table; its columns are chosen before."""
    match output:
        case "yaml":
            print_yaml(look.shown.document, file)
        case "name":
            file.writelines(f"{name}\n" for name in names(look.rows, command))
        case "json":
            show(look.shown, Output.JSON, file)
        case _:
            show(look.shown, Output.TABLE, file)


def print_document(document: Row, output: str, file: TextIO) -> None:
    """Of one pod."""
    if output == "yaml":
        print_yaml(document, file)
    else:
        print_json(document, file)


def print_yaml(document: object, file: TextIO) -> None:
    """ASCII only, as in JSON."""
    import yaml  # noqa: PLC0415 (slow to import, and seldom needed)

    yaml.safe_dump(document, file, sort_keys=False, allow_unicode=False)


def names(rows: list[Row], command: str) -> list[str]:
    """``pod/NAME``, as kubectl prints it, each once and in the order of the rows; of a workload its kind."""
    found: dict[str, None] = {}
    for row in rows:
        if command == "advise":
            kind, name = str(row.get("kind")).lower(), row.get("name")
        else:
            kind, key = NAMES.get(command, ("pod", "pod"))
            name = row.get(key)
        if name:
            found[f"{safe(kind)}/{safe(str(name), 253)}"] = None
    return list(found)
