"""The command line: parses arguments, runs a command, turns errors into a message and an exit code."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from agent.commands import EXIT_FAILED, EXIT_OK, EXIT_USAGE
from agent.commands.arguments import SERVICES, TALK
from agent.commands.output import streams

if TYPE_CHECKING:
    import argparse

    from agent.look.which import Which
    from agent.settings import Settings

EXIT_INTERRUPTED = 130  # by Ctrl-C, as shells have it
TOO_MANY_FILES = (errno.EMFILE, errno.ENFILE)
MORE_FILES = "raise the limit of open files (ulimit -n; for the node sysctl fs.file-max)"
REAL_TIME_S = 2.0  # how long a command may keep real-time priority
# They apply no rule, and are needed most when the file is wrong.
LOOKING = ("check", "ps", "explain", "diagnose", "advise", "oom-policy", "history", "report", "uninstall")
ALL_NODES = "--all-nodes"  # `oomward --all-nodes ps` is `kubectl oomward ps`
OF_CLUSTER_ONLY = ("top", "events")
WITHOUT_NODE_NAME = ("oom-policy", "recover", "uninstall")

# The commands import what they need when they are called: `oomward --version` needs no API client.
# ruff: noqa: PLC0415


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
    code = thin.run(words)
    return _without_agent(words) if code is None else code


def _without_agent(argv: Sequence[str]) -> int:
    """A command that reads the node itself, or the agent."""
    from agent.kernel import scheduling

    scheduling.raise_priority()  # before the imports: on busy processors those alone would take minutes
    from agent.commands.parsers import parser

    top = parser()
    if argv[:1] and argv[0] in OF_CLUSTER_ONLY:
        top.error(f"{argv[0]} is about the whole cluster: kubectl oomward {argv[0]}")
    arguments = top.parse_args(argv)
    if getattr(arguments, "file", None) is not None and arguments.watch is not None:
        top.error("argument -f/--file: not allowed with argument --watch: a file is read once")
    if arguments.command in TALK:
        from agent.commands.talk import talk

        return talk(top, arguments, streams.standard_output())
    from agent.look.which import WrongSelectorError
    from agent.model import AgentError
    from agent.settings import SettingsError, load

    required = ("node_name",) if _needs_node_name(arguments) else ()

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
        return EXIT_USAGE if isinstance(error, SettingsError | WrongSelectorError) else EXIT_FAILED


def _needs_node_name(arguments: argparse.Namespace) -> bool:
    """Whether it asks the API for this node's pods."""
    if arguments.command == "history":
        return bool(arguments.selector)
    of_file = getattr(arguments, "restore", False) or getattr(arguments, "file", None) is not None
    return arguments.command not in WITHOUT_NODE_NAME and not of_file


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

        wanted = {"namespace": arguments.namespace, "since_unix_s": arguments.since_unix_s}
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

            code = ps(settings, output, file, which=_which(arguments), watch_s=arguments.watch)
        case "explain":
            from agent.commands.explain import explain

            more = {"namespace": arguments.namespace, "watch_s": arguments.watch}
            code = explain(settings, arguments.pod, output, file, **more)
        case "diagnose" if arguments.file is not None:
            from agent.commands.diagnose_file import diagnose_file

            code = diagnose_file(arguments.file, output, file, _which(arguments))
        case "diagnose":
            from agent.commands.diagnose import diagnose

            asked = {"which": _which(arguments), "watch_s": arguments.watch}
            code = diagnose(settings, arguments.pod, output, file, **asked)
        case "advise":
            from agent.commands.advise import advise

            asked = {"which": _which(arguments), "watch_s": arguments.watch, "since_unix_s": arguments.since_unix_s}
            code = advise(settings, output, file, **asked)
        case "oom-policy":
            from agent.commands.oom_policy import oom_policy

            code = oom_policy(settings, arguments.action, output, file)
        case "uninstall":
            from agent.commands.uninstall import uninstall

            code = uninstall(settings, output, file, stay=arguments.stay, done=arguments.done)
        case _:
            from agent.commands.history import history

            asked = {"which": _which(arguments), "watch_s": arguments.watch, "since_unix_s": arguments.since_unix_s}
            code = history(settings, output, file, pod=arguments.pod, limit=arguments.limit, **asked)
    return code


def _which(arguments: argparse.Namespace) -> Which:
    """Raises WrongSelectorError."""
    from agent.look.which import Which

    return Which.of(arguments.namespace, arguments.selector, arguments.sort_by)
