"""One command of ``kubectl oomward``: from its words to its exit code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from agent.commands import EXIT_FAILED, EXIT_OK
from agent.commands.output.streams import say, standard_output
from agent.fleet import FleetError
from agent.fleet.arguments import HELP, VERSION, Ask, parse, parser

if TYPE_CHECKING:
    from agent.fleet.api import Api
    from agent.fleet.looking import Fleet, Look

COMPLETE = "__complete"  # what kubectl_complete-oomward asks

# What reaches a cluster is imported when it is needed: help is quick.
# ruff: noqa: PLC0415


def run(words: Sequence[str], prog: str = "kubectl oomward") -> int:
    """Raises OSError when the output can't be written, SystemExit as argparse does and for SIGTERM."""
    if list(words[:1]) == [COMPLETE] or list(words) == ["completion"]:
        from agent.fleet.completion import SCRIPT, completed

        standard_output().write(completed(words[1:]) if words[0] == COMPLETE else SCRIPT)
        return EXIT_OK
    if words[:1] and words[0] in (VERSION, HELP):
        from agent.commands.talk import talk

        top = parser(prog)
        return talk(top, top.parse_args(words), standard_output())
    ask = parse(words, prog)
    from agent.fleet.proxy import ended_by_signals

    try:
        with ended_by_signals():
            return _in_cluster(ask)
    except FleetError as error:
        say([str(error)])
        return EXIT_FAILED


def _in_cluster(ask: Ask) -> int:
    from agent.fleet.api import Api
    from agent.fleet.looking import Fleet
    from agent.fleet.proxy import Namespace, proxy

    of_context = None if _says_namespace(ask) else Namespace(ask.flags)
    with proxy(ask.flags) as socket_path:
        namespace = ask.namespace if of_context is None else of_context.name()
        api = Api(socket_path, ask.timeout_s)
        if ask.command == "report":
            return _report(api, ask, namespace)
        fleet = Fleet(api, ask, namespace)
        if ask.pod is not None:
            return _of_pod(fleet, ask)
        if ask.watch_s is not None:
            return _watch(fleet, ask)
        return _print(fleet.look(), ask)


def _report(api: Api, ask: Ask, namespace: str | None) -> int:
    from agent.fleet.looking import without_answer
    from agent.fleet.report import report

    found = report(api, ask, namespace, standard_output())
    failed = {one.node: one.why for one in found.silent}
    say([*found.notes, *without_answer(failed, len(found.nodes) + len(failed))])
    return EXIT_FAILED if failed else EXIT_OK


def _says_namespace(ask: Ask) -> bool:
    """Or needs none."""
    return ask.namespace is not None or ask.all_namespaces or ask.command == "check"


def _print(look: Look, ask: Ask) -> int:
    from agent.commands.output.table import Output
    from agent.fleet.printing import print_look

    print_look(look, Output(ask.output), ask.command, standard_output())
    say(look.shown.troubles)
    return EXIT_FAILED if look.failed or look.bad else EXIT_OK


def _of_pod(fleet: Fleet, ask: Ask) -> int:
    from agent.commands.output.table import Output, show
    from agent.fleet.looking import Look
    from agent.wording.view import Shown

    answer, file = fleet.of_pod(), standard_output()
    if isinstance(answer, Look):
        return _print(answer, ask)
    if ask.output in ("table", "wide"):
        file.write(f"{answer.text}\n")
    else:
        document = {**answer.document, "node": answer.node}
        show(Shown(document, None, []), Output(ask.output), file)
    say(answer.troubles)
    return EXIT_OK


def _watch(fleet: Fleet, ask: Ask) -> int:
    """In place on a terminal. What can't be asked this time is said below."""
    from agent.commands.output.table import Output
    from agent.commands.watching import wait_beside, watch
    from agent.wording.view import Shown

    last = fleet.look().shown
    waiting = [last]

    def again() -> Shown:
        nonlocal last
        if waiting:
            return waiting.pop()
        try:
            last = fleet.look().shown
        except FleetError as error:
            return Shown(last.document, last.view, [f"{error}: this is the last answer"])
        return last

    output, file = Output(ask.output), standard_output()
    return watch(again, output, file, ask.watch_s or 0.0, wait_beside(file))
