"""Output of ``history`` (kills) and ``once`` (writes of memory.oom.group)."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from rich.text import Text

from agent.commands.output.table import NAME_LIMIT, UNKNOWN, Column, Listing, plain, size
from agent.model import OomKill, Outcome, Scope, WriteOutcome
from agent.wording.kills import kill_fields
from agent.wording.text import safe
from agent.wording.times import rfc3339

GOOD = (WriteOutcome.WRITTEN, WriteOutcome.ALREADY, WriteOutcome.DRY_RUN, WriteOutcome.GONE)


@dataclass(frozen=True, slots=True)
class WriteRow:
    """A write of one memory.oom.group, done or dry. ``namespace``, ``pod`` and ``container`` None: unknown.

    ``before`` None: not readable, or the kernel has no such file. ``why``: the reason for the mode, or the error. Field names
    are JSON keys.
    """

    namespace: str | None
    pod: str | None
    container: str | None
    cgroup: str
    before: int | None
    wanted: int
    outcome: WriteOutcome
    why: str


def _kill_json(kill: OomKill) -> dict[str, object]:
    """The fields of the log line, and the time."""
    return {"time": rfc3339(kill.at_unix_s, "microseconds"), **kill_fields(kill)}


def _write_outcome(row: WriteRow) -> Text:
    text = "would write" if row.outcome is WriteOutcome.DRY_RUN else row.outcome.value
    return Text(text, style="" if row.outcome in GOOD else "bold red")


def _pod(kill: OomKill) -> Text:
    if kill.pod is not None:
        return plain(f"{kill.namespace or UNKNOWN}/{kill.pod}")
    return plain(kill.cgroup_path or None)


def _process(kill: OomKill) -> Text:
    if not kill.victims:
        return Text(f"{kill.processes} unnamed")
    first = kill.victims[0]
    more = max(kill.processes, len(kill.victims)) - 1
    return Text(f"{first.pid} {safe(first.comm)}{f' and {more} more' if more else ''}")


def _outcome(kill: OomKill) -> Text:
    if kill.outcome is None:
        return Text(UNKNOWN if kill.container is not None else "-")
    return Text(kill.outcome.value, style="green" if kill.outcome is Outcome.SURVIVED else "red")


def _scope(kill: OomKill) -> Text:
    if kill.scope is Scope.CONTAINER and kill.pod is None and kill.container_id is None:
        return Text("cgroup")  # e.g. of a service of the node
    return Text(kill.scope.value if kill.scope else UNKNOWN)


KILL_COLUMNS: tuple[Column[OomKill], ...] = (
    Column("TIME", lambda kill: Text(rfc3339(kill.at_unix_s))),
    Column("POD", _pod),
    Column("CONTAINER", lambda kill: plain("-" if kill.container is None else kill.container)),
    Column("PROCESS", _process),
    Column("RESIDENT", lambda k: size(k.victims[0].resident_bytes if k.victims else None), spare=2, right=True),
    Column("SCOPE", _scope, spare=1),
    Column("LIMIT", lambda kill: size(kill.limit_bytes), spare=3, right=True),
    Column("MODE", lambda kill: Text(kill.mode.value if kill.mode else "-"), spare=4),
    Column("OUTCOME", _outcome),
)
WRITE_COLUMNS: tuple[Column[WriteRow], ...] = (
    Column("POD", lambda row: plain(row.cgroup if row.pod is None else f"{row.namespace}/{row.pod}")),
    Column("CONTAINER", lambda row: plain("-" if row.container is None else row.container)),
    Column("BEFORE", lambda row: Text("-" if row.before is None else str(row.before)), right=True),
    Column("DESIRED", lambda row: Text(str(row.wanted)), right=True),
    Column("OUTCOME", _write_outcome),
    Column("WHY", lambda row: Text(safe(row.why, NAME_LIMIT)), spare=1),
    Column("CGROUP", lambda row: plain(row.cgroup), spare=2),
)
KILLS = Listing("kills", KILL_COLUMNS, _kill_json, "No OOM kills.")
WRITES = Listing("writes", WRITE_COLUMNS, asdict, "Nothing to do: no running container on this node requests a mode.")
