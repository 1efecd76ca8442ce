"""From the JSON documents of ``history``, ``ps`` and ``advise`` of all nodes to a Report. The one place that knows their fields.

Tolerant: an agent may be older or newer than this program. A field that is missing or of another kind is not known; a kill without a time
is left out, and a note says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from agent.look.workloads import Workload, workload_by_name
from agent.model import MemoryUse, Outcome, Scope
from agent.report.model import Kill, NearLimit, Place, Report, Silent
from agent.report.patches import of_nodes, workload_in
from agent.report.raises import Advised, merged
from agent.report.values import Document, choice, dicts, number, rows, text, time_unix_s
from agent.wording.text import count

NEAR_SHARE = 0.9  # of the limit
HINT = ": raise --limit"  # of ``history``; a page has no such option


@dataclass(frozen=True, slots=True)
class NodeAnswer:
    """The three documents of one node. ``error``: why it did not answer; then there are none. One that is None could not be read.

    ``notes``: what the commands reported beside the documents. Without ``history`` it counts as a node that did not answer.
    """

    node: str
    history: Document | None = None
    ps: Document | None = None
    advise: Document | None = None
    notes: tuple[str, ...] = ()
    error: str | None = None


def report_of(
    answers: Sequence[NodeAnswer],
    *,
    now_unix_s: float,
    version: str,
    since_unix_s: float | None = None,
    namespace: str | None = None,
    node: str | None = None,
    notes: Sequence[str] = (),
) -> Report:
    """``since_unix_s`` None: since the oldest kill that is known. ``namespace`` None: all. ``node``: of this node only.

    ``notes``: about the cluster.
    """
    answered = [one for one in answers if one.error is None]
    with_kills = [one for one in answered if _has_kills(one)]
    silent = [Silent(one.node, one.error) for one in answers if one.error is not None]
    silent += [Silent(one.node, _without_kills(one)) for one in answered if not _has_kills(one)]
    advised = [row for one in answered for row in _advised(one.advise) if namespace in (None, row.namespace)]
    read, bad = _kills(answered, _workloads(advised))
    kills = [
        one
        for one in read
        if namespace in (None, one.place.namespace) and (since_unix_s is None or one.at_unix_s >= since_unix_s)
    ]
    kills.sort(key=lambda kill: kill.at_unix_s, reverse=True)
    running = [(one.node, row) for one in answered for row in rows(one.ps, "containers")]
    running = [(of, row) for of, row in running if namespace in (None, row.get("namespace"))]
    return Report(
        from_unix_s=min([now_unix_s, *(kill.at_unix_s for kill in kills[-1:])])
        if since_unix_s is None
        else since_unix_s,
        to_unix_s=max([now_unix_s, *(kill.at_unix_s for kill in kills[:1])]),
        version=version,
        nodes=tuple(sorted(one.node for one in with_kills)),
        silent=tuple(sorted(silent, key=lambda one: one.node)),
        node=node,
        namespace=namespace,
        kills=tuple(kills),
        containers=len(running),
        near=tuple(sorted(_near(running), key=lambda one: (-one.share, -one.peak_share))),
        raises=tuple(merged(advised, of_nodes(one.advise for one in answered))),
        notes=(*notes, *_notes(answered, bad)),
    )


def _notes(answered: Iterable[NodeAnswer], bad: int) -> Iterator[str]:
    for one in answered:
        yield from (f"{one.node}: {note.partition(HINT)[0]}" for note in one.notes)
        for name, document in (("containers", one.ps), ("advice", one.advise)):
            if document is None:
                yield f"{one.node}: the {name} could not be read"
    if bad:
        yield f"left out {count(bad, 'kill')} without a time"


def _has_kills(answer: NodeAnswer) -> bool:
    return isinstance((answer.history or {}).get("kills"), list)


def _without_kills(answer: NodeAnswer) -> str:
    return "; ".join(("its OOM kills could not be read", *answer.notes))


# ------------------------------------------------------------------------------------------------------------------ kills


def _kills(answers: Iterable[NodeAnswer], known: Mapping[str, Sequence[Workload]]) -> tuple[list[Kill], int]:
    """All that can be read, and how many could not."""
    kills: list[Kill] = []
    workloads: dict[tuple[str, str], Workload] = {}
    bad = 0
    for answer in answers:
        for row in rows(answer.history, "kills"):
            at_unix_s = time_unix_s(row)
            if at_unix_s is None:
                bad += 1
            else:
                kills.append(_kill(row, at_unix_s, answer.node, _place(row, known, workloads)))
    return kills, bad


def _place(row: Document, known: Mapping[str, Sequence[Workload]], workloads: dict[tuple[str, str], Workload]) -> Place:
    namespace, pod, container = text(row, "namespace"), text(row, "pod"), text(row, "container")
    if namespace is None or pod is None:
        return Place(namespace, None, None, pod, container, text(row, "cgroup_path"))
    found = workloads.get((namespace, pod))
    if found is None:
        found = workloads[namespace, pod] = workload_by_name(namespace, pod, known.get(namespace, ()))
    return Place(namespace, found.kind, found.name, pod, container)


def _kill(row: Document, at_unix_s: float, node: str, place: Place) -> Kill:
    victim = next(iter(dicts(row.get("victims"))), {})
    seen = [one for one in dicts(row.get("seen")) if victim and one.get("pid") == victim.get("pid")]
    return Kill(
        at_unix_s=at_unix_s,
        node=text(row, "node") or node,
        place=place,
        process=text(victim, "comm"),
        command=text(seen[0], "command") if seen else None,
        processes=number(row, "processes_killed") or 1,
        scope=choice(Scope, row.get("scope")),
        outcome=choice(Outcome, row.get("outcome")),
        limit_bytes=number(row, "limit_bytes"),
        usage_bytes=number(row, "usage_bytes"),
        use=_use(row.get("memory")),
        filled_by=text(row, "filled_by"),
    )


def _use(value: object) -> MemoryUse | None:
    if not isinstance(value, dict):
        return None
    anon, file, shmem, kernel, sock = (
        number(value, f"{kind}_bytes") for kind in ("anon", "file", "shmem", "kernel", "sock")
    )
    by_report = value.get("by_report") is not False
    return MemoryUse(anon=anon, file=file, shmem=shmem, kernel=kernel, sock=sock, by_report=by_report)


# ------------------------------------------------------------------------------------------------- containers and advice


def _near(running: Iterable[tuple[str, Document]]) -> Iterator[NearLimit]:
    """``running``: rows of containers with their node."""
    for node, row in running:
        limit, usage, peak = (number(row, name) for name in ("limit_bytes", "usage_bytes", "peak_bytes"))
        if not limit or usage is None:
            continue
        namespace, pod, container = (text(row, name) for name in ("namespace", "pod", "container"))
        found = NearLimit(node, namespace, pod, container, limit, usage, peak)
        if found.peak_share >= NEAR_SHARE:
            yield found


def _workloads(advised: Iterable[Advised]) -> dict[str, list[Workload]]:
    """By namespace, each once. One that is known by its deleted pods' names only is no better than a guess."""
    found: dict[str, dict[Workload, None]] = {}
    for row in advised:
        if row.pods:
            found.setdefault(row.namespace, {})[Workload(row.namespace, row.kind, row.workload)] = None
    return {namespace: list(workloads) for namespace, workloads in found.items()}


def _advised(document: Document | None) -> Iterator[Advised]:
    for row in rows(document, "workloads"):
        workload = workload_in(row)
        if workload is None:
            continue
        yield Advised(
            namespace=workload.namespace,
            kind=workload.kind,
            workload=workload.name,
            container=text(row, "container"),
            pods=number(row, "pod_count") or 0,
            limit_bytes=number(row, "spec_limit_bytes"),
            peak_bytes=number(row, "peak_bytes"),
            kills=number(row, "kill_count") or 0,
            next_limit=text(row, "next_limit_quantity"),
            next_limit_bytes=number(row, "next_limit_bytes"),
            reason=text(row, "why") or "",
            filled_by=text(row, "filled_by"),
        )
