"""``oomward report``: this node's kills, limits and advice as one HTML page. Asks the running agent, or else reads the node itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TextIO

from agent import __version__
from agent.commands import EXIT_OK
from agent.commands.asking import NoAgentError, ask
from agent.commands.output.streams import say
from agent.look import advice, containers, kills
from agent.look.which import Which
from agent.model import AgentError
from agent.report.page import page
from agent.report.read import NodeAnswer, report_of
from agent.report.writing import write
from agent.serve.protocol import FailedError
from agent.settings import Settings
from agent.wording.view import Shown

MOST_KILLS = 1000  # as many as an agent sends


def report(settings: Settings, where: str, file: TextIO, *, namespace: str | None, since_unix_s: float | None) -> int:
    """Write the page. ``where``: a path, or "-" for ``file``. Raises AgentError if kills can't be read or the page can't be written."""
    answer = answer_of_node(settings, namespace=namespace, since_unix_s=since_unix_s)
    found = report_of(
        [answer],
        now_unix_s=time.time(),
        version=__version__,
        since_unix_s=since_unix_s,
        namespace=namespace,
        node=settings.node_name,
    )
    write(page(found), where, file)
    say(answer.notes)
    return EXIT_OK


def answer_of_node(settings: Settings, *, namespace: str | None, since_unix_s: float | None) -> NodeAnswer:
    """Raises AgentError: a page without kills would say that there are none."""
    since: dict[str, Any] = {"since_unix_s": since_unix_s}
    notes: list[str] = []

    def own_history() -> Shown:
        return kills.history(settings.state_dir, which=Which.of(namespace), limit=MOST_KILLS, **since)

    def own_ps() -> Shown:
        return _surveyed(settings, containers.containers)

    def own_advice() -> Shown:
        return _surveyed(settings, lambda found: advice.advise(found, since_unix_s))

    def or_note(command: str, arguments: dict[str, Any], own: Callable[[], Shown]) -> dict[str, Any] | None:
        try:
            return _asked(settings, command, arguments, own, notes)
        except AgentError as error:
            notes.append(str(error))
            return None

    of_history = {"namespace": namespace, "limit": MOST_KILLS, **since}
    history = _asked(settings, "history", of_history, own_history, notes)
    ps = or_note("ps", {}, own_ps)
    advised = or_note("advise", since, own_advice)
    return NodeAnswer(settings.node_name, history, ps, advised, tuple(dict.fromkeys(notes)))


def _asked(
    settings: Settings, command: str, arguments: dict[str, Any], own: Callable[[], Shown], notes: list[str]
) -> dict[str, Any] | None:
    """The command's document, by the agent if it answers. Raises AgentError."""
    try:
        shown = ask(str(settings.state_dir), command, {"node": settings.node_name, **arguments}, document=True)
    except NoAgentError as error:
        if command == "history":  # the first
            say([f"{error}: this command reads the node itself"])
        shown = own()
    except FailedError as error:
        raise AgentError(str(error)) from None
    notes += shown.troubles
    return shown.document


def _surveyed(settings: Settings, look: Callable[[Any], Shown]) -> Shown:
    from agent.commands.survey import survey  # noqa: PLC0415 (the API's client, which an agent's answer does not need)

    with survey(settings) as found:
        return look(found)
