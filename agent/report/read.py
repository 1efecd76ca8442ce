"""From the JSON documents of ``history``, ``ps`` and ``advise`` of all nodes to a Report. The one place that knows their fields.

Tolerant: an agent may be older or newer than this program. A field that is missing or of another kind is not known; a kill without a time
is left out, and a note says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from agent.look.workloads import Workload, workload_by_name
from agent.model import MemoryUse, Outcome, Scope
from agent.report.model import Kill, NearLimit, Place, Report, Silent
from agent.report.raises import Advised, merged
from agent.wording.text import count
from agent.wording.times import YEAR_10000_UNIX_S, unix_s

Document = Mapping[str, Any]
E = TypeVar("E", bound=StrEnum)
NEAR_SHARE = 0.9  # of the limit
MOST_BYTES = 1 << 62
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
    since_s: float | None = None,
    namespace: str | None = None,
    node: str | None = None,
    notes: Sequence[str] = (),
) -> Report:
    """``since_s``: how far back from now; None: to the oldest kill that is known. ``namespace`` None: all. ``node``: of this node only.

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
        if namespace in (None, one.place.namespace) and (since_s is None or one.at_unix_s >= now_unix_s - since_s)
    ]
    kills.sort(key=lambda kill: kill.at_unix_s, reverse=True)
    rows = [(one.node, row) for one in answered for row in _rows(one.ps, "containers")]
    rows = [(of, row) for of, row in rows if namespace in (None, row.get("namespace"))]
    return Report(
        from_unix_s=_from(kills, now_unix_s, since_s),
        to_unix_s=max([now_unix_s, *(kill.at_unix_s for kill in kills[:1])]),
        version=version,
        nodes=tuple(sorted(one.node for one in with_kills)),
        silent=tuple(sorted(silent, key=lambda one: one.node)),
        node=node,
        namespace=namespace,
        kills=tuple(kills),
        containers=len(rows),
        near=tuple(sorted(_near(rows), key=lambda one: (-one.share, -one.peak_share))),
        raises=tuple(merged(advised)),
        notes=(*notes, *_notes(answered, bad)),
    )


def _from(kills: Sequence[Kill], now_unix_s: float, since_s: float | None) -> float:
    if since_s is not None:
        return max(0.0, now_unix_s - since_s)
    return min([now_unix_s, *(kill.at_unix_s for kill in kills[-1:])])


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
        for row in _rows(answer.history, "kills"):
            at_unix_s = _time(row)
            if at_unix_s is None:
                bad += 1
            else:
                kills.append(_kill(row, at_unix_s, answer.node, _place(row, known, workloads)))
    return kills, bad


def _place(row: Document, known: Mapping[str, Sequence[Workload]], workloads: dict[tuple[str, str], Workload]) -> Place:
    namespace, pod, container = _text(row, "namespace"), _text(row, "pod"), _text(row, "container")
    if namespace is None or pod is None:
        return Place(namespace, None, None, pod, container, _text(row, "cgroup_path"))
    found = workloads.get((namespace, pod))
    if found is None:
        found = workloads[namespace, pod] = workload_by_name(namespace, pod, known.get(namespace, ()))
    return Place(namespace, found.kind, found.name, pod, container)


def _kill(row: Document, at_unix_s: float, node: str, place: Place) -> Kill:
    victim = next(iter(_dicts(row.get("victims"))), {})
    seen = next(iter(_dicts(row.get("seen"))), {})  # the victims come first
    return Kill(
        at_unix_s=at_unix_s,
        node=_text(row, "node") or node,
        place=place,
        process=_text(victim, "comm"),
        command=_text(seen, "command") if seen.get("pid") == victim.get("pid") else None,
        processes=_number(row, "processes_killed", "processes") or 1,
        scope=_choice(Scope, row.get("scope")),
        outcome=_choice(Outcome, row.get("outcome")),
        limit_bytes=_number(row, "limit_bytes"),
        usage_bytes=_number(row, "usage_bytes"),
        use=_use(row.get("memory", row.get("use"))),
        filled_by=_text(row, "filled_by"),
    )


def _use(value: object) -> MemoryUse | None:
    """None as well if no kind is named."""
    if not isinstance(value, dict):
        return None
    anon, file, shmem, kernel, sock = (
        _number(value, f"{kind}_bytes", kind) for kind in ("anon", "file", "shmem", "kernel", "sock")
    )
    found = MemoryUse(anon=anon, file=file, shmem=shmem, kernel=kernel, sock=sock)
    return found if found != MemoryUse() else None


def _time(row: Document) -> float | None:
    value = row.get("at_unix_s")
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < YEAR_10000_UNIX_S:
        return float(value)
    text = _text(row, "time")
    return unix_s(text) if text is not None else None


# ------------------------------------------------------------------------------------------------- containers and advice


def _near(rows: Iterable[tuple[str, Document]]) -> Iterator[NearLimit]:
    for node, row in rows:
        limit, usage, peak = (_number(row, name) for name in ("limit_bytes", "usage_bytes", "peak_bytes"))
        if not limit or usage is None:
            continue
        namespace, pod, container = (_text(row, name) for name in ("namespace", "pod", "container"))
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
    patches = {_owner(row): row for row in _rows(document, "patches")}
    for row in _rows(document, "workloads") or _rows(document, "advice"):
        namespace, kind, workload = _owner(row)
        if namespace is None or kind is None or workload is None:
            continue
        patch = patches.get((namespace, kind, workload), {})
        yield Advised(
            namespace=namespace,
            kind=kind,
            workload=workload,
            container=_text(row, "container"),
            pods=_number(row, "pod_count", "pods") or 0,
            limit_bytes=_number(row, "spec_limit_bytes", "limit_bytes"),
            peak_bytes=_number(row, "peak_bytes"),
            kills=_number(row, "kill_count", "kills") or 0,
            next_limit=_text(row, "next_limit_quantity", "next_limit"),
            next_limit_bytes=_number(row, "next_limit_bytes"),
            reason=_text(row, "why", "reason") or "",
            filled_by=_text(row, "filled_by"),
            command=_text(patch, "command"),
            to_do=_text(patch, "advice", "to_do"),
        )


def _owner(row: Document) -> tuple[str | None, str | None, str | None]:
    return _text(row, "namespace"), _text(row, "workload_kind", "kind"), _text(row, "workload", "name")


# ----------------------------------------------------------------------------------------------------------------- values


def _rows(document: Document | None, name: str) -> list[Document]:
    return _dicts((document or {}).get(name))


def _dicts(value: object) -> list[Document]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def _text(row: Document, *names: str) -> str | None:
    """Of the first name that is there: an older agent has another. None also for an empty text."""
    value = _value(row, names)
    return value if isinstance(value, str) and value else None


def _number(row: Document, *names: str) -> int | None:
    value = _value(row, names)
    return value if type(value) is int and 0 <= value < MOST_BYTES else None


def _value(row: Document, names: Sequence[str]) -> object:
    return next((row[name] for name in names if name in row), None)


def _choice(of: type[E], value: object) -> E | None:
    if not isinstance(value, str):
        return None
    try:
        return of(value)
    except ValueError:  # none, or one of a newer agent
        return None
