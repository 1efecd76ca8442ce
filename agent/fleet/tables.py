"""The commands' tables: columns over the rows of the agents' JSON, shown and sorted as look/ has them on a node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from agent.fleet.answers import Row
from agent.fleet.merging import is_number, text_in, used
from agent.look.view import UNKNOWN, Column, Listing, plain, size, styled
from agent.model import SeenProcess
from agent.wording.processes import text_of
from agent.wording.text import count, duration_text, safe
from agent.wording.times import YEAR_10000_UNIX_S, rfc3339
from agent.wording.view import Cell

LONGEST = 1200
SHORT_ID = 12
STATUS_STYLES = {"fail": "bold red", "warn": "yellow", "pass": "green"}
ANSWER_STYLES = {"yes": "green", "no": "red"}
WILL = {"runs": "let it run", "nothing": "do nothing"}  # as look/diagnoses.py shows it


def _of(key: str, without: str = "-") -> Callable[[Row], Cell]:
    """A name."""

    def cell(row: Row) -> Cell:
        value = row.get(key)
        return styled(without) if value in (None, "") else plain(str(value))

    return cell


def _size(key: str, without: str = UNKNOWN) -> Callable[[Row], Cell]:
    def cell(row: Row) -> Cell:
        value = row.get(key)
        if is_number(value):
            return size(int(value))
        return styled(UNKNOWN if without == UNKNOWN or key in _unread(row) else without)

    return cell


def _sentence(key: str) -> Callable[[Row], Cell]:
    return lambda row: styled(safe(_str(row.get(key)), LONGEST))


def _str(value: object) -> str:
    return "" if value is None else str(value)


def _unread(row: Row) -> Sequence[Any]:
    unread = row.get("unread")
    return unread if isinstance(unread, list) else ()


def _pod(row: Row) -> Cell:
    pod = row.get("pod")
    if pod:
        return plain(f"{row.get('namespace') or UNKNOWN}/{pod}")
    return plain(_str(row.get("pod_uid") or row.get("cgroup_path") or UNKNOWN))


def _container(row: Row) -> Cell:
    return plain(_str(row.get("container") or _str(row.get("container_id"))[:SHORT_ID] or "-"))


def _desired(row: Row) -> Cell:
    return styled(UNKNOWN) if "mode_desired" in _unread(row) else _of("mode_desired")(row)


def _actual(row: Row) -> Cell:
    if "mode_actual" in _unread(row):
        return styled(UNKNOWN)
    desired, actual = row.get("mode_desired"), row.get("mode_actual")
    return styled(safe(_str(actual or "-")), "bold red" if desired and desired != actual else "")


def _kills(row: Row) -> Cell:
    kills, tolerated = row.get("processes_killed"), row.get("tolerance")
    text = str(kills) if is_number(kills) else UNKNOWN
    if not isinstance(tolerated, dict):
        return styled(text)
    if tolerated.get("exceeded"):
        return styled(f"{text} (armed)", "bold yellow")
    window = tolerated.get("window_s")
    within = f" in {duration_text(window)}" if is_number(window) else ""
    return styled(safe(f"{text} ({tolerated.get('killed_in_window')}/{tolerated.get('processes_allowed')}{within})"))


def _used(row: Row) -> Cell:
    share = used(row)
    if share is None:
        return styled("-")
    return styled(f"{share:.0%}".replace("%", " %"), "bold red" if share >= 0.9 else "yellow" if share >= 0.75 else "")


def _process(row: Row) -> Cell:
    victims = row.get("victims")
    killed = row.get("processes_killed")
    number = int(killed) if is_number(killed) else 1
    if not isinstance(victims, list) or not victims or not isinstance(victims[0], dict):
        return styled(f"{number} unnamed")
    more = max(number, len(victims)) - 1
    return styled(
        f"{safe(_str(victims[0].get('pid')))} {safe(_str(victims[0].get('comm')))}{f' and {more} more' if more > 0 else ''}"
    )


def _command(row: Row) -> Cell:
    """As look/kills.py has it."""
    seen, victims = _dicts(row, "seen"), _dicts(row, "victims")
    processes = [
        SeenProcess(
            pid=one["pid"],
            comm=_str(one.get("comm")),
            command=_str(one.get("command")),
            parents=_texts(one.get("parents")),
            parent_commands=_texts(one.get("parent_commands")),
        )
        for one in seen
        if isinstance(one.get("pid"), int)
    ]
    pid = victims[0].get("pid") if victims else None
    return styled(text_of(next((one for one in processes if one.pid == pid), None), processes) or "-")


def _dicts(row: Row, key: str) -> list[Row]:
    value = row.get(key)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _texts(value: object) -> tuple[str, ...]:
    return tuple(map(_str, value)) if isinstance(value, list) else ()


def _outcome(row: Row) -> Cell:
    outcome = row.get("outcome")
    style = "green" if outcome == "survived" else "red" if outcome else ""
    return styled(safe(_str(outcome or UNKNOWN)), style)


def _time(row: Row) -> Cell:
    at = row.get("at_unix_s")
    return styled(rfc3339(at) if is_number(at) and 0 <= at < YEAR_10000_UNIX_S else UNKNOWN)


def _resident(row: Row) -> int | float | None:
    victims = row.get("victims")
    first = victims[0] if isinstance(victims, list) and victims else None
    value = first.get("rss_bytes") if isinstance(first, dict) else None
    return value if is_number(value) else None


def _number(key: str) -> Callable[[Row], int | float | None]:
    """To sort by."""

    def value(row: Row) -> int | float | None:
        found = row.get(key)
        return found if is_number(found) else None

    return value


def _name(*keys: str) -> Callable[[Row], tuple[str, ...] | None]:
    """To sort by; None if the last is not known."""

    def value(row: Row) -> tuple[str, ...] | None:
        found = tuple(text_in(row, key) for key in keys)
        return found if found[-1] else None

    return value


def _answer(key: str) -> Callable[[Row], Cell]:
    return lambda row: styled(safe(_str(row.get(key))), ANSWER_STYLES.get(_str(row.get(key)), ""))


def _will(row: Row) -> Cell:
    step = row.get("next_step")
    will = _str(step.get("will")) if isinstance(step, dict) else UNKNOWN
    return styled(WILL.get(will, safe(will)), "red" if will == "nothing" else "")


def _nodes(row: Row) -> Cell:
    nodes = row.get("nodes")
    known = nodes if isinstance(nodes, list) else []
    return plain(_str(known[0])) if len(known) == 1 else styled(count(len(known), "node"))


def _status(row: Row) -> Cell:
    status = _str(row.get("status"))
    return styled(safe(status), STATUS_STYLES.get(status, ""))


def _first_found(row: Row) -> Cell:
    return styled("" if not row.get("name") else safe(f"{row['name']}: {row.get('found')}", LONGEST))


def _to_do(row: Row) -> Cell:
    found = styled(safe(_str(row.get("found")).rstrip("."), LONGEST) + ".")
    advice = row.get("advice")
    return found + ([*styled(" To do: ", "bold"), *styled(safe(str(advice), LONGEST))] if advice else [])


def _newest(row: Row) -> float | None:
    """To sort by: the newest first."""
    at = row.get("at_unix_s")
    return -at if is_number(at) else None


def _bytes_of(value: int | float | None) -> Cell:
    return size(None if value is None else int(value))


def _scope(row: Row) -> Cell:
    if row.get("scope") == "container" and not row.get("pod") and not row.get("container_id"):
        return styled("cgroup")  # e.g. of a service of the node
    return _of("scope", UNKNOWN)(row)


def _object(row: Row) -> Cell:
    return plain(f"{_str(row.get('object_kind')).lower()}/{row.get('namespace')}/{row.get('object_name')}")


Columns = tuple[Column[Row], ...]

_BY_POD, _BY_CONTAINER, _BY_NODE = _name("namespace", "pod"), _name("container"), _name("node")
NODE: Column[Row] = Column("NODE", _of("node"), sort=_BY_NODE)
_POD: Column[Row] = Column("POD", _pod, sort=_BY_POD)
_CONTAINER: Column[Row] = Column("CONTAINER", _container, sort=_BY_CONTAINER)


def _bytes(header: str, key: str, without: str = UNKNOWN, spare: int = 0) -> Column[Row]:
    return Column(header, _size(key, without), spare, right=True, sort=_number(key))


PS: Columns = (
    NODE,
    _POD,
    _CONTAINER,
    Column("DESIRED", _desired, sort=_name("mode_desired")),
    Column("ACTUAL", _actual, sort=_name("mode_actual")),
    _bytes("LIMIT", "limit_bytes", "none", 1),
    _bytes("USAGE", "usage_bytes", spare=2),
    _bytes("PEAK", "peak_bytes", spare=3),
    Column("KILLS", _kills, right=True, sort=_number("processes_killed")),
    Column("CONTAINER ID", lambda row: plain(_str(row.get("container_id"))[:SHORT_ID] or "-"), wide=True),
    Column("OOMPOLICY", _of("oom_policy"), wide=True),
    Column("CGROUP", _sentence("cgroup_path"), wide=True),
)
TOP: Columns = (
    NODE,
    _POD,
    _CONTAINER,
    Column("USED", _used, right=True, sort=used),
    _bytes("USAGE", "usage_bytes"),
    _bytes("LIMIT", "limit_bytes", "none"),
    _bytes("PEAK", "peak_bytes", spare=1),
    Column("KILLS", _kills, spare=2, right=True, sort=_number("processes_killed")),
    Column("CONTAINER ID", lambda row: plain(_str(row.get("container_id"))[:SHORT_ID] or "-"), wide=True),
)
HISTORY: Columns = (
    Column("TIME", _time, sort=_newest),
    NODE,
    _POD,
    Column("CONTAINER", _of("container"), spare=1, sort=_BY_CONTAINER),
    Column("PROCESS", _process),
    Column("RESIDENT", lambda row: _bytes_of(_resident(row)), spare=3, right=True, sort=_resident),
    Column("SCOPE", _scope, spare=2),
    _bytes("LIMIT", "limit_bytes", spare=4),
    Column("FILLED BY", _of("filled_by", UNKNOWN), spare=6),
    Column("MODE", _of("mode"), spare=5),
    Column("OUTCOME", _outcome, sort=_name("outcome")),
    Column("COMMAND", _command, spare=7, prose=True),
    Column("CGROUP", _sentence("cgroup_path"), wide=True),
    Column("KILL ID", _of("kill_id"), wide=True),
)
DIAGNOSE: Columns = (
    NODE,
    _POD,
    Column("CONTAINER", _of("container"), sort=_BY_CONTAINER),
    Column("CATEGORY", lambda row: styled(safe(_str(row.get("category"))), "bold red"), sort=_name("category")),
    Column("TRANSIENT?", _answer("transient"), spare=3),
    Column("RETRY HELPS?", _answer("retry_helps"), spare=2),
    Column("KUBERNETES WILL", _will, spare=1),
    Column("WHAT", _sentence("what"), spare=4, prose=True),
    Column("TO DO", _sentence("advice"), prose=True),
    Column("RULE", _of("rule"), wide=True),
)
ADVISE: Columns = (
    Column(
        "WORKLOAD", lambda r: plain(f"{r.get('namespace')}/{r.get('workload')}"), sort=_name("namespace", "workload")
    ),
    Column("KIND", _of("workload_kind"), spare=4, sort=_name("workload_kind")),
    Column("CONTAINER", _of("container", "(pod)"), sort=_BY_CONTAINER),
    Column("NODES", _nodes, spare=6),
    Column("PODS", _of("pod_count"), spare=5, right=True, sort=_number("pod_count")),
    _bytes("LIMIT", "spec_limit_bytes", "none"),
    _bytes("PEAK", "peak_bytes", spare=2),
    Column("KILLS", _of("kill_count"), right=True, sort=_number("kill_count")),
    Column("FILLED BY", _of("filled_by"), spare=3),
    Column("RAISE TO", _of("next_limit_quantity"), right=True, sort=_number("next_limit_bytes")),
    Column("REASON", _sentence("why"), spare=1, prose=True),
    Column("SURVIVED", _of("survived_count"), right=True, wide=True),
)
CHECK: Columns = (
    NODE,
    Column("STATUS", _status),
    Column("FAIL", _of("fail"), right=True, sort=_number("fail")),
    Column("WARN", _of("warn"), right=True, sort=_number("warn")),
    Column("PASS", _of("pass"), right=True, sort=_number("pass")),
    Column("FIRST", _first_found, prose=True),
)
CHECKS: Columns = (
    NODE,
    Column("STATUS", _status),
    Column("CHECK", _of("name"), sort=_name("name")),
    Column("FOUND", _to_do, prose=True),
)
EVENTS: Columns = (
    Column("TIME", _time, sort=_newest),
    Column("TYPE", _of("event_type"), spare=3),
    Column("REASON", _of("event_reason"), sort=_name("event_reason")),
    Column("OBJECT", _object, sort=_name("namespace", "object_name")),
    Column("COUNT", _of("times"), spare=2, right=True, sort=_number("times")),
    Column("NODE", _of("node"), spare=1, sort=_BY_NODE),
    Column("NOTE", _sentence("note"), prose=True),
)
COLUMNS = {
    "ps": PS,
    "top": TOP,
    "history": HISTORY,
    "diagnose": DIAGNOSE,
    "advise": ADVISE,
    "check": CHECK,
    "events": EVENTS,
}


def listing(name: str, columns: Columns, nothing: str) -> Listing[Row]:
    """``name``: the rows' key in JSON."""
    return Listing(name, columns, dict, nothing)
