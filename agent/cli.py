"""The commands of ``oomward``. Reads the arguments, hands settings to wiring, turns errors into a sentence and an exit code."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from agent import __version__

EXIT_OK = 0
EXIT_FAILED = 1  # something that must run ended, or could not begin
EXIT_USAGE = 2  # arguments or configuration are wrong: nothing was begun

EPILOG = "Exit codes: 0 done, 1 failed (the message says what and what to do), 2 arguments or configuration are wrong."


def parser() -> argparse.ArgumentParser:
    """All commands and their arguments."""
    from agent.settings import add_arguments  # noqa: PLC0415  (a plain --version needs none of it)

    top = argparse.ArgumentParser(
        prog="oomward",
        description="Keeps one process's OOM kill from taking down its whole container, for pods that ask for it by the "
        "label oomward.dev/mode, and reports every OOM kill on the node.",
        epilog=EPILOG,
    )
    top.add_argument("--version", action="version", version=f"oomward {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="watch this node until told to stop: what the DaemonSet runs", epilog=EPILOG)
    add_arguments(run)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    arguments = parser().parse_args(argv)
    from agent.settings import SettingsError, load  # noqa: PLC0415

    try:
        settings = load(vars(arguments), os.environ)
    except SettingsError as error:
        print(f"oomward: {error}", file=sys.stderr)  # noqa: T201
        return EXIT_USAGE
    from agent.model import AgentError  # noqa: PLC0415
    from agent.wiring import run  # noqa: PLC0415  (imports the API client, the heaviest part)

    try:
        return run(settings)
    except AgentError as error:
        print(f"oomward: {error}", file=sys.stderr)  # noqa: T201
        return EXIT_FAILED
