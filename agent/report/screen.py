"""What the commands show: kills, containers with their modes, and what was done to their knobs.

Takes records, prints them by table.py to the file it is given. Nothing from the kernel or a pod reaches the terminal before
``safe()``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from io import TextIOWrapper
from typing import TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from agent.model import Mode, OomKill, Outcome, Scope, WriteOutcome
from agent.report.table import WITHOUT_END, Column, Output, fitted, print_json, print_table
from agent.report.wording import bytes_text, kill_fields, safe

NAME_LIMIT = 320  # namespace/pod: 63 + 1 + 253 at the most
SHORT_ID = 12  # characters of a container id, as crictl and docker show it
UNKNOWN = "?"
NO_CONTAINERS = "No containers of pods."


@dataclass(frozen=True, slots=True)
class ContainerRow:
    """One running container. ``wanted`` None: nobody asked for a mode. ``limit_bytes`` None: there is none.

    ``namespace``, ``pod`` and ``container`` None: not known by name, so ``pod_uid`` and ``container_id`` are shown. ``actual``
    is what memory.oom.group says. ``peak_bytes`` None: the kernel doesn't tell (before 5.19). ``kills`` is how many of its
    processes were killed, as far back as the ledger reaches; without a ledger, since the container's start. ``unread`` names
    the fields, as the JSON has them, that could not be read and are None for that.
    """

    namespace: str | None
    pod: str | None
    container: str | None
    wanted: Mode | None = None
    actual: Mode | None = None
    limit_bytes: int | None = None
    usage_bytes: int | None = None
    peak_bytes: int | None = None
    kills: int | None = None
    pod_uid: str | None = None
    container_id: str | None = None
    path: str | None = None
    unread: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WriteRow:
    """What was done, or would be, to one knob. ``namespace``, ``pod`` and ``container`` None: not known by name.

    ``before`` None: it could not be read, or the kernel has no such file. ``why`` is policy's reason or what went wrong.
    """

    path: str
    before: int | None
    wanted: int
    outcome: WriteOutcome
    why: str
    namespace: str | None = None
    pod: str | None = None
    container: str | None = None


def show_kills(kills: Iterable[OomKill], output: Output, file: TextIO) -> None:
    """Print kills in the order given."""
    rows = tuple(kills)
    if output is Output.JSON:
        print_json("kills", [kill_json(kill) for kill in rows], file)
    else:
        print_table(rows, KILL_COLUMNS, "No OOM kills.", file)


def show_containers(containers: Iterable[ContainerRow], output: Output, file: TextIO) -> None:
    """Print containers in the order given."""
    rows = tuple(containers)
    if output is Output.JSON:
        print_json("containers", [container_json(row) for row in rows], file)
    else:
        print_table(rows, CONTAINER_COLUMNS, NO_CONTAINERS, file)


def show_writes(writes: Iterable[WriteRow], output: Output, file: TextIO) -> None:
    """Print what was done to knobs, in the order given."""
    rows = tuple(writes)
    if output is Output.JSON:
        print_json("writes", [write_json(row) for row in rows], file)
    else:
        print_table(rows, WRITE_COLUMNS, "Nothing to do: no running container here asks for a mode.", file)


def kills_table(kills: Iterable[OomKill], console: Console) -> Table:
    """The table that show_kills() prints, as wide as ``console`` has room for."""
    return fitted(tuple(kills), KILL_COLUMNS, console)


def containers_table(containers: Iterable[ContainerRow], console: Console) -> Table:
    """The table that show_containers() prints, as wide as ``console`` has room for."""
    return fitted(tuple(containers), CONTAINER_COLUMNS, console)


def kill_json(kill: OomKill) -> dict[str, object]:
    """The fields of the log line, and the time as people read it."""
    return {"time": _clock(kill.at_unix_s, "microseconds"), **kill_fields(kill)}


def write_json(row: WriteRow) -> dict[str, object]:
    """A knob's row; ``before`` and ``wanted`` are memory.oom.group's 0 and 1."""
    return {
        "namespace": row.namespace,
        "pod": row.pod,
        "container": row.container,
        "cgroup": row.path,
        "before": row.before,
        "wanted": row.wanted,
        "outcome": row.outcome.value,
        "why": row.why,
    }


def container_json(row: ContainerRow) -> dict[str, object]:
    """A container's row with its sizes in bytes; null as ContainerRow says. Ids, path and ``unread`` only where there are any."""
    more = {"pod_uid": row.pod_uid, "container_id": row.container_id, "cgroup": row.path, "unread": list(row.unread)}
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
        **{name: value for name, value in more.items() if value},
    }


class ContainersScreen:
    """The containers over and over: in place on a terminal (``live``), else table after table, or a JSON document a line."""

    def __init__(self, output: Output, file: TextIO) -> None:
        self._output, self._file = output, file
        self._console = console_on(file)
        self.live = output is Output.TABLE and self._console.is_terminal and not self._console.is_dumb_terminal
        self._live = Live(console=self._console, screen=True, auto_refresh=False)

    def __enter__(self) -> ContainersScreen:
        if self.live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live:
            self._live.stop()

    def show(self, containers: Iterable[ContainerRow], troubles: Iterable[str], at_unix_s: float) -> None:
        """One more turn. Only in place are ``troubles`` shown, below the table."""
        rows, clock = tuple(containers), _clock(at_unix_s, "seconds")
        if self._output is Output.JSON:
            line = {"time": clock, "containers": [container_json(row) for row in rows]}
            self._file.write(json.dumps(line, ensure_ascii=True) + "\n")
            self._file.flush()
        elif self.live:
            self._live.update(self._page(rows, tuple(troubles), clock), refresh=True)
        else:
            self._console.print(Text(clock))
            show_containers(rows, self._output, self._file)
            self._console.print()

    def _page(self, rows: tuple[ContainerRow, ...], troubles: tuple[str, ...], clock: str) -> Group:
        notes = [Text(f"oomward: {safe(trouble, NAME_LIMIT)}", style="yellow") for trouble in troubles]
        notes_height = sum(len(note.wrap(self._console, self._console.width)) for note in notes)
        room = max(1, self._console.height - 3 - notes_height)  # the clock, the header, and what is left out
        left_out = len(rows) - room
        title = Text(f"{clock}  {len(rows)} containers, Ctrl-C ends", style="dim")
        table = containers_table(rows[:room], self._console) if rows else Text(NO_CONTAINERS)
        more = [Text(f"… and {left_out} more: the terminal is too low for them", style="dim")] if left_out > 0 else []
        return Group(title, table, *more, *notes)


def console_on(file: TextIO) -> Console:
    """For what is no table: without a terminal every line is whole."""
    if isinstance(file, TextIOWrapper):
        file.reconfigure(errors="backslashreplace")
    console = Console(file=file, markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        console.width = WITHOUT_END
    return console


# --------------------------------------------------------------------------------------------------------------- columns


def _plain(text: str | None) -> Text:
    return Text(UNKNOWN if text is None else safe(text, NAME_LIMIT))


def _size(size: int | None, without: str = UNKNOWN) -> Text:
    return Text(without if size is None else bytes_text(size))


def _clock(at_unix_s: float, precision: str) -> str:
    return datetime.fromtimestamp(at_unix_s, UTC).isoformat(timespec=precision).replace("+00:00", "Z")


def _outcome_of_write(row: WriteRow) -> Text:
    good = row.outcome in (WriteOutcome.WRITTEN, WriteOutcome.ALREADY, WriteOutcome.DRY_RUN, WriteOutcome.GONE)
    return Text(
        "would write" if row.outcome is WriteOutcome.DRY_RUN else row.outcome.value, style="" if good else "bold red"
    )


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


def _pod_of_container(row: ContainerRow) -> Text:
    return _plain(f"{row.namespace or UNKNOWN}/{row.pod}" if row.pod is not None else row.pod_uid)


def _container(row: ContainerRow) -> Text:
    return _plain((row.container_id or UNKNOWN)[:SHORT_ID] if row.container is None else row.container)


def _wanted(row: ContainerRow) -> Text:
    return Text(UNKNOWN if "mode_wanted" in row.unread else row.wanted.value if row.wanted else "-")


def _actual(row: ContainerRow) -> Text:
    if "mode_actual" in row.unread:
        return Text(UNKNOWN)
    drifted = row.wanted is not None and row.wanted is not row.actual
    return Text(row.actual.value if row.actual else "-", style="bold red" if drifted else "")


def _limit(row: ContainerRow) -> Text:
    return _size(row.limit_bytes, UNKNOWN if "limit_bytes" in row.unread else "none")


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
    Column("POD", _pod_of_container),
    Column("CONTAINER", _container),
    Column("WANTED", _wanted),
    Column("ACTUAL", _actual),
    Column("LIMIT", _limit, spare=1, right=True),
    Column("USAGE", lambda row: _size(row.usage_bytes), spare=2, right=True),
    Column("PEAK", lambda row: _size(row.peak_bytes), spare=3, right=True),
    Column("KILLS", lambda row: Text(UNKNOWN if row.kills is None else str(row.kills)), right=True),
)
WRITE_COLUMNS: tuple[Column[WriteRow], ...] = (
    Column("POD", lambda row: _plain(f"{row.namespace}/{row.pod}" if row.pod is not None else row.path)),
    Column("CONTAINER", lambda row: _plain(row.container if row.container is not None else "-")),
    Column("BEFORE", lambda row: Text("-" if row.before is None else str(row.before)), right=True),
    Column("WANTED", lambda row: Text(str(row.wanted)), right=True),
    Column("OUTCOME", _outcome_of_write),
    Column("WHY", lambda row: Text(safe(row.why, NAME_LIMIT)), spare=1),
    Column("CGROUP", lambda row: _plain(row.path), spare=2),
)
