"""From the advice of each node to that for the cluster: a row for each workload's container. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from agent.report.model import Raise
from agent.wording.text import count

DIFFERENT = "its nodes advise different limits for its containers: set the limits of this table in its manifest"


@dataclass(frozen=True, slots=True)
class Advised:
    """One row of one node's ``advise``, with its workload's patch; fields as look/advice.py has them."""

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
    command: str | None
    to_do: str | None

    @property
    def owner(self) -> tuple[str, str, str]:
        return self.namespace, self.workload, self.kind


def merged(rows: Iterable[Advised]) -> Iterator[Raise]:
    """Those with a next limit, the most kills first."""
    owners: dict[tuple[str, str, str], dict[str | None, list[Advised]]] = {}
    for row in rows:
        owners.setdefault(row.owner, {}).setdefault(row.container, []).append(row)
    found = [one for containers in owners.values() for one in _of_owner(containers)]
    yield from sorted(found, key=lambda one: (-one.kills, one.namespace, one.workload, one.container or ""))


def _of_owner(containers: dict[str | None, list[Advised]]) -> Iterator[Raise]:
    """By the highest next limit that a node advises: pods of the others may need as much."""
    highest = {name: max(rows, key=lambda row: row.next_limit_bytes or 0) for name, rows in containers.items()}
    advised = {name: row for name, row in highest.items() if row.next_limit and row.next_limit_bytes}
    commands = {row.command for row in advised.values()}
    command = commands.pop() if len(commands) == 1 else None  # a node's command is for all containers of the workload
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
            command=command,
            to_do=None if command else DIFFERENT if commands else row.to_do,
        )


def _elsewhere(rows: list[Advised], shown: Advised) -> str:
    """The reason is one node's."""
    kills = sum(one.kills for one in rows) - shown.kills
    return f"; {count(kills, 'OOM kill')} more on other nodes" if kills else ""
