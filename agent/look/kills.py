"""What ``history`` shows: the kills in the ledger, newest first."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from agent.ledger import LedgerReader
from agent.look.view import UNKNOWN, Column, Listing, plain, size, styled
from agent.look.which import ANY, Which
from agent.model import AgentError, OomKill, Outcome, Scope
from agent.wording.filled import filled_by
from agent.wording.kill_record import kill_record
from agent.wording.processes import seen_text
from agent.wording.text import count, safe
from agent.wording.times import rfc3339
from agent.wording.view import Cell, Shown

OF_PODS_HERE = "kills of pods that are not on this node any more are left out: their labels are not known"


class TooManyError(Exception):
    """More kills match than may be shown."""


def history(
    state_dir: Path,
    *,
    which: Which = ANY,
    pod: str | None = None,
    since_unix_s: float | None = None,
    limit: int = 100,
    most: int | None = None,
    uids: frozenset[str] | None = None,
) -> Shown:
    """At most ``limit`` kills. None matches any; ``pod`` is a name or namespace/name; ``uids``: the pods that ``which`` selects by label.

    Raises NoLedgerError, AgentError if ``pod`` and ``namespace`` contradict each other, and TooManyError if ``most`` is given and
    more kills would be shown.
    """
    namespace = which.namespace
    where = "" if pod is None else f" in pod {safe(pod, 320)}"
    where += which.where + ("" if since_unix_s is None else f" since {rfc3339(since_unix_s)}")
    if pod is not None and "/" in pod:
        own, _, name = pod.partition("/")
        if namespace not in (None, own):
            other = f"is not in namespace {safe(namespace or '')}"
            raise AgentError(f"pod {safe(pod, 320)} {other}: give only one namespace")
        namespace, pod = own, name
    read = limit if most is None else min(limit, most)
    with closing(LedgerReader(state_dir)) as reader:
        kills = reader.kills(
            since_unix_s=since_unix_s or 0.0, namespace=namespace, pod=pod, limit=read + 1, pod_uids=uids
        )
    if len(kills) > read < limit:
        raise TooManyError
    troubles = [] if uids is None else [OF_PODS_HERE]
    if len(kills) > limit:
        shown = "kill is" if limit == 1 else f"{limit} kills are"
        troubles.append(f"only the newest {shown} shown: raise --limit to see more")
    if reader.bad_rows:
        them = f"{count(reader.bad_rows, 'kill')} that cannot be read in the ledger in {state_dir}"
        troubles.append(f"left out {them} (written by a newer oomward?)")
    return KILLS.shown(KILLS.ordered(kills[:limit], which.sort_by), troubles, where)


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


def _resident(kill: OomKill) -> int | None:
    return kill.victims[0].resident_bytes if kill.victims else None


def _outcome(kill: OomKill) -> Cell:
    if kill.outcome is None:
        return styled(UNKNOWN if kill.container is not None else "-")
    return styled(kill.outcome.value, style="green" if kill.outcome is Outcome.SURVIVED else "red")


def _scope(kill: OomKill) -> Cell:
    if kill.scope is Scope.CONTAINER and kill.pod is None and kill.container_id is None:
        return styled("cgroup")  # e.g. of a service of the node
    return styled(kill.scope.value if kill.scope else UNKNOWN)


KILL_COLUMNS: tuple[Column[OomKill], ...] = (
    Column("TIME", lambda kill: styled(rfc3339(kill.at_unix_s)), sort=lambda kill: -kill.at_unix_s),
    Column("POD", _pod, sort=lambda kill: (kill.namespace or "", kill.pod or kill.cgroup_path)),
    Column(
        "CONTAINER", lambda k: plain("-" if k.container is None else k.container), spare=1, sort=lambda k: k.container
    ),
    Column("PROCESS", _process),
    Column("RESIDENT", lambda kill: size(_resident(kill)), spare=3, right=True, sort=_resident),
    Column("SCOPE", _scope, spare=2),
    Column("LIMIT", lambda kill: size(kill.limit_bytes), spare=4, right=True, sort=lambda kill: kill.limit_bytes),
    Column("FILLED BY", lambda kill: styled(filled_by(kill) or UNKNOWN), spare=6),
    Column("MODE", lambda kill: styled(kill.mode.value if kill.mode else "-"), spare=5),
    Column("OUTCOME", _outcome, sort=lambda kill: kill.outcome),
    Column("COMMAND", lambda kill: styled(seen_text(kill) or "-"), spare=7, prose=True),
    Column("CGROUP", lambda kill: styled(safe(kill.cgroup_path or UNKNOWN, 2000)), wide=True),
    Column("KILL ID", lambda kill: plain(kill.kill_id), wide=True),
)
KILLS: Listing[OomKill] = Listing("kills", KILL_COLUMNS, lambda kill: asdict(kill_record(kill)), "No OOM kills.")
