"""What ``history`` shows: the kills in the ledger, newest first."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from agent.ledger import LedgerReader
from agent.look.view import UNKNOWN, Column, Listing, plain, size, styled
from agent.model import AgentError, OomKill, Outcome, Scope
from agent.wording.kill_record import kill_record
from agent.wording.text import count, safe
from agent.wording.times import rfc3339
from agent.wording.view import Cell, Shown


class TooManyError(Exception):
    """More kills match than may be shown."""


def history(
    state_dir: Path,
    *,
    namespace: str | None,
    pod: str | None,
    since_s: float | None,
    limit: int,
    most: int | None = None,
) -> Shown:
    """At most ``limit`` kills. None matches any; ``pod`` is a name or namespace/name; ``since_s`` counts back from now.

    Raises NoLedgerError, AgentError if ``pod`` and ``namespace`` contradict each other, and TooManyError if ``most`` is given and
    more kills would be shown.
    """
    if pod is not None and "/" in pod:
        own, _, name = pod.partition("/")
        if namespace not in (None, own):
            where = f"is not in namespace {safe(namespace or '')}"
            raise AgentError(f"pod {safe(pod, 320)} {where}: give only one namespace")
        namespace, pod = own, name
    since_unix_s = 0.0 if since_s is None else time.time() - since_s
    read = limit if most is None else min(limit, most)
    with closing(LedgerReader(state_dir)) as reader:
        kills = reader.kills(since_unix_s=since_unix_s, namespace=namespace, pod=pod, limit=read + 1)
    if len(kills) > read < limit:
        raise TooManyError
    troubles = []
    if len(kills) > limit:
        troubles.append(f"these are the newest {limit} kills of more: raise --limit to see them")
    if reader.bad_rows:
        them = f"{count(reader.bad_rows, 'kill')} that cannot be read in the ledger in {state_dir}"
        troubles.append(f"left out {them} (written by a newer oomward?)")
    return KILLS.shown(kills[:limit], troubles)


def _pod(kill: OomKill) -> Cell:
    if kill.pod is not None:
        return plain(f"{kill.namespace or UNKNOWN}/{kill.pod}")
    return plain(kill.cgroup_path or None)


def _process(kill: OomKill) -> Cell:
    if not kill.victims:
        return styled(f"{kill.processes} unnamed")
    first = kill.victims[0]
    more = max(kill.processes, len(kill.victims)) - 1
    return styled(f"{first.pid} {safe(first.comm)}{f' and {more} more' if more else ''}")


def _outcome(kill: OomKill) -> Cell:
    if kill.outcome is None:
        return styled(UNKNOWN if kill.container is not None else "-")
    return styled(kill.outcome.value, style="green" if kill.outcome is Outcome.SURVIVED else "red")


def _scope(kill: OomKill) -> Cell:
    if kill.scope is Scope.CONTAINER and kill.pod is None and kill.container_id is None:
        return styled("cgroup")  # e.g. of a service of the node
    return styled(kill.scope.value if kill.scope else UNKNOWN)


KILL_COLUMNS: tuple[Column[OomKill], ...] = (
    Column("TIME", lambda kill: styled(rfc3339(kill.at_unix_s))),
    Column("POD", _pod),
    Column("CONTAINER", lambda kill: plain("-" if kill.container is None else kill.container)),
    Column("PROCESS", _process),
    Column("RESIDENT", lambda k: size(k.victims[0].resident_bytes if k.victims else None), spare=2, right=True),
    Column("SCOPE", _scope, spare=1),
    Column("LIMIT", lambda kill: size(kill.limit_bytes), spare=3, right=True),
    Column("MODE", lambda kill: styled(kill.mode.value if kill.mode else "-"), spare=4),
    Column("OUTCOME", _outcome),
)
KILLS: Listing[OomKill] = Listing("kills", KILL_COLUMNS, lambda kill: asdict(kill_record(kill)), "No OOM kills.")
