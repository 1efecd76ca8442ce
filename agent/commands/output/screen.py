"""Output of ``history`` (kills) and ``once`` (writes of memory.oom.group).

Takes records and prints them to a file. Text from the kernel or a pod goes through ``safe()``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TextIO

from rich.text import Text

from agent.commands.output.cells import NAME_LIMIT, UNKNOWN, plain, size
from agent.commands.output.table import Column, Output, print_json, print_table
from agent.model import OomKill, Outcome, Scope, WriteOutcome
from agent.wording.kills import kill_fields, safe
from agent.wording.times import rfc3339


@dataclass(frozen=True, slots=True)
class WriteRow:
    """A write of one memory.oom.group, done or dry. ``namespace``, ``pod`` and ``container`` None: unknown.

    ``before`` None: not readable, or the kernel has no such file. ``why``: the reason for the mode, or the error.
    """

    path: str
    before: int | None
    desired: int
    outcome: WriteOutcome
    why: str
    namespace: str | None = None
    pod: str | None = None
    container: str | None = None


def show_kills(kills: Iterable[OomKill], output: Output, file: TextIO) -> None:
    """Print kills in the given order."""
    rows = tuple(kills)
    if output is Output.JSON:
        print_json("kills", [kill_json(kill) for kill in rows], file)
    else:
        print_table(rows, KILL_COLUMNS, "No OOM kills.", file)


def show_writes(writes: Iterable[WriteRow], output: Output, file: TextIO) -> None:
    """Print writes in the given order."""
    rows = tuple(writes)
    if output is Output.JSON:
        print_json("writes", [write_json(row) for row in rows], file)
    else:
        print_table(rows, WRITE_COLUMNS, "Nothing to do: no running container on this node requests a mode.", file)


def kill_json(kill: OomKill) -> dict[str, object]:
    """The fields of the log line, and the time in RFC 3339."""
    return {"time": rfc3339(kill.at_unix_s, "microseconds"), **kill_fields(kill)}


def write_json(row: WriteRow) -> dict[str, object]:
    """A write's row; ``before`` and ``wanted`` are values of memory.oom.group, 0 or 1."""
    return {
        "namespace": row.namespace,
        "pod": row.pod,
        "container": row.container,
        "cgroup": row.path,
        "before": row.before,
        "wanted": row.desired,
        "outcome": row.outcome.value,
        "why": row.why,
    }


def _outcome_of_write(row: WriteRow) -> Text:
    good = row.outcome in (WriteOutcome.WRITTEN, WriteOutcome.ALREADY, WriteOutcome.DRY_RUN, WriteOutcome.GONE)
    return Text(
        "would write" if row.outcome is WriteOutcome.DRY_RUN else row.outcome.value, style="" if good else "bold red"
    )


def _pod_of_kill(kill: OomKill) -> Text:
    if kill.pod is not None:
        return plain(f"{kill.namespace or UNKNOWN}/{kill.pod}")
    return plain(kill.cgroup_path or None)


def _process(kill: OomKill) -> Text:
    if not kill.victims:
        return Text(f"{kill.processes} unnamed")
    first = kill.victims[0]
    more = max(kill.processes, len(kill.victims)) - 1
    return Text(f"{first.pid} {safe(first.comm)}{f' and {more} more' if more else ''}")


def _killed_size(kill: OomKill) -> Text:
    return size(kill.victims[0].resident_bytes if kill.victims else None)


def _outcome(kill: OomKill) -> Text:
    match kill.outcome:
        case Outcome.SURVIVED:
            return Text(kill.outcome.value, style="green")
        case Outcome.DIED:
            return Text(kill.outcome.value, style="red")
    return Text(UNKNOWN if kill.container is not None else "-")


def _scope(kill: OomKill) -> Text:
    if kill.scope is Scope.CONTAINER and kill.pod is None and kill.container_id is None:
        return Text("cgroup")  # e.g. of a service of the node
    return Text(kill.scope.value if kill.scope else UNKNOWN)


KILL_COLUMNS: tuple[Column[OomKill], ...] = (
    Column("TIME", lambda kill: Text(rfc3339(kill.at_unix_s, "seconds"))),
    Column("POD", _pod_of_kill),
    Column("CONTAINER", lambda kill: plain(kill.container if kill.container is not None else "-")),
    Column("PROCESS", _process),
    Column("RESIDENT", _killed_size, spare=2, right=True),
    Column("SCOPE", _scope, spare=1),
    Column("LIMIT", lambda kill: size(kill.limit_bytes), spare=3, right=True),
    Column("MODE", lambda kill: Text(kill.mode.value if kill.mode else "-"), spare=4),
    Column("OUTCOME", _outcome),
)
WRITE_COLUMNS: tuple[Column[WriteRow], ...] = (
    Column("POD", lambda row: plain(f"{row.namespace}/{row.pod}" if row.pod is not None else row.path)),
    Column("CONTAINER", lambda row: plain(row.container if row.container is not None else "-")),
    Column("BEFORE", lambda row: Text("-" if row.before is None else str(row.before)), right=True),
    Column("DESIRED", lambda row: Text(str(row.desired)), right=True),
    Column("OUTCOME", _outcome_of_write),
    Column("WHY", lambda row: Text(safe(row.why, NAME_LIMIT)), spare=1),
    Column("CGROUP", lambda row: plain(row.path), spare=2),
)
