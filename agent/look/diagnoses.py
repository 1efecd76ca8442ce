"""What ``diagnose [POD | --all]`` shows: why containers of this node fail, what Kubernetes will do, and what to do.

From the pods' statuses of the API, the ledger's kills and the cgroups.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace

from agent.diagnose import diagnose as diagnoses_of
from agent.ledger import LedgerReader
from agent.look.finding import find
from agent.look.looking import Reads
from agent.look.survey import Survey
from agent.look.view import Column, Line, Listing, Sections, sections_view, styled
from agent.look.which import ANY, Which
from agent.model import AgentError, OomKill, Pod
from agent.model.diagnosis import Answer, Category, ContainerFacts, Diagnosis, NodeFacts, Will
from agent.wording.text import safe
from agent.wording.view import Cell, Shown

KILLS_BACK_S = 24 * 3600.0
MOST_KILLS = 1000  # of one pod
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


def diagnose(found: Survey, pod: str | None, which: Which = ANY) -> Shown:
    """The problems of one pod, named as for ``explain``, or of all pods of this node that are asked for (None).

    Raises AgentError if the API is not reachable, or if no pod on this node matches, or several do.
    """
    if not found.registry.listed:
        raise AgentError(
            "the API is not reachable, and a diagnosis needs the pods' statuses. Make the API reachable from here "
            "(--kubeconfig, `oomward check`); `oomward history` lists the OOM kills without it"
        )
    return _of_all(found, which) if pod is None else _of_one(found, pod, which)


def _of_all(found: Survey, which: Which) -> Shown:
    """By namespace and name, or as asked for."""
    pods = sorted(filter(which.pod, found.registry.pods.values()), key=lambda pod: (pod.namespace, pod.name))
    rows = _diagnosed(found, pods)
    of = f"node {safe(found.settings.node_name, 253)}{which.where}"
    nothing = f"No problems found in the statuses of the pods of {of}." if pods else f"No pods on {of}."
    rows = DIAGNOSES.ordered(rows, which.sort_by)
    return all_shown(rows, nothing, found.troubles)


def _of_one(found: Survey, asked: str, which: Which) -> Shown:
    node_pod = find(found, asked, which.namespace)
    named = safe(node_pod.shown, 320)
    if node_pod.pod is None:
        raise AgentError(f"the API does not know pod {named} (any more), so it has no status to diagnose")
    rows = diagnose_pod(found, node_pod.pod)
    return pod_shown(rows, f"No problems found in the status of pod {named}.", found.troubles)


def diagnose_pod(found: Survey, pod: Pod | None) -> list[Diagnosis]:
    """Of one pod; none if the API does not know it or is not reachable."""
    return [] if pod is None or not found.registry.listed else _diagnosed(found, [pod])


def _diagnosed(found: Survey, pods: Sequence[Pod]) -> list[Diagnosis]:
    """Pod by pod, so that no more than one pod's kills of the last day are in memory."""
    since = time.time() - KILLS_BACK_S

    def with_kills(reader: LedgerReader) -> list[Diagnosis]:
        rows: list[Diagnosis] = []
        for pod in pods:
            rows += _of_pod(found, pod, reader.kills_of_pod(pod.uid, since, MOST_KILLS))
        return rows

    rows = found.recorded(with_kills, None, "OOM kills are taken from the pods' statuses only")
    return [one for pod in pods for one in _of_pod(found, pod, ())] if rows is None else rows


def _of_pod(found: Survey, pod: Pod, kills: Sequence[OomKill]) -> tuple[Diagnosis, ...]:
    facts: dict[str, ContainerFacts] = {}
    for cgroup in found.containers():
        name = found.identity(cgroup).container if cgroup.place.pod_key == pod.cgroup_key else None
        if name is not None:
            reads = Reads(found, cgroup)
            limit = reads.take("limit_bytes", found.limit_bytes)
            sizes = ContainerFacts(limit, reads.take("peak_bytes", found.files.peak_bytes))
            facts |= {} if reads.removed else {name: sizes}
    return diagnoses_of(pod, kills, NodeFacts(time.time(), facts))


def all_shown(rows: Sequence[Diagnosis], nothing: str, troubles: list[str]) -> Shown:
    """A row per diagnosis; ``nothing`` is shown if there are none."""
    return replace(DIAGNOSES, nothing=nothing).shown(rows, troubles)


def pod_shown(rows: Sequence[Diagnosis], nothing: str, troubles: list[str]) -> Shown:
    """A section per diagnosis of one pod."""
    shown = all_shown(rows, nothing, troubles)
    view = sections_view(diagnosis_sections(rows)) if rows else shown.view
    return Shown(shown.document, view, troubles)


def diagnosis_sections(rows: Sequence[Diagnosis]) -> Sections:
    """Title and named lines of each section."""
    for row in rows:
        kind = f" ({row.kind.value})" if row.kind is not None else ""
        of = f"pod {row.namespace}/{row.pod}" if row.container is None else f"container {row.container}{kind}"
        yield f"Diagnosis of {of}", _lines(row)


def _lines(row: Diagnosis) -> Iterator[Line]:
    yield "Category", _category(row) + styled(f" ({row.rule})", "dim")
    yield "What", styled(row.what)
    if row.message:
        yield "Message", styled(row.message)
    helps = HELPS[row.retry_helps]
    yield "Outlook", styled(f"{TRANSIENT[row.transient]}; a retry with the same configuration {helps}")
    yield "Next", styled(row.next_step.text)
    yield "To do", styled(row.advice, style="bold")


def _category(row: Diagnosis) -> Cell:
    return styled(row.category.value, style="yellow" if row.category in LESS_SEVERE else "bold red")


def _answer(answer: Answer) -> Cell:
    return styled(answer.value, style=STYLES[answer])


def _next(row: Diagnosis) -> Cell:
    will = row.next_step.will
    return styled(WILL.get(will, will.value), style="red" if will is Will.NOTHING else "")


COLUMNS: tuple[Column[Diagnosis], ...] = (
    Column("POD", lambda row: styled(f"{row.namespace}/{row.pod}"), sort=lambda row: (row.namespace, row.pod)),
    Column("CONTAINER", lambda row: styled(row.container or "-"), sort=lambda row: row.container),
    Column("CATEGORY", _category, sort=lambda row: row.category),
    Column("TRANSIENT?", lambda row: _answer(row.transient), spare=3),
    Column("RETRY HELPS?", lambda row: _answer(row.retry_helps), spare=2),
    Column("KUBERNETES WILL", _next, spare=1),
    Column("WHAT", lambda row: styled(row.what), spare=4, prose=True),
    Column("TO DO", lambda row: styled(row.advice), prose=True),
    Column("RULE", lambda row: styled(row.rule), wide=True),
)
DIAGNOSES: Listing[Diagnosis] = Listing("diagnoses", COLUMNS, asdict, "No problems found.")
