"""The command line: parses arguments, runs a command, turns errors into a message and an exit code."""

from __future__ import annotations

import argparse
import errno
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from agent import __version__
from agent.commands import EXIT_FAILED, EXIT_OK
from agent.commands.output import streams

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

    from agent.settings import Settings

EXIT_USAGE = 2  # arguments or configuration are wrong: nothing was started
EXIT_INTERRUPTED = 130  # by Ctrl-C, as shells have it
TOO_MANY_FILES = (errno.EMFILE, errno.ENFILE)
MORE_FILES = "raise the limit of open files (ulimit -n; for the node sysctl fs.file-max)"
MOST_KILLS = 10**9  # of history: all
LEAST_WATCH_S = 0.5
USUAL_DURATION = re.compile(r"([1-9][0-9]?|0\.[1-9])([smh]?)\Z", re.ASCII)
EPILOG = "Exit codes: 0 success, 1 failure (the message says what failed and what to do), 2 wrong arguments or configuration, 130 Ctrl-C."
REAL_TIME_S = 2.0  # how long a command may keep real-time priority

COMMANDS = {
    "run": "watch this node until stopped: the command of the DaemonSet",
    "once": "apply the desired mode of every container once, then exit",
    "check": "check every prerequisite on this node, and show what to do where one is missing",
    "ps": "list the containers of this node: desired and actual mode, memory limit, usage, peak, OOM kills",
    "explain": "show each container's OOM mode, why it applies, its memory limits and its recent OOM kills",
    "diagnose": "show why containers of this node fail, what Kubernetes will do, and what you can do",
    "advise": "show each workload's memory limits, peaks and OOM kills on this node, and the next limit where kills ask for one",
    "oom-policy": "install, remove or show the systemd drop-in that keeps mode single in force (OOMPolicy=continue)",
    "history": "list the OOM kills of this node, newest first, including those of deleted containers",
    "report": "write one HTML page about this node: OOM kills, what filled the limits, containers near their limit, advice",
    "uninstall": "restore every value on this node, then remove the drop-in and the ledger (stop the agent first)",
    "recover": "give failing pods that ask for it a bounded second chance: the command of the controller, one per cluster",
}
SERVICES = ("run", "recover")  # they run until they are stopped, and print nothing
ALL_NODES = "--all-nodes"  # `oomward --all-nodes ps` is `kubectl oomward ps`
# They apply no rule, and are needed most when the file is wrong.
LOOKING = ("check", "ps", "explain", "diagnose", "advise", "oom-policy", "history", "report", "uninstall")

# The commands import what they need when they are called: `oomward --version` needs no API client.
# ruff: noqa: PLC0415


class _Parser(argparse.ArgumentParser):
    def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> None:
        """argparse's own hides that standard output can't be written: at once where PYTHONUNBUFFERED is set, else only at the end."""
        if file is not None and file is sys.stdout:
            file.write(message)
        else:
            super()._print_message(message, file)


def parser() -> argparse.ArgumentParser:
    """All commands and their arguments."""
    from agent.settings import OF_CONTROLLER, add_arguments

    top = _Parser(
        prog="oomward",
        description="Keeps an OOM kill from ending the whole container, for pods that request it with the label "
        "oomward.dev/mode, and reports every OOM kill on the node.",
        epilog=EPILOG,
    )
    cluster = "the command for the whole cluster, by kubectl: see `oomward --all-nodes --help`"
    top.add_argument(ALL_NODES, action="store_true", help=cluster)
    top.add_argument("--version", action="version", version=f"oomward {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", epilog=EPILOG)
        add_arguments(command, OF_CONTROLLER if name == "recover" else None)
        _add_own(name, command)
    return top


def _add_own(name: str, command: argparse.ArgumentParser) -> None:
    """The arguments of this command only."""
    add = command.add_argument
    if name == "advise":
        shells = "table (default), json, or patch: a kubectl command for each workload"
        add("--output", choices=("table", "json", "patch"), default="table", help=shells)
    elif name not in (*SERVICES, "report"):
        add("--output", choices=("table", "json"), default="table", help="table (default) or json")
    _add_more(name, command)


def _add_more(name: str, command: argparse.ArgumentParser) -> None:
    """Without --output."""
    add = command.add_argument
    match name:
        case "recover":
            from pathlib import Path

            add(
                "--policy",
                type=Path,
                metavar="PATH",
                help="YAML file: what recovery may do; without one it is a dry run",
            )
        case "once":
            instead = command.add_mutually_exclusive_group()
            instead.add_argument("--dry-run", action="store_true", help="show what would be written; write nothing")
            restores = "restore every value that oomward has changed"
            instead.add_argument("--restore", action="store_true", help=restores)
        case "ps":
            refreshes = "refresh every SECONDS (default 2) until Ctrl-C"
            add("--watch", nargs="?", type=_seconds, const=2.0, metavar="SECONDS", help=refreshes)
        case "explain":
            add("pod", metavar="POD", help="name, namespace/name, uid, or the first characters of a container id")
        case "oom-policy":
            does = "install or remove the drop-in on this node, or show whether it is installed"
            add("action", choices=("install", "remove", "show"), help=does)
        case "uninstall":
            how = command.add_mutually_exclusive_group()
            how.add_argument("--stay", action="store_true", help="wait when done until stopped: for a pod")
            how.add_argument(
                "--done", action="store_true", help="change nothing; exit 0 if this node is done: a readiness probe"
            )
        case "diagnose":
            which = command.add_mutually_exclusive_group()
            which.add_argument("pod", nargs="?", metavar="POD", help="only this pod, named as for explain")
            which.add_argument("--all", action="store_true", help="all pods of this node (the default)")
            anywhere = "the pods in this file (- for standard input; JSON or YAML), without node or cluster"
            which.add_argument("-f", "--file", metavar="FILE", help=anywhere)
        case "advise":
            add(
                "--since",
                type=_duration,
                metavar="DURATION",
                help="only kills in the last 6h … (default: all that are kept)",
            )
        case "report":
            add("--html", required=True, metavar="FILE", help="where to write the page (- for standard output)")
            add("-n", "--namespace", metavar="NAMESPACE", help="only this namespace")
            add(
                "--since",
                type=_duration,
                metavar="DURATION",
                help="only kills in the last 6h … (default: all that are kept)",
            )
        case "history":
            add("--namespace", metavar="NAMESPACE", help="only kills in this namespace")
            add("--pod", metavar="POD", help="only kills in this pod: name or namespace/name")
            add("--since", type=_duration, metavar="DURATION", help="only kills in the last 30m, 6h …")
            add("--limit", type=_positive, default=100, metavar="N", help="at most N kills (default 100)")


def _duration(text: str) -> float:
    """As settings.values.duration_s has it, which costs 10 MiB: not for what is usually typed."""
    if usual := USUAL_DURATION.match(text):
        return float(usual[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[usual[2]]
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
    if not (text.isascii() and text.isdigit() and text.strip("0")):
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, not {text!r}")
    return int(text) if len(text.lstrip("0")) < len(str(MOST_KILLS)) else MOST_KILLS


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code. Whatever becomes of the output, or Ctrl-C: no traceback.

    Without ``argv`` those of this process, which then is the command's own.
    """
    words = sys.argv[1:] if argv is None else argv
    try:
        return _run(words, own_process=argv is None)
    except KeyboardInterrupt:
        streams.drop(sys.stdout)
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # `oomward … | head`: the reader has closed the pipe: no failure
        streams.drop(sys.stdout)
        return EXIT_OK
    except OSError as error:  # the disk that takes the output is full; or no file can be opened any more
        streams.drop(sys.stdout)
        streams.say_as_it_is(f"{error}; {MORE_FILES}" if error.errno in TOO_MANY_FILES else str(error))
        return EXIT_FAILED


def kubectl_plugin() -> int:
    """The program ``kubectl-oomward``, which kubectl starts for ``kubectl oomward``."""
    return main([ALL_NODES, *sys.argv[1:]])


def _run(words: Sequence[str], *, own_process: bool) -> int:
    """What is printed is written at the end, unless writing it has failed."""
    try:
        code = _of_cluster(words) if ALL_NODES in words else _of_node(words, own_process=own_process)
    except SystemExit:  # of argparse: --help
        streams.flush()
        raise
    streams.flush()
    return code


def _of_cluster(words: Sequence[str]) -> int:
    from agent.fleet.main import run

    return run([word for word in words if word != ALL_NODES])


def _of_node(words: Sequence[str], *, own_process: bool) -> int:
    """By the running agent, if it answers."""
    from agent.commands import thin

    if own_process and words[:1] not in (["run"], ["recover"]):
        thin.offer_itself()
    code = thin.run(words, _add_own)
    return _without_agent(words) if code is None else code


def _without_agent(argv: Sequence[str]) -> int:
    """A command that reads the node itself, or the agent."""
    from agent.kernel import scheduling

    scheduling.raise_priority()  # before the imports: on busy processors those alone would take minutes
    arguments = parser().parse_args(argv)
    from agent.settings import SettingsError, load

    alone = (
        arguments.command in ("history", "oom-policy", "recover", "uninstall")
        or getattr(arguments, "restore", False)
        or getattr(arguments, "file", None) is not None
    )
    required = () if alone else ("node_name",)
    from agent.model import AgentError

    mistakes: list[str] | None = [] if arguments.command in LOOKING else None
    try:
        settings = load(vars(arguments), os.environ, required=required, in_file=mistakes)
        for mistake in mistakes or ():
            streams.say_as_it_is(
                f"{mistake}; shown is what the rest of the file says, in force is what the agent read before"
            )
        if not settings.real_time:
            scheduling.suspend_real_time()
        with _within_budget(arguments.command):
            return _call(settings, arguments)
    except (SettingsError, AgentError) as error:
        streams.say_as_it_is(str(error))
        return EXIT_USAGE if isinstance(error, SettingsError) else EXIT_FAILED


@contextmanager
def _within_budget(command: str) -> Iterator[None]:
    """Real-time priority for a moment only: a command may run until Ctrl-C. ``run`` has a budget of its own (loop/realtime.py)."""
    import threading

    from agent.kernel import scheduling

    timer = threading.Timer(REAL_TIME_S, scheduling.suspend_real_time)
    timer.daemon = True
    if command != "run":
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _serve(settings: Settings, arguments: argparse.Namespace) -> int:
    """One of SERVICES."""
    if arguments.command == "recover":
        from agent.commands.recover import recover

        return recover(settings, arguments.policy)
    from agent.run import run

    try:
        return run(settings)
    except OSError as error:
        if error.errno not in TOO_MANY_FILES:
            import traceback

            traceback.print_exc()  # a fault of ours
        raise


def _call(settings: Settings, arguments: argparse.Namespace) -> int:
    """Import and run the command."""
    if arguments.command in SERVICES:
        return _serve(settings, arguments)
    if arguments.command == "report":
        from agent.commands.report import report

        wanted = {"namespace": arguments.namespace, "since_s": arguments.since}
        return report(settings, arguments.html, streams.standard_output(), **wanted)
    from agent.commands.output.table import Output

    output, file = Output(arguments.output), streams.standard_output()
    match arguments.command:
        case "once":
            from agent.commands import once

            do = once.restore if arguments.restore else once.dry_run if arguments.dry_run else once.apply
            code = do(settings, output, file)
        case "check":
            from agent.commands.check import check

            code = check(settings, output, file)
        case "ps":
            from agent.commands.ps import ps

            code = ps(settings, output, file, watch_s=arguments.watch)
        case "explain":
            from agent.commands.explain import explain

            code = explain(settings, arguments.pod, output, file)
        case "diagnose" if arguments.file is not None:
            from agent.commands.diagnose_file import diagnose_file

            code = diagnose_file(arguments.file, output, file)
        case "diagnose":
            from agent.commands.diagnose import diagnose

            code = diagnose(settings, arguments.pod, output, file)
        case "advise":
            from agent.commands.advise import advise

            code = advise(settings, output, file, since_s=arguments.since)
        case "oom-policy":
            from agent.commands.oom_policy import oom_policy

            code = oom_policy(settings, arguments.action, output, file)
        case "uninstall":
            from agent.commands.uninstall import uninstall

            code = uninstall(settings, output, file, stay=arguments.stay, done=arguments.done)
        case _:
            from agent.commands.history import history

            asked = {"namespace": arguments.namespace, "pod": arguments.pod, "since_s": arguments.since}
            code = history(settings, output, file, **asked, limit=arguments.limit)
    return code
