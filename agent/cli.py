"""The command line: parses arguments, runs a command, turns errors into a message and an exit code."""

from __future__ import annotations

import argparse
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from agent import __version__
from agent.commands import EXIT_FAILED, EXIT_OK

if TYPE_CHECKING:
    from agent.settings import Settings

EXIT_USAGE = 2  # arguments or configuration are wrong: nothing was started
LEAST_WATCH_S = 0.5
EPILOG = "Exit codes: 0 success, 1 failure (the message says what failed and what to do), 2 wrong arguments or configuration."
REAL_TIME_S = 2.0  # how long a command may keep real-time priority

# The commands import what they need when they are called: `oomward --version` needs no API client.
# ruff: noqa: PLC0415


def parser() -> argparse.ArgumentParser:
    """All commands and their arguments."""
    from agent.settings import add_arguments

    top = argparse.ArgumentParser(
        prog="oomward",
        description="Keeps an OOM kill from ending the whole container, for pods that request it with the label "
        "oomward.dev/mode, and reports every OOM kill on the node.",
        epilog=EPILOG,
    )
    top.add_argument("--version", action="version", version=f"oomward {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", epilog=EPILOG)
        add_arguments(made)
        return made

    command("run", "watch this node until stopped: the command of the DaemonSet")
    once = command("once", "apply the desired mode of every container once, then exit")
    instead = once.add_mutually_exclusive_group()
    instead.add_argument("--dry-run", action="store_true", help="show what would be written; write nothing")
    instead.add_argument("--restore", action="store_true", help="restore every value that oomward has changed")
    _add_output(once)
    _add_output(command("check", "check every prerequisite on this node, and show what to do where one is missing"))
    ps = command(
        "ps", "list the containers of this node: desired and actual mode, memory limit, usage, peak, OOM kills"
    )
    ps.add_argument(
        "--watch",
        nargs="?",
        type=_seconds,
        const=2.0,
        metavar="SECONDS",
        help="refresh every SECONDS (default 2) until Ctrl-C",
    )
    _add_output(ps)
    explain = command(
        "explain", "show each container's OOM mode, why it applies, its memory limits and its recent OOM kills"
    )
    explain.add_argument(
        "pod", metavar="POD", help="name, namespace/name, uid, or the first characters of a container id"
    )
    _add_output(explain)
    diagnose = command(
        "diagnose", "show why containers of this node fail, what Kubernetes will do, and what you can do"
    )
    which = diagnose.add_mutually_exclusive_group()
    which.add_argument("pod", nargs="?", metavar="POD", help="only this pod, named as for explain")
    which.add_argument("--all", action="store_true", help="all pods of this node (the default)")
    _add_output(diagnose)
    history = command("history", "list the OOM kills of this node, newest first, including those of deleted containers")
    history.add_argument("--namespace", metavar="NAMESPACE", help="only kills in this namespace")
    history.add_argument("--pod", metavar="POD", help="only kills in this pod: name or namespace/name")
    history.add_argument("--since", type=_duration, metavar="DURATION", help="only kills in the last 30m, 6h …")
    history.add_argument("--limit", type=_positive, default=100, metavar="N", help="at most N kills (default 100)")
    _add_output(history)
    return top


def _duration(text: str) -> float:
    from agent.settings.values import duration_s

    try:
        return duration_s(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _seconds(text: str) -> float:
    seconds = _duration(text)
    if seconds < LEAST_WATCH_S:
        raise argparse.ArgumentTypeError(f"at least {LEAST_WATCH_S} s: each refresh reads the files of every container")
    return seconds


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, not {text!r}")
    return int(text)


def _add_output(command: argparse.ArgumentParser) -> None:
    command.add_argument("--output", choices=("table", "json"), default="table", help="table (default) or json")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    from agent.kernel import scheduling

    scheduling.raise_priority()  # before the imports: on busy processors those alone would take minutes
    arguments = parser().parse_args(argv)
    from agent.settings import SettingsError, load

    alone = arguments.command == "history" or getattr(arguments, "restore", False)
    required = () if alone else ("node_name",)
    from agent.model import AgentError

    try:
        settings = load(vars(arguments), os.environ, required=required)
        if not settings.real_time:
            scheduling.suspend_real_time()
        with _within_budget(arguments.command):
            return COMMANDS[arguments.command](settings, arguments)
    except SettingsError as error:
        return _complain(error, EXIT_USAGE)
    except AgentError as error:
        return _complain(error, EXIT_FAILED)
    except BrokenPipeError:  # `oomward … | head`: the reader has closed the pipe: no failure
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK


@contextmanager
def _within_budget(command: str) -> Iterator[None]:
    """Real-time priority for a moment only: a command may run until Ctrl-C. ``run`` has a budget of its own (loop/realtime.py)."""
    from agent.kernel import scheduling

    timer = threading.Timer(REAL_TIME_S, scheduling.suspend_real_time)
    timer.daemon = True
    if command != "run":
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _complain(error: Exception, code: int) -> int:
    print(f"oomward: {error}", file=sys.stderr)  # noqa: T201
    return code


def _run(settings: Settings, _arguments: argparse.Namespace) -> int:
    from agent.run import run

    return run(settings)


def _once(settings: Settings, arguments: argparse.Namespace) -> int:
    from agent.commands import once
    from agent.commands.output.table import Output

    do = once.restore if arguments.restore else once.dry_run if arguments.dry_run else once.apply
    return do(settings, Output(arguments.output), sys.stdout)


def _check(settings: Settings, arguments: argparse.Namespace) -> int:
    from agent.commands.check import check
    from agent.commands.output.table import Output

    return check(settings, Output(arguments.output), sys.stdout)


def _ps(settings: Settings, arguments: argparse.Namespace) -> int:
    from agent.commands.output.table import Output
    from agent.commands.ps import ps

    return ps(settings, Output(arguments.output), sys.stdout, watch_s=arguments.watch)


def _explain(settings: Settings, arguments: argparse.Namespace) -> int:
    from agent.commands.explain import explain
    from agent.commands.output.table import Output

    return explain(settings, arguments.pod, Output(arguments.output), sys.stdout)


def _diagnose(settings: Settings, arguments: argparse.Namespace) -> int:
    from agent.commands.diagnose import diagnose
    from agent.commands.output.table import Output

    return diagnose(settings, arguments.pod, Output(arguments.output), sys.stdout)


def _history(settings: Settings, arguments: argparse.Namespace) -> int:
    from agent.commands.history import history
    from agent.commands.output.table import Output

    return history(
        settings,
        Output(arguments.output),
        sys.stdout,
        namespace=arguments.namespace,
        pod=arguments.pod,
        since_s=arguments.since,
        limit=arguments.limit,
    )


COMMANDS: dict[str, Callable[[Settings, argparse.Namespace], int]] = {
    "run": _run,
    "once": _once,
    "check": _check,
    "ps": _ps,
    "explain": _explain,
    "diagnose": _diagnose,
    "history": _history,
}
