"""``version``, ``help`` and ``completion``: what oomward says about itself."""

from __future__ import annotations

import argparse
import platform
from typing import Any, TextIO

from agent import __version__
from agent.commands import EXIT_OK
from agent.commands.output.table import Output, show
from agent.commands.parsers import choices_of
from agent.look.view import DOCUMENT_VERSION
from agent.wording.view import Shown


def talk(top: argparse.ArgumentParser, arguments: argparse.Namespace, file: TextIO) -> int:
    """Print what is asked for."""
    if arguments.command == "version":
        _version(Output(arguments.output), file)
    elif arguments.command == "help":
        asked = top if arguments.topic is None else choices_of(top)[arguments.topic]
        file.write(asked.format_help())
    else:
        file.write(completion(top, arguments.shell))
    return EXIT_OK


def _version(output: Output, file: TextIO) -> None:
    if output is Output.TABLE:
        file.write(f"oomward {__version__}\n")
        return
    found: dict[str, Any] = {"oomward": DOCUMENT_VERSION, "version": __version__, "python": platform.python_version()}
    show(Shown(found, None, []), output, file)


def completion(top: argparse.ArgumentParser, shell: str) -> str:
    """A script for the shell, with files where a path is asked for."""
    import shtab  # noqa: PLC0415 (of this command only)

    for command in choices_of(top).values():
        for action in command._actions:
            if action.metavar in ("PATH", "FILE"):
                action.complete = shtab.FILE  # type: ignore[attr-defined]
    return shtab.complete(top, shell) + "\n"
