"""Records to rows and back: nested fields travel as JSON, those that are asked for as columns.

Pure. Text from the kernel may hold lone surrogates (bytes that were no UTF-8), which SQLite's text can't: such text goes
in as bytes and comes back whole. A row that can't be read is a BadRowError, for the reader to skip and count.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, fields, replace
from typing import Any

from agent.model import (
    Baseline,
    KeptDecision,
    Mode,
    Notice,
    ObjectRef,
    OnExceeded,
    OomKill,
    Original,
    Outcome,
    Reason,
    Scope,
    TaskRow,
    Tolerance,
    Victim,
)

DECISION_COLUMNS = "pod_uid, cgroup_key, namespace, pod, container, container_id, mode, rule, tolerance"
KILL_COLUMNS = "kill_id, at_unix_s, namespace, pod, pod_uid, container, mode, scope, processes, outcome, body"
OLD_NOTICE_FIELDS = {"told": "sent_count", "rounds": "requests", "series": "group"}  # as 0.1.0 wrote them
Row = tuple[Any, ...]


class BadRowError(ValueError):
    """A row that no record of ours can be made of."""


def to_sql(text: str | None) -> str | bytes | None:
    """Text as SQLite can hold it; None stays NULL."""
    if text is None or text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


def from_sql(value: str | bytes | None) -> str:
    """The text that to_sql was given; NULL becomes the empty text."""
    return value.decode("utf-8", "surrogatepass") if isinstance(value, bytes) else value or ""


def kill_row(kill: OomKill) -> Row:
    """The row of a kill, in the order of KILL_COLUMNS."""
    body = asdict(kill) | {"sources": sorted(kill.sources), "kill_id": kill.kill_id}  # older versions read that
    return (
        kill.kill_id,
        kill.at_unix_s,
        to_sql(kill.namespace),
        to_sql(kill.pod),
        to_sql(kill.pod_uid),
        to_sql(kill.container),
        kill.mode,
        kill.scope,
        kill.processes,
        kill.outcome,
        json.dumps(body),
    )


def kill_of(body: str, outcome: str | None) -> OomKill:
    """The kill of a row; ``outcome`` is the column's, which may be newer than the body's. Raises BadRowError.

    Fields that this version doesn't know, written by a newer one, are left out.
    """
    try:
        written = json.loads(body)
        found = _known(OomKill, _with_cgroup(written))
        found["victims"] = tuple(Victim(**_known(Victim, victim)) for victim in found["victims"])
        found["largest"] = tuple(TaskRow(**_known(TaskRow, task)) for task in found["largest"])
        found["mode"] = Mode(found["mode"]) if found["mode"] else None
        found["scope"] = Scope(found["scope"]) if found["scope"] else None
        found["sources"] = frozenset(found["sources"])
        found["outcome"] = Outcome(outcome) if outcome else None
        return OomKill(**found)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadRowError(f"a kill's row can't be read: {error!r}") from error


def _with_cgroup(written: dict[str, Any]) -> dict[str, Any]:
    """Older versions wrote boot, cgroup and ordinal as one text only. Raises KeyError, ValueError."""
    if "boot_id" in written:
        return written
    boot_id, inode, ordinal = written["kill_id"].rsplit("-", 2)
    return written | {"boot_id": boot_id, "cgroup_inode": int(inode), "ordinal": int(ordinal)}


def notice_row(notice: Notice) -> Row:
    """Name, time, body of a notice, and when its group was last added to; NULL where it has none."""
    last_unix_s = notice.last_unix_s if notice.group else None
    return to_sql(notice.name), notice.at_unix_s, json.dumps(asdict(notice)), last_unix_s


def notice_of(body: str) -> Notice:
    """The notice of a row, also of one that an older version wrote. Raises BadRowError."""
    try:
        found = _known(Notice, {OLD_NOTICE_FIELDS.get(name, name): value for name, value in json.loads(body).items()})
        found["about"] = ObjectRef(**_known(ObjectRef, found["about"]))
        found["reason"] = Reason(found["reason"])
        return Notice(**found)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadRowError(f"a notice's row can't be read: {error!r}") from error


def _known(kind: type, found: dict[str, Any]) -> dict[str, Any]:
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in found.items() if name in names}


def baseline_row(b: Baseline) -> Row:
    """A baseline's row, in the table's order."""
    return b.inode, to_sql(b.path), b.oom_kill, b.oom_group_kill, b.oom, b.local_oom, b.ordinal


def baselines_of(rows: Iterable[Row]) -> dict[int, Baseline]:
    """Baselines by inode."""
    return {row[0]: replace(Baseline(*row), path=from_sql(row[1])) for row in rows}


def original_row(o: Original) -> Row:
    """An original's row, in the table's order."""
    return o.inode, to_sql(o.path), o.value, to_sql(o.pod_uid), o.at_unix_s


def originals_of(rows: Iterable[Row]) -> dict[int, Original]:
    """Originals by inode."""
    return {row[0]: Original(row[0], from_sql(row[1]), row[2], from_sql(row[3]), row[4]) for row in rows}


def decision_row(d: KeptDecision) -> Row:
    """A kept decision's row, in the table's order."""
    tolerance = None if d.tolerance is None else json.dumps(asdict(d.tolerance))
    texts = (d.pod_uid, d.cgroup_key, d.namespace, d.pod, d.container, d.container_id, d.mode.value, d.rule, tolerance)
    return tuple(to_sql(text) for text in texts)


def _tolerance_of(text: str) -> Tolerance | None:
    """None also where a newer version wrote what this one can't understand: nothing is done about it then."""
    try:
        found = _known(Tolerance, json.loads(text))
        return Tolerance(**found | {"on_exceeded": OnExceeded(found["on_exceeded"])})
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def decisions_of(rows: Iterable[Row]) -> dict[str, tuple[KeptDecision, ...]]:
    """Kept decisions by pod uid; a mode of a newer version is left out: nothing is held that can't be understood."""
    found: dict[str, list[KeptDecision]] = {}
    for row in rows:
        uid, key, namespace, pod, container, cid, mode, rule, tolerance = row
        if mode in tuple(Mode):
            decision = KeptDecision(
                from_sql(uid),
                from_sql(key),
                from_sql(namespace),
                from_sql(pod),
                from_sql(container),
                None if cid is None else from_sql(cid),
                Mode(mode),
                from_sql(rule),
                None if tolerance is None else _tolerance_of(from_sql(tolerance)),
            )
            found.setdefault(decision.pod_uid, []).append(decision)
    return {uid: tuple(decisions) for uid, decisions in found.items()}
