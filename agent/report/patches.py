"""A patch for each workload, from the advice of several nodes. Pure.

Each command is built here from the limits in the nodes' patches: people paste it into a shell, so no text of a node gets into it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from agent.look.patches import Patch, Raise, patch_for, raises_in, reason_text
from agent.look.workloads import Workload
from agent.report.values import Document, number, rows, text
from agent.wording.text import safe

LONGEST_NAME, LONGEST_TEXT = 253, 1200


@dataclass(frozen=True, slots=True)
class _Wanted:
    """By one node for one container. ``how`` None: by no patch; ``advice``: what to do then."""

    next_bytes: int
    reason: str
    how: Raise | None
    advice: str | None


def of_nodes(documents: Iterable[Document | None]) -> dict[Workload, Patch]:
    """From each node's ``advise``. Of each container the highest next limit that a node advises: pods of the others may need as much."""
    found: dict[Workload, dict[str | None, _Wanted]] = {}
    for document in documents:
        patches = {workload_in(row): row for row in rows(document, "patches")}
        for row in rows(document, "workloads"):
            workload, container = workload_in(row), text(row, "container")
            next_bytes, patch = number(row, "next_limit_bytes"), patches.get(workload)
            if workload is None or not next_bytes or patch is None:
                continue
            its = found.setdefault(workload, {})
            if container not in its or its[container].next_bytes < next_bytes:
                its[container] = _wanted(row, patch, workload.kind, container, next_bytes)
    return {
        workload: _patch(workload, list(found[workload].values()))
        for workload in sorted(found, key=lambda one: one.order)
    }


def workload_in(row: Document) -> Workload | None:
    """Of a row of ``workloads`` or ``patches``; None: a name is missing."""
    names = [text(row, key) for key in ("namespace", "workload_kind", "workload")]
    namespace, kind, name = (None if one is None else safe(one, LONGEST_NAME) for one in names)
    return None if namespace is None or kind is None or name is None else Workload(namespace, kind, name)


def _wanted(row: Document, patch: Document, kind: str, container: str | None, next_bytes: int) -> _Wanted:
    how = next((one for one in raises_in(kind, patch.get("patch")) if one.container == container), None)
    named = None if container is None else safe(container, LONGEST_NAME)
    quantity, why = (safe(text(row, key) or "", LONGEST_TEXT) for key in ("next_limit_quantity", "why"))
    advice = text(patch, "advice")
    return _Wanted(
        next_bytes,
        reason_text(named, quantity, why),
        how,
        None if advice is None else safe(advice, LONGEST_TEXT),
    )


def _patch(workload: Workload, its: list[_Wanted]) -> Patch:
    """Without any that a command raises: what the nodes say."""
    limits = [one.how for one in its if one.how is not None]
    found = patch_for(workload, limits, [one.reason for one in its])
    said = next((one.advice for one in its if one.advice is not None), None)
    return found if limits or said is None else replace(found, advice=said)
