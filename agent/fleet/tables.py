"""The commands' tables: columns over the rows of the agents' JSON. ``spare`` is as in look/view.py; wide tables have all columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from agent.fleet.answers import Row
from agent.fleet.merging import is_number, used
from agent.look.view import UNKNOWN, Column, Listing, plain, size, styled
from agent.wording.text import count, duration_text, safe
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
        return size(int(value) if is_number(value) else None, UNKNOWN if key in _unread(row) else without)

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
    kills, tolerated = row.get("kills"), row.get("tolerated")
    text = str(kills) if is_number(kills) else UNKNOWN
    if not isinstance(tolerated, dict):
        return styled(text)
    if tolerated.get("armed"):
        return styled(f"{text} (armed)", "bold yellow")
    window = tolerated.get("window_s")
    within = f" in {duration_text(window)}" if is_number(window) else ""
    return styled(safe(f"{text} ({tolerated.get('killed')}/{tolerated.get('kills')}{within})"))


def _used(row: Row) -> Cell:
    share = used(row)
    if share is None:
        return styled("-")
    return styled(f"{share:.0%}".replace("%", " %"), "bold red" if share >= 0.9 else "yellow" if share >= 0.75 else "")


def _process(row: Row) -> Cell:
    victims = row.get("victims")
    killed = row.get("processes")
    number = int(killed) if is_number(killed) else 1
    if not isinstance(victims, list) or not victims or not isinstance(victims[0], dict):
        return styled(f"{number} unnamed")
    more = max(number, len(victims)) - 1
    return styled(
        f"{safe(_str(victims[0].get('pid')))} {safe(_str(victims[0].get('comm')))}{f' and {more} more' if more > 0 else ''}"
    )


def _outcome(row: Row) -> Cell:
    outcome = row.get("outcome")
    style = "green" if outcome == "survived" else "red" if outcome else ""
    return styled(safe(_str(outcome or UNKNOWN)), style)


def _time(row: Row) -> Cell:
    """To the second."""
    text = _str(row.get("time") or UNKNOWN)
    return styled(safe(text[:19] + "Z" if len(text) > 20 and text.endswith("Z") else text))


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


Columns = tuple[Column[Row], ...]

WIDE = 9  # ``spare`` of what only wide tables have
NODE: Column[Row] = Column("NODE", _of("node"))

PS: Columns = (
    NODE,
    Column("POD", _pod),
    Column("CONTAINER", _container),
    Column("DESIRED", _desired),
    Column("ACTUAL", _actual),
    Column("LIMIT", _size("limit_bytes", "none"), spare=1, right=True),
    Column("USAGE", _size("usage_bytes"), spare=2, right=True),
    Column("PEAK", _size("peak_bytes"), spare=3, right=True),
    Column("KILLS", _kills, right=True),
    Column("CONTAINER ID", lambda row: plain(_str(row.get("container_id"))[:SHORT_ID] or "-"), spare=WIDE),
    Column("OOMPOLICY", _of("oom_policy"), spare=WIDE),
)
TOP: Columns = (
    NODE,
    Column("POD", _pod),
    Column("CONTAINER", _container),
    Column("USED", _used, right=True),
    Column("USAGE", _size("usage_bytes"), right=True),
    Column("LIMIT", _size("limit_bytes", "none"), right=True),
    Column("PEAK", _size("peak_bytes"), spare=1, right=True),
    Column("KILLS", _kills, spare=2, right=True),
)
HISTORY: Columns = (
    Column("TIME", _time),
    NODE,
    Column("POD", _pod),
    Column("CONTAINER", _of("container")),
    Column("PROCESS", _process),
    Column("RESIDENT", _size("victim_resident_bytes"), spare=2, right=True),
    Column("SCOPE", _of("scope", UNKNOWN), spare=1),
    Column("LIMIT", _size("limit_bytes"), spare=3, right=True),
    Column("MODE", _of("mode"), spare=4),
    Column("OUTCOME", _outcome),
)
DIAGNOSE: Columns = (
    NODE,
    Column("POD", _pod),
    Column("CONTAINER", _of("container")),
    Column("CATEGORY", lambda row: styled(safe(_str(row.get("category"))), "bold red")),
    Column("TRANSIENT?", _answer("transient"), spare=2),
    Column("RETRY HELPS?", _answer("retry_helps"), spare=3),
    Column("KUBERNETES WILL", _will, spare=1),
    Column("TO DO", _sentence("advice")),
    Column("WHAT", _sentence("what"), spare=WIDE),
)
ADVISE: Columns = (
    Column("WORKLOAD", lambda row: plain(f"{row.get('namespace')}/{row.get('name')}")),
    Column("KIND", _of("kind")),
    Column("CONTAINER", _of("container", "(pod)")),
    Column("NODES", _nodes),
    Column("PODS", _of("pods"), right=True),
    Column("LIMIT", _size("limit_bytes", "none"), spare=1, right=True),
    Column("PEAK", _size("peak_bytes"), spare=2, right=True),
    Column("KILLS", _of("kills"), right=True),
    Column("RAISE TO", _of("next_limit"), right=True),
    Column("FILLED BY", _of("filled_by"), spare=4),
    Column("REASON", _sentence("reason"), spare=3),
)
CHECK: Columns = (
    NODE,
    Column("STATUS", _status),
    Column("FAIL", _of("fail"), right=True),
    Column("WARN", _of("warn"), right=True),
    Column("PASS", _of("pass"), right=True),
    Column("FIRST", _first_found),
)
CHECKS: Columns = (
    NODE,
    Column("STATUS", _status),
    Column("CHECK", _of("name")),
    Column("FOUND", _to_do),
)
EVENTS: Columns = (
    Column("TIME", _time),
    Column("TYPE", _of("type")),
    Column("REASON", _of("reason")),
    Column(
        "OBJECT", lambda row: plain(f"{_str(row.get('kind')).lower()}/{row.get('namespace')}/{row.get('regarding')}")
    ),
    Column("COUNT", _of("count"), spare=2, right=True),
    Column("NODE", _of("node"), spare=1),
    Column("NOTE", _sentence("note")),
)


def listing(name: str, columns: Columns, nothing: str, *, wide: bool) -> Listing[Row]:
    """``name``: the rows' key in JSON. In a wide table no column is left out."""
    if wide:
        columns = tuple(Column(one.header, one.cell, 0, one.right) for one in columns)
    else:
        columns = tuple(one for one in columns if one.spare != WIDE)
    return Listing(name, columns, dict, nothing)
