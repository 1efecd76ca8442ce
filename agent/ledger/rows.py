"""Records to rows and back: nested fields travel as JSON, indexed ones as columns."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from agent.model import Mode, Notice, ObjectRef, OomKill, Outcome, Reason, Scope, TaskRow, Victim

KILL_COLUMNS = "kill_id, at_unix_s, namespace, pod, pod_uid, container, mode, scope, processes, outcome, body"


def kill_row(kill: OomKill) -> tuple[object, ...]:
    """The row of a kill, in the order of KILL_COLUMNS."""
    body = asdict(kill) | {"sources": sorted(kill.sources)}
    return (
        kill.kill_id,
        kill.at_unix_s,
        kill.namespace,
        kill.pod,
        kill.pod_uid,
        kill.container,
        kill.mode,
        kill.scope,
        kill.processes,
        kill.outcome,
        json.dumps(body, ensure_ascii=True),
    )


def kill_of(body: str, outcome: str | None) -> OomKill:
    """The kill of a row; ``outcome`` is the column's, which may be newer than the body's."""
    fields: dict[str, Any] = json.loads(body)
    fields["victims"] = tuple(Victim(**victim) for victim in fields["victims"])
    fields["largest"] = tuple(TaskRow(**task) for task in fields["largest"])
    fields["mode"] = Mode(fields["mode"]) if fields["mode"] else None
    fields["scope"] = Scope(fields["scope"]) if fields["scope"] else None
    fields["outcome"] = Outcome(outcome) if outcome else None
    fields["sources"] = frozenset(fields["sources"])
    return OomKill(**fields)


def notice_body(notice: Notice) -> str:
    """A notice as JSON."""
    return json.dumps(asdict(notice), ensure_ascii=True)


def notice_of(body: str) -> Notice:
    """The notice of a row."""
    fields: dict[str, Any] = json.loads(body)
    fields["about"] = ObjectRef(**fields["about"])
    fields["reason"] = Reason(fields["reason"])
    return Notice(**fields)
