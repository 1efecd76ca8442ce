"""The commands of ``oomward``. Reads the arguments, hands settings to a command, turns errors into a sentence and an exit code."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from agent import __version__
from agent.commands import EXIT_FAILED, EXIT_OK

if TYPE_CHECKING:
    from agent.settings import Settings

EXIT_USAGE = 2  # arguments or configuration are wrong: nothing was begun
EPILOG = "Exit codes: 0 done, 1 failed (the message says what and what to do), 2 arguments or configuration are wrong."

# The commands import what they need when they are called: `oomward --version` needs no API client.
# ruff: noqa: PLC0415


def parser() -> argparse.ArgumentParser:
    """All commands and their arguments."""
    from agent.settings import add_arguments

    top = argparse.ArgumentParser(
        prog="oomward",
        description="Keeps one process's OOM kill from taking down its whole container, for pods that ask for it by the "
        "label oomward.dev/mode, and reports every OOM kill on the node.",
        epilog=EPILOG,
    )
    top.add_argument("--version", action="version", version=f"oomward {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", epilog=EPILOG)
        add_arguments(made)
        return made

    command("run", "watch this node until told to stop: what the DaemonSet runs")
    once = command("once", "bring every container that asks to its mode, once, and end")
    instead = once.add_mutually_exclusive_group()
    instead.add_argument("--dry-run", action="store_true", help="show what would be written, and write nothing")
    instead.add_argument("--restore", action="store_true", help="give every value back as it was before oomward")
    _add_output(once)
    _add_output(command("check", "can this node do it? every prerequisite, and what to do where one is missing"))
    return top


def _add_output(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--output", choices=("table", "json"), default="table", help="table for people (the default), json for programs"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    arguments = parser().parse_args(argv)
    from agent.settings import SettingsError, load

    required = () if getattr(arguments, "restore", False) else ("node_name",)
    try:
        settings = load(vars(arguments), os.environ, required=required)
    except SettingsError as error:
        return _complain(error, EXIT_USAGE)
    from agent.model import AgentError

    try:
        return COMMANDS[arguments.command](settings, arguments)
    except AgentError as error:
        return _complain(error, EXIT_FAILED)
    except BrokenPipeError:  # `oomward … | head`: nobody reads on, and that is no failure
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK


def _complain(error: Exception, code: int) -> int:
    print(f"oomward: {error}", file=sys.stderr)  # noqa: T201
    return code


def _run(settings: Settings, _arguments: argparse.Namespace) -> int:
    from agent.wiring import run

    return run(settings)


def _once(settings: Settings, arguments: argparse.Namespace) -> int:
    from agent.commands import once
    from agent.report.table import Output

    do = once.restore if arguments.restore else once.dry_run if arguments.dry_run else once.apply
    return do(settings, Output(arguments.output), sys.stdout)


def _check(settings: Settings, arguments: argparse.Namespace) -> int:
    from agent.commands.check import check
    from agent.report.table import Output

    return check(settings, Output(arguments.output), sys.stdout)


COMMANDS: dict[str, Callable[[Settings, argparse.Namespace], int]] = {"run": _run, "once": _once, "check": _check}
