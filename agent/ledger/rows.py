"""Records to rows and back: fields that are queried are columns, the rest of a kill or an Event is JSON.

Text from the kernel may contain lone surrogates (bytes that were no UTF-8), which SQLite's text can't: such text is stored as bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from functools import partial
from typing import Any, TypeVar

from agent.ledger.fitting import fits
from agent.model import (
    Baseline,
    ContainerUse,
    Exceeded,
    KeptDecision,
    MemoryUse,
    Mode,
    Notice,
    ObjectRef,
    OnExceeded,
    OomKill,
    Original,
    Outcome,
    Reason,
    Scope,
    SeenProcess,
    Source,
    TaskRow,
    Tolerance,
    Victim,
    plain,
)

KILL_COLUMNS = "kill_id, at_unix_s, namespace, pod, pod_uid, container, mode, scope, processes, outcome, body"
TEXT = partial(
    str, encoding="utf-8", errors="surrogateescape"
)  # a connection's text_factory: one bad byte costs no other row
UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError)
Row = tuple[Any, ...]
Record = TypeVar("Record")


class BadRowError(ValueError):
    """No record can be made of this row."""


def to_sql(text: str | None) -> str | bytes | None:
    """Text as SQLite can store it; None stays NULL."""
    if text is None or text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


def from_sql(row: Row) -> list[Any]:
    """A row's values, with texts as to_sql was given them."""
    return [value.decode("utf-8", "surrogatepass") if isinstance(value, bytes) else value for value in row]


def row_of(record: Baseline | Original | KeptDecision | Exceeded) -> Row:
    """The values of the record's fields, which are the columns of its table."""
    values = [getattr(record, field.name) for field in fields(record)]
    return _row(json.dumps(plain(value)) if isinstance(value, Tolerance) else value for value in values)


def _row(values: Iterable[Any]) -> Row:
    return tuple(to_sql(value) if isinstance(value, str) else value for value in values)


def kill_row(kill: OomKill) -> Row:
    """The row of a kill, in the order of KILL_COLUMNS."""
    body = json.dumps(plain(kill) | {"sources": sorted(kill.sources)})
    where = (kill.namespace, kill.pod, kill.pod_uid, kill.container)
    return _row((kill.kill_id, kill.at_unix_s, *where, kill.mode, kill.scope, kill.processes, kill.outcome, body))


def kill_of(body: str, outcome: str | None) -> OomKill:
    """The kill of a row; ``outcome`` is the column's, which may be newer than the body's. Raises BadRowError."""
    try:
        found = _known(OomKill, json.loads(body))
        found["victims"] = tuple(Victim(**_known(Victim, victim)) for victim in found["victims"])
        found["largest"] = tuple(TaskRow(**_known(TaskRow, task)) for task in found["largest"])
        found["mode"] = Mode(found["mode"]) if found["mode"] else None
        found["use"] = MemoryUse(**_known(MemoryUse, found["use"])) if found.get("use") else None
        found["containers"] = tuple(ContainerUse(**_known(ContainerUse, one)) for one in found.get("containers", ()))
        found["seen"] = tuple(_seen_of(process) for process in found.get("seen", ()))
        found["scope"] = (
            Scope(found["scope"]) if found["scope"] in tuple(Scope) else None
        )  # a newer version's: not known
        found["sources"] = frozenset(found["sources"])
        found["outcome"] = Outcome(outcome) if outcome else None
        return _fitting(OomKill(**found))
    except UNREADABLE as error:
        raise BadRowError(f"a kill's row can't be read: {error!r}") from error


def _seen_of(found: dict[str, Any]) -> SeenProcess:
    known = _known(SeenProcess, found)
    return SeenProcess(**known | {name: tuple(known.get(name, ())) for name in ("parents", "parent_commands")})


def notice_row(notice: Notice) -> Row:
    """Name, time and body of an Event, the outcome of its delivery (NULL: none yet), and the time of its group's last occurrence."""
    last_unix_s = notice.last_unix_s if notice.group else None
    return to_sql(notice.name), notice.at_unix_s, json.dumps(plain(notice)), None, last_unix_s


def notice_of(body: str) -> Notice:
    """The Event of a row. Raises BadRowError."""
    try:
        found = _known(Notice, json.loads(body))
        found["about"] = ObjectRef(**_known(ObjectRef, found["about"]))
        found["reason"] = Reason(found["reason"])
        return _fitting(Notice(**found))
    except UNREADABLE as error:
        raise BadRowError(f"an Event's row can't be read: {error!r}") from error


def _known(kind: type, found: dict[str, Any]) -> dict[str, Any]:
    """Without fields that only a newer version has."""
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in found.items() if name in names}


def _fitting(record: Record) -> Record:
    """Raises BadRowError."""
    if not fits(record):
        raise BadRowError("a field is of another type than it must be")
    return record


def readable(rows: Iterable[Row], record_of: Callable[[Row], Record | None], bad: set[int]) -> Iterator[Record]:
    """The records of the rows that can be read; of the others the hashes, into ``bad``. A row without a record (None) is neither."""
    for row in rows:
        try:
            record = record_of(row)
        except UNREADABLE:
            bad.add(hash(row))
            continue
        if record is not None:
            yield record


def baseline_of(row: Row) -> Baseline:
    """Raises one of UNREADABLE, as all that follow."""
    return _fitting(Baseline(*from_sql(row)))


def original_of(row: Row) -> Original:
    return _fitting(Original(*from_sql(row)))


def exceeded_of(row: Row) -> Exceeded | None:
    """None: only a newer version can understand it."""
    tolerance = _tolerance_of(row[1])
    return None if tolerance is None else _fitting(Exceeded(row[0], tolerance))


def decision_of(row: Row) -> KeptDecision | None:
    """None: of a newer version's mode. Nothing is enforced that can't be understood."""
    *names, mode, rule, tolerance, source, labels = from_sql(row)
    if mode not in tuple(Mode):
        return None
    known = Source(source) if source in tuple(Source) else Source.NONE
    if labels is not None and not _is_labels(json.loads(labels)):
        raise BadRowError("the labels are none")
    values = (*names, Mode(mode), rule, _tolerance_of(tolerance), known, labels)
    return _fitting(KeptDecision(*values))


def _is_labels(found: object) -> bool:
    return isinstance(found, dict) and all(isinstance(value, str) for value in found.values())


def total_of(row: Row) -> tuple[tuple[str, str, str, str, str], int]:
    """A series and its number of processes."""
    namespace, pod, container, mode, scope, processes = from_sql(row)
    names = (namespace, pod, container, mode, scope)
    if not all(isinstance(name, str) for name in names) or type(processes) is not int or processes < 0:
        raise BadRowError("a total has no names or no number")
    return names, processes


def killed_of(row: Row) -> tuple[tuple[str, str], int]:
    """Pod uid and container name, and a number of processes."""
    uid, container, killed = from_sql(row)
    return (str(uid), str(container or "")), int(killed)


def last_of(row: Row) -> tuple[tuple[str, str, str], float]:
    """Namespace, pod and container, and the Unix time of the last kill."""
    *names, at_unix_s = from_sql(row)
    if not all(isinstance(name, str) for name in names):
        raise BadRowError("a total has no names")
    return (names[0], names[1], names[2]), at_unix_s


def _tolerance_of(text: str | None) -> Tolerance | None:
    """None also if only a newer version can understand it: nothing is done about it then."""
    if text is None:
        return None
    try:
        found = _known(Tolerance, json.loads(text))
        return _fitting(Tolerance(**found | {"on_exceeded": OnExceeded(found["on_exceeded"])}))
    except UNREADABLE:
        return None
