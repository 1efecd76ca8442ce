"""Tables for people and their JSON twins: kills, and containers with their modes.

Takes records, prints to the file it is given. Fits a terminal's width by leaving out what matters least and then by folding;
without a terminal every value is whole, on one line. Colours, NO_COLOR and TERM=dumb are rich's business. Nothing from the
kernel or a pod reaches the terminal before ``safe()``, and none of it is read as markup.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from io import TextIOWrapper
from typing import Generic, TextIO, TypeVar

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from agent.model import Mode, OomKill, Outcome, Scope
from agent.report.wording import bytes_text, kill_fields, safe

NAME_LIMIT = 320  # namespace/pod: 63 + 1 + 253 at the most
WITHOUT_END = 100_000  # columns: more than any table has
UNKNOWN = "?"


class Output(StrEnum):
    """What ``--output`` may be."""

    TABLE = "table"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class ContainerRow:
    """One running container. ``wanted`` None: nobody asked for a mode. ``limit_bytes`` None: there is none.

    ``actual`` is what memory.oom.group says, None where there is no such file (cgroup v1). ``peak_bytes`` None: the kernel
    doesn't tell (before 5.19). ``kills`` is how many of its processes were killed, as far back as the ledger reaches; None
    without a ledger.
    """

    namespace: str
    pod: str
    container: str
    wanted: Mode | None = None
    actual: Mode | None = None
    limit_bytes: int | None = None
    usage_bytes: int | None = None
    peak_bytes: int | None = None
    kills: int | None = None


def show_kills(kills: Iterable[OomKill], output: Output, file: TextIO) -> None:
    """Print kills in the order given."""
    rows = tuple(kills)
    if output is Output.JSON:
        _print_json("kills", [kill_json(kill) for kill in rows], file)
    else:
        _print_table(rows, KILL_COLUMNS, "No OOM kills.", file)


def show_containers(containers: Iterable[ContainerRow], output: Output, file: TextIO) -> None:
    """Print containers in the order given."""
    rows = tuple(containers)
    if output is Output.JSON:
        _print_json("containers", [container_json(row) for row in rows], file)
    else:
        _print_table(rows, CONTAINER_COLUMNS, "No containers of pods.", file)


def kills_table(kills: Iterable[OomKill], console: Console) -> Table:
    """The table that show_kills() prints, as wide as ``console`` has room for."""
    return _fitted(tuple(kills), KILL_COLUMNS, console)


def containers_table(containers: Iterable[ContainerRow], console: Console) -> Table:
    """The table that show_containers() prints, as wide as ``console`` has room for."""
    return _fitted(tuple(containers), CONTAINER_COLUMNS, console)


def kill_json(kill: OomKill) -> dict[str, object]:
    """The fields of the log line, and the time as people read it."""
    return {"time": _clock(kill.at_unix_s, "microseconds"), **kill_fields(kill)}


def container_json(row: ContainerRow) -> dict[str, object]:
    """A container's row with its sizes in bytes; null as ContainerRow says."""
    return {
        "namespace": row.namespace,
        "pod": row.pod,
        "container": row.container,
        "mode_wanted": row.wanted.value if row.wanted else None,
        "mode_actual": row.actual.value if row.actual else None,
        "limit_bytes": row.limit_bytes,
        "usage_bytes": row.usage_bytes,
        "peak_bytes": row.peak_bytes,
        "kills": row.kills,
    }


# --------------------------------------------------------------------------------------------------------------- columns

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Column(Generic[T]):
    """``spare``: 0 is always there; of the others the highest is the first to be left out where it is narrow."""

    header: str
    cell: Callable[[T], Text]
    spare: int = 0
    right: bool = False


def _plain(text: str | None) -> Text:
    return Text(UNKNOWN if text is None else safe(text, NAME_LIMIT))


def _size(size: int | None, without: str = UNKNOWN) -> Text:
    return Text(without if size is None else bytes_text(size))


def _clock(at_unix_s: float, precision: str) -> str:
    return datetime.fromtimestamp(at_unix_s, UTC).isoformat(timespec=precision).replace("+00:00", "Z")


def _pod_of_kill(kill: OomKill) -> Text:
    if kill.pod is not None:
        return _plain(f"{kill.namespace or UNKNOWN}/{kill.pod}")
    return _plain(kill.cgroup_path or None)


def _process(kill: OomKill) -> Text:
    if not kill.victims:
        return Text(f"{kill.processes} unnamed")
    first = kill.victims[0]
    more = max(kill.processes, len(kill.victims)) - 1
    return Text(f"{first.pid} {safe(first.comm)}{f' and {more} more' if more else ''}")


def _killed_size(kill: OomKill) -> Text:
    return _size(kill.victims[0].resident_bytes if kill.victims else None)


def _outcome(kill: OomKill) -> Text:
    match kill.outcome:
        case Outcome.SURVIVED:
            return Text(kill.outcome.value, style="green")
        case Outcome.DIED:
            return Text(kill.outcome.value, style="red")
    return Text(UNKNOWN if kill.container is not None else "-")


def _scope(kill: OomKill) -> Text:
    if kill.scope is Scope.CONTAINER and kill.pod is None and kill.container_id is None:
        return Text("its cgroup")  # of a service of the node, say
    return Text(kill.scope.value if kill.scope else UNKNOWN)


def _actual(row: ContainerRow) -> Text:
    if row.wanted is None or row.wanted is row.actual:
        return Text(row.actual.value if row.actual else "-")
    return Text(row.actual.value if row.actual else "-", style="bold red")


KILL_COLUMNS: tuple[Column[OomKill], ...] = (
    Column("TIME", lambda kill: Text(_clock(kill.at_unix_s, "seconds"))),
    Column("POD", _pod_of_kill),
    Column("CONTAINER", lambda kill: _plain(kill.container if kill.container is not None else "-")),
    Column("PROCESS", _process),
    Column("RESIDENT", _killed_size, spare=2, right=True),
    Column("LIMIT OF", _scope, spare=1),
    Column("LIMIT", lambda kill: _size(kill.limit_bytes), spare=3, right=True),
    Column("MODE", lambda kill: Text(kill.mode.value if kill.mode else "-"), spare=4),
    Column("OUTCOME", _outcome),
)
CONTAINER_COLUMNS: tuple[Column[ContainerRow], ...] = (
    Column("POD", lambda row: _plain(f"{row.namespace}/{row.pod}")),
    Column("CONTAINER", lambda row: _plain(row.container)),
    Column("WANTED", lambda row: Text(row.wanted.value if row.wanted else "-")),
    Column("ACTUAL", _actual),
    Column("LIMIT", lambda row: _size(row.limit_bytes, "none"), spare=1, right=True),
    Column("USAGE", lambda row: _size(row.usage_bytes), spare=2, right=True),
    Column("PEAK", lambda row: _size(row.peak_bytes), spare=3, right=True),
    Column("KILLS", lambda row: Text(UNKNOWN if row.kills is None else str(row.kills)), right=True),
)


# -------------------------------------------------------------------------------------------------------------- printing


def _print_json(name: str, rows: list[dict[str, object]], file: TextIO) -> None:
    """ASCII only: a lone surrogate or an escape sequence in a name can neither break the output nor reach the terminal."""
    file.write(json.dumps({name: rows}, indent=2, ensure_ascii=True) + "\n")


def _print_table(rows: Sequence[T], columns: Sequence[Column[T]], nothing: str, file: TextIO) -> None:
    if isinstance(file, TextIOWrapper):
        file.reconfigure(errors="backslashreplace")  # a terminal that isn't UTF-8 is no reason to fail
    console = Console(file=file, markup=False, emoji=False, highlight=False)
    if not rows:
        console.print(nothing)
        return
    if not console.is_terminal:
        console.width = WITHOUT_END
    console.print(_fitted(rows, columns, console))


def _fitted(rows: Sequence[T], columns: Sequence[Column[T]], console: Console) -> Table:
    """With as many columns as there is room for; those that are always there are folded if need be."""
    kept = list(columns)
    while True:
        table = _table(rows, kept)
        spare = max(kept, key=lambda column: column.spare)
        if spare.spare == 0 or _natural_width(table, console) <= console.width:
            return table
        kept.remove(spare)


def _natural_width(table: Table, console: Console) -> int:
    return Measurement.get(console, replace(console.options, max_width=WITHOUT_END), table).maximum


def _table(rows: Sequence[T], columns: Sequence[Column[T]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column.header, justify="right" if column.right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(column.cell(row) for column in columns))
    return table
