"""From the advice of each node to that for the cluster: a row for each workload's container. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from agent.look.patches import Patch
from agent.look.workloads import Workload
from agent.report.model import Raise
from agent.wording.text import count


@dataclass(frozen=True, slots=True)
class Advised:
    """One row of one node's ``advise``; fields as look/advice.py has them."""

    namespace: str
    kind: str
    workload: str
    container: str | None
    pods: int
    limit_bytes: int | None
    peak_bytes: int | None
    kills: int
    next_limit: str | None
    next_limit_bytes: int | None
    reason: str
    filled_by: str | None

    @property
    def owner(self) -> Workload:
        return Workload(self.namespace, self.kind, self.workload)


def merged(rows: Iterable[Advised], patches: Mapping[Workload, Patch]) -> Iterator[Raise]:
    """Those with a next limit, the most kills first."""
    owners: dict[Workload, dict[str | None, list[Advised]]] = {}
    for row in rows:
        owners.setdefault(row.owner, {}).setdefault(row.container, []).append(row)
    found = [one for owner, containers in owners.items() for one in _of_owner(containers, patches.get(owner))]
    yield from sorted(found, key=lambda one: (-one.kills, one.namespace, one.workload, one.container or ""))


def _of_owner(containers: dict[str | None, list[Advised]], patch: Patch | None) -> Iterator[Raise]:
    """By the highest next limit that a node advises, as the patch has it, which is for all of the workload's containers.

    Where pods are known, a container that none of them has gets none: it was renamed or removed.
    """
    known = any(row.pods for rows in containers.values() for row in rows)
    there = {
        name: rows for name, rows in containers.items() if name is None or not known or any(row.pods for row in rows)
    }
    highest = {name: max(rows, key=lambda row: row.next_limit_bytes or 0) for name, rows in there.items()}
    advised = {name: row for name, row in highest.items() if row.next_limit and row.next_limit_bytes}
    for name, row in advised.items():
        rows = containers[name]
        yield Raise(
            namespace=row.namespace,
            kind=row.kind,
            workload=row.workload,
            container=name,
            limit_bytes=row.limit_bytes,
            peak_bytes=max((one.peak_bytes for one in rows if one.peak_bytes is not None), default=None),
            next_limit=row.next_limit or "",
            next_limit_bytes=row.next_limit_bytes or 0,
            kills=sum(one.kills for one in rows),
            reason=row.reason + _elsewhere(rows, row),
            filled_by=row.filled_by,
            command=None if patch is None else patch.kubectl_command,
            to_do=None if patch is None else patch.advice,
        )


def _elsewhere(rows: list[Advised], shown: Advised) -> str:
    """The reason is one node's."""
    kills = sum(one.kills for one in rows) - shown.kills
    return f"; {count(kills, 'OOM kill')} more on other nodes" if kills else ""
