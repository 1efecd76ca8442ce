"""``oomward diagnose [POD | --all]``: why containers of this node fail, what Kubernetes will do, and what to do.

From the pods' statuses of the API, the ledger's kills and the cgroups. Reads only; needs no running agent, but the API.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TextIO

from rich.text import Text

from agent.commands import EXIT_OK
from agent.commands.finding import find
from agent.commands.looking import Reads, say
from agent.commands.output.table import Column, Line, Listing, Output, print_sections
from agent.commands.survey import Survey, survey
from agent.diagnose import diagnose as diagnoses_of
from agent.model import AgentError, OomKill, Pod
from agent.model.diagnosis import Answer, Category, ContainerFacts, Diagnosis, NodeFacts, Will
from agent.settings import Settings
from agent.wording.text import safe

KILLS_BACK_S = 24 * 3600.0
MOST_KILLS = 10_000
STYLES = {Answer.YES: "green", Answer.PERHAPS: "", Answer.NO: "red"}
HELPS = {Answer.YES: "can help", Answer.PERHAPS: "may help", Answer.NO: "does not help"}
TRANSIENT = {Answer.YES: "transient", Answer.PERHAPS: "perhaps transient", Answer.NO: "not transient"}
WILL = {Will.RUNS: "let it run", Will.NOTHING: "do nothing"}  # the other values are verbs
LESS_SEVERE = (
    Category.NOT_READY,
    Category.NOT_STARTING,
    Category.RESTARTED,
    Category.RESIZE,
    Category.PREEMPTED,
    Category.NODE_SHUTDOWN,
)


def diagnose(settings: Settings, pod: str | None, output: Output, file: TextIO) -> int:
    """Print the problems of one pod, named as for ``explain``, or of all pods of this node (None).

    Raises AgentError if the API is not reachable, or if no pod on this node matches, or several do.
    """
    with survey(settings) as found:
        try:
            if not found.registry.listed:
                raise AgentError(
                    "the API is not reachable, and a diagnosis needs the pods' statuses. Make the API reachable from here "
                    "(--kubeconfig, `oomward check`); `oomward history` lists the OOM kills without it"
                )
            if pod is None:
                _show_all(found, output, file)
            else:
                _show_one(found, pod, output, file)
        finally:
            say(found.troubles)
    return EXIT_OK


def _show_all(found: Survey, output: Output, file: TextIO) -> None:
    """By namespace and name."""
    kills: dict[str | None, list[OomKill]] = {}
    for kill in _kills(found):
        kills.setdefault(kill.pod_uid, []).append(kill)
    pods = sorted(found.registry.pods.values(), key=lambda pod: (pod.namespace, pod.name))
    rows = [one for pod in pods for one in _diagnosed(found, pod, kills.get(pod.uid, ()))]
    nothing = f"No problems found in the statuses of the pods of node {safe(found.settings.node_name, 253)}."
    show_diagnoses(rows, nothing, output, file)


def _show_one(found: Survey, asked: str, output: Output, file: TextIO) -> None:
    node_pod = find(found, asked)
    shown = safe(node_pod.shown, 320)
    if node_pod.pod is None:
        raise AgentError(f"the API does not know pod {shown} (any more), so it has no status to diagnose")
    rows = diagnose_pod(found, node_pod.pod)
    show_pod_diagnoses(rows, f"No problems found in the status of pod {shown}.", output, file)


def diagnose_pod(found: Survey, pod: Pod | None) -> tuple[Diagnosis, ...]:
    """Of one pod; none if the API does not know it or is not reachable."""
    if pod is None or not found.registry.listed:
        return ()
    return _diagnosed(found, pod, _kills(found, pod))


def _kills(found: Survey, pod: Pod | None = None) -> Sequence[OomKill]:
    """Of the last day, of one pod or of all."""
    since = time.time() - KILLS_BACK_S
    namespace, name = (pod.namespace, pod.name) if pod is not None else (None, None)
    return found.recorded(
        lambda reader: reader.kills(since_unix_s=since, namespace=namespace, pod=name, limit=MOST_KILLS),
        [],
        "OOM kills are taken from the pods' statuses only",
    )


def _diagnosed(found: Survey, pod: Pod, kills: Sequence[OomKill]) -> tuple[Diagnosis, ...]:
    facts: dict[str, ContainerFacts] = {}
    for cgroup in found.containers():
        name = found.identity(cgroup).container if cgroup.place.pod_key == pod.cgroup_key else None
        if name is not None:
            reads = Reads(found, cgroup)
            limit = reads.take("limit_bytes", found.limit_bytes)
            sizes = ContainerFacts(limit, reads.take("peak_bytes", found.files.peak_bytes))
            facts |= {} if reads.removed else {name: sizes}
    return diagnoses_of(pod, kills, NodeFacts(time.time(), facts))


def show_diagnoses(rows: Sequence[Diagnosis], nothing: str, output: Output, file: TextIO) -> None:
    """A row per diagnosis; ``nothing`` is printed if there are none."""
    Listing("diagnoses", COLUMNS, asdict, nothing).show(rows, output, file)


def show_pod_diagnoses(rows: Sequence[Diagnosis], nothing: str, output: Output, file: TextIO) -> None:
    """A section per diagnosis of one pod."""
    if output is Output.JSON or not rows:
        show_diagnoses(rows, nothing, output, file)
    else:
        print_sections(diagnosis_sections(rows), file)


def diagnosis_sections(rows: Sequence[Diagnosis]) -> Iterator[tuple[str, Iterator[Line]]]:
    """Title and named lines of each section."""
    for row in rows:
        kind = f" ({row.kind.value})" if row.kind is not None else ""
        of = f"pod {row.namespace}/{row.pod}" if row.container is None else f"container {row.container}{kind}"
        yield f"Diagnosis of {of}", _lines(row)


def _lines(row: Diagnosis) -> Iterator[Line]:
    yield "Category", _category(row).append(f" ({row.rule})", style="dim")
    yield "What", Text(row.what)
    if row.message:
        yield "Message", Text(row.message)
    helps = HELPS[row.retry_helps]
    yield "Outlook", Text(f"{TRANSIENT[row.transient]}; a retry with the same configuration {helps}")
    yield "Next", Text(row.next_step.text)
    yield "To do", Text(row.advice, style="bold")


def _category(row: Diagnosis) -> Text:
    return Text(row.category.value, style="yellow" if row.category in LESS_SEVERE else "bold red")


def _answer(answer: Answer) -> Text:
    return Text(answer.value, style=STYLES[answer])


def _next(row: Diagnosis) -> Text:
    will = row.next_step.will
    return Text(WILL.get(will, will.value), style="red" if will is Will.NOTHING else "")


COLUMNS: tuple[Column[Diagnosis], ...] = (
    Column("POD", lambda row: Text(f"{row.namespace}/{row.pod}")),
    Column("CONTAINER", lambda row: Text("-" if row.container is None else row.container)),
    Column("CATEGORY", _category),
    Column("TRANSIENT?", lambda row: _answer(row.transient)),
    Column("RETRY HELPS?", lambda row: _answer(row.retry_helps)),
    Column("KUBERNETES WILL", _next),
    Column("WHAT", lambda row: Text(row.what), spare=1),
    Column("TO DO", lambda row: Text(row.advice)),
)
