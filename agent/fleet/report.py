"""``kubectl oomward report``: the page of report/ from the answers of all nodes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TextIO

from agent import __version__
from agent.fleet import FleetError, answers, cluster
from agent.fleet.answers import Answer
from agent.fleet.api import Api
from agent.fleet.arguments import Ask
from agent.fleet.asking import ask as ask_agents
from agent.model import AgentError
from agent.report.model import Report
from agent.report.page import page
from agent.report.read import NodeAnswer, report_of
from agent.report.writing import write

MOST_KILLS = 1000  # per node: as many as an agent sends
COMMANDS = ("history", "ps", "advise")


def report(api: Api, ask: Ask, namespace: str | None, file: TextIO) -> Report:
    """Write the page; ``file`` is standard output. ``namespace`` None: all. Returns what is on it.

    Raises FleetError if the agents can't be found or the page can't be written.
    """
    found = _report(api, ask, namespace)
    try:
        write(page(found), ask.html, file)
    except AgentError as error:
        raise FleetError(str(error)) from None
    return found


def _report(api: Api, ask: Ask, namespace: str | None) -> Report:
    nodes = cluster.nodes(api, ask.agent_namespace)
    nodes = nodes.only(ask.nodes) if ask.nodes else nodes
    found = {command: _answers(api, ask, nodes.agents, command, namespace) for command in COMMANDS}
    return report_of(
        [*_of_nodes(found), *(NodeAnswer(node, error=why) for node, why in nodes.without.items())],
        now_unix_s=time.time(),
        version=__version__,
        since_unix_s=ask.since_unix_s,
        namespace=namespace,
        notes=nodes.troubles,
    )


def _answers(api: Api, ask: Ask, agents: Sequence[cluster.Agent], command: str, namespace: str | None) -> list[Answer]:
    """One per agent, in their order."""
    words = [command, "--output", "json"]
    if command == "history":
        words += ["--limit", str(MOST_KILLS), *([] if namespace is None else ["--namespace", namespace])]
    if command != "ps":
        words += ask.since_words()
    return ask_agents(
        api.socket_path, agents, words, lambda node, finished: answers.read(node, command, finished), ask.timeout_s
    )


def _of_nodes(found: dict[str, list[Answer]]) -> Iterator[NodeAnswer]:
    """A node without kills has not answered; without the others it has, and a note says so."""
    for history, ps, advise in zip(*(found[command] for command in COMMANDS), strict=True):
        said = (note for one in (history, ps, advise) for note in (one.failure, *one.troubles) if note is not None)
        yield NodeAnswer(
            node=history.node,
            history=history.document,
            ps=ps.document if ps.failure is None else None,
            advise=advise.document if advise.failure is None else None,
            notes=tuple(dict.fromkeys(said)),
            error=history.failure,
        )
