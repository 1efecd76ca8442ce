"""What each command shows: whom it asks, which rows are meant, and the table they become."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

from agent.fleet import FleetError, answers, cluster, events, merging, pending, tables
from agent.fleet.answers import Answer, Row
from agent.fleet.api import FORBIDDEN, Api, ApiError
from agent.fleet.arguments import Ask
from agent.fleet.asking import Reader
from agent.fleet.asking import ask as ask_agents
from agent.fleet.cluster import Nodes
from agent.report.patches import of_nodes
from agent.wording.text import count, safe, some
from agent.wording.view import Shown

MOST_NAMED = 10
IN_ROWS = ("ps", "top", "diagnose")  # about pods that exist: only the nodes of the pods that are meant are asked
NOTHING = {
    "ps": "No containers of pods",
    "top": "No containers of pods",
    "history": "No OOM kills",
    "diagnose": "No problems found in the statuses of pods",
    "advise": "No workloads",
    "events": "No Events of oomward",
}


@dataclass(frozen=True, slots=True)
class Look:
    """``rows``: as JSON has them; ``failed``: why a node has not answered, by its name. ``bad``: a check has failed."""

    shown: Shown
    rows: list[Row]
    failed: dict[str, str] = field(default_factory=dict)
    bad: bool = False


class Fleet:
    """One command, which may look again and again. ``namespace`` None: all."""

    def __init__(self, api: Api, ask: Ask, namespace: str | None) -> None:
        self._api = api
        self._ask = ask
        self._namespace = namespace

    def look(self) -> Look:
        """Raises FleetError if nothing can be shown."""
        match self._ask.command:
            case "events":
                return self._events()
            case "check":
                return self._check()
        names, nodes = self._meant()
        found = self._answers(nodes, self._words(), self._reader(self._ask.command))
        rows = [row for answer in found for row in answer.rows(self._ask.command)]
        troubles: list[str] = []
        if self._ask.command == "diagnose" and not self._ask.nodes:
            rows += self._without_node(troubles)
        return self._shown(self._in_order(merging.chosen(rows, self._namespace, names)), found, nodes, troubles)

    def of_pod(self) -> Answer | Look:
        """``explain`` and ``diagnose`` of one pod, by the agent of its node; a pod without one is diagnosed here. Raises FleetError."""
        pod = cluster.pod(self._api, self._namespace or "default", self._ask.pod or "")
        named = f"{pod.namespace}/{pod.name}"
        if not pod.node and self._ask.command == "diagnose":
            troubles: list[str] = []
            return self._shown(pending.rows([pod.document], troubles), [], Nodes((), {}), troubles)
        if not pod.node:
            todo = f"`kubectl describe pod -n {pod.namespace} {pod.name}` shows why it is not scheduled"
            raise FleetError(f"pod {safe(named, 320)} has no node yet, so there is no agent to ask: {safe(todo, 400)}")
        nodes = cluster.nodes(self._api, self._ask.agent_namespace).only([pod.node])
        if not nodes.agents:
            why = nodes.without[pod.node]
            raise FleetError(f"pod {safe(named, 320)} is on node {safe(pod.node, 253)}, which can't be asked: {why}")
        words, of_json = [self._ask.command, named], self._ask.output not in ("table", "wide")
        reader = self._reader(self._ask.command) if of_json else answers.read_text
        answer = self._answers(nodes, [*words, "--output", "json" if of_json else "table"], reader)[0]
        if answer.failure is not None:
            raise FleetError(f"node {safe(pod.node, 253)}: {answer.failure}")
        return answer

    # ------------------------------------------------------------------------------------------------------------ asking

    def _meant(self) -> tuple[frozenset[tuple[str, str]] | None, Nodes]:
        """The pods that are meant (None: any of the namespace), and the nodes to ask."""
        ask, names = self._ask, None
        nodes = cluster.nodes(self._api, ask.agent_namespace)
        by_pods = ask.labels is not None or (self._namespace is not None and ask.command in IN_ROWS)
        if by_pods and (pods := self._pods()) is not None:
            if ask.labels is not None:
                names = frozenset((pod.namespace, pod.name) for pod in pods)
            nodes = nodes.only({pod.node for pod in pods if pod.node})
        return names, nodes.only(ask.nodes) if ask.nodes else nodes

    def _pods(self) -> list[cluster.PodPlace] | None:
        """None: they may not be listed, and without labels need not be."""
        try:
            return cluster.pods(self._api, self._namespace, self._ask.labels)
        except ApiError as error:
            if error.code != FORBIDDEN or self._ask.labels is not None:
                raise
            return None

    def _without_node(self, troubles: list[str]) -> list[Row]:
        """What keeps pods from having one."""
        try:
            found = cluster.pods(self._api, self._namespace, self._ask.labels, without_node=True)
        except ApiError as error:
            if error.code != FORBIDDEN:
                raise
            troubles.append(f"pods without a node are not known: {error}")
            return []
        return pending.rows((pod.document for pod in found), troubles)

    def _words(self) -> list[str]:
        """The agents' own command."""
        ask = self._ask
        words = ["ps" if ask.command == "top" else ask.command, "--output", "json", *ask.since_words()]
        if ask.command == "history":
            words += ["--limit", str(ask.limit)]
            words += [] if self._namespace is None else ["--namespace", self._namespace]
        return words

    def _reader(self, command: str) -> Reader:
        return lambda node, finished: answers.read(node, command, finished)

    def _answers(self, nodes: Nodes, words: Sequence[str], read: Reader) -> list[Answer]:
        return ask_agents(self._api.socket_path, nodes.agents, words, read, self._ask.timeout_s)

    # ----------------------------------------------------------------------------------------------------------- showing

    def _in_order(self, rows: list[Row]) -> list[Row]:
        ask = self._ask
        match ask.command:
            case "top":
                rows = [
                    {**row, "used_ratio": None if (share := merging.used(row)) is None else round(share, 4)}
                    for row in rows
                ]
                rows = merging.by_use(rows)
            case "history":
                rows = merging.by_time(rows, newest_first=True)[: ask.limit]
            case "advise":
                rows = merging.advice(rows)
            case _:
                rows = merging.by_name(rows)
        return rows

    def _shown(self, rows: list[Row], found: list[Answer], nodes: Nodes, troubles: Sequence[str] = ()) -> Look:
        where = "" if self._namespace is None else f" in namespace {safe(self._namespace, 63)}"
        columns = tables.COLUMNS[self._ask.command]
        more: Row = {}
        if self._ask.command == "advise":
            patches = of_nodes(one.document for one in found).values()
            more["patches"] = [asdict(one) for one in patches if self._namespace in (None, one.namespace)]
        nothing = f"{NOTHING[self._ask.command]}{where}."
        return self._look(rows, columns, nothing, found, nodes, troubles=troubles, more=more)

    def _look(
        self,
        rows: list[Row],
        columns: tables.Columns,
        nothing: str,
        found: list[Answer],
        nodes: Nodes,
        *,
        bad: bool = False,
        troubles: Sequence[str] = (),
        more: Mapping[str, Any] = MappingProxyType({}),
    ) -> Look:
        failed = dict(nodes.without) | {one.node: one.failure for one in found if one.failure is not None}
        said = [f"node {safe(one.node, 253)}: {line}" for one in found for line in one.troubles]
        said += [*troubles, *nodes.troubles, *without_answer(failed, len(nodes.agents) + len(nodes.without))]
        listing = tables.listing(answers.ROWS.get(self._ask.command, "events"), columns, nothing)
        rows = listing.ordered(rows, self._ask.sort_by)
        unanswered = [asdict(answers.Unanswered(node, why)) for node, why in failed.items()]
        document = {**listing.document(rows), **more, "unanswered": unanswered}
        return Look(Shown(document, listing.view(rows), said), rows, failed, bad)

    def _check(self) -> Look:
        """A line per node; of nodes that are named, all their checks."""
        ask = self._ask
        nodes = cluster.nodes(self._api, ask.agent_namespace)
        nodes = nodes.only(ask.nodes) if ask.nodes else nodes
        found = self._answers(nodes, ["check", "--output", "json"], self._reader("check"))
        good = sorted((one for one in found if one.failure is None), key=lambda one: one.node)
        details = [row for one in good for row in one.rows("check")]
        summary = [merging.checked(one.node, one.rows("check")) for one in good]
        as_summary = ask.output in ("table", "wide", "name") and not ask.nodes
        rows, columns = (summary, tables.CHECK) if as_summary else (details, tables.CHECKS)
        bad = any(row["status"] == "fail" for row in summary)
        return self._look(rows, columns, "No node was checked.", found, nodes, bad=bad)

    def _events(self) -> Look:
        found = events.rows(cluster.events(self._api, self._namespace), self._ask.since_unix_s)
        rows = merging.by_time(found, newest_first=False)
        return self._shown(rows, [], Nodes((), {}))


def without_answer(failed: dict[str, str], of: int) -> list[str]:
    """``2 of 50 nodes did not answer: node-7 (timed out after 10 s), node-9 (no agent)``; nothing if all did."""
    if not failed:
        return []
    named = some([f"{safe(node, 253)} ({why})" for node, why in sorted(failed.items())], MOST_NAMED)
    return [f"{len(failed)} of {count(of, 'node')} did not answer: {named}"]
