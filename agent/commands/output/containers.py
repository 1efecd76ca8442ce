"""Output of ``ps``: modes, memory, kills and tolerances of the node's containers, once or repeatedly.

Takes rows and prints them to a file. Text from the kernel or a pod goes through ``safe()``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from agent.commands.output.cells import NAME_LIMIT, UNKNOWN, console_on, plain, size
from agent.commands.output.table import Column, Output, fitted, print_json, print_table
from agent.model import Mode, Tolerance
from agent.wording.kills import safe
from agent.wording.notes import duration_text
from agent.wording.times import rfc3339

SHORT_ID = 12  # characters of a container id, as in crictl and docker
NO_CONTAINERS = "No containers of pods."


@dataclass(frozen=True, slots=True)
class Tolerated:
    """``killed`` of the tolerance's ``kills`` are used up now; ``armed``: it was exceeded."""

    tolerance: Tolerance
    killed: int
    armed: bool


@dataclass(frozen=True, slots=True)
class ContainerRow:
    """One running container. ``desired`` None: no mode is requested. ``limit_bytes`` None: no limit.

    ``namespace``, ``pod`` and ``container`` None: unknown, so ``pod_uid`` and ``container_id`` are shown. ``actual`` is from
    memory.oom.group. ``peak_bytes`` None: not available (before 5.19). ``kills``: processes killed, as far back as the ledger
    reaches; without a ledger, since the container's start. ``unread`` has the JSON names of fields that could not be read.
    """

    namespace: str | None
    pod: str | None
    container: str | None
    desired: Mode | None = None
    actual: Mode | None = None
    limit_bytes: int | None = None
    usage_bytes: int | None = None
    peak_bytes: int | None = None
    kills: int | None = None
    pod_uid: str | None = None
    container_id: str | None = None
    path: str | None = None
    unread: tuple[str, ...] = ()
    tolerated: Tolerated | None = None  # None: any number of kills


def show_containers(containers: Iterable[ContainerRow], output: Output, file: TextIO) -> None:
    """Print containers in the given order."""
    rows = tuple(containers)
    if output is Output.JSON:
        print_json("containers", [container_json(row) for row in rows], file)
    else:
        print_table(rows, CONTAINER_COLUMNS, NO_CONTAINERS, file)


def containers_table(containers: Iterable[ContainerRow], console: Console) -> Table:
    """The table of show_containers(), fitted to ``console``."""
    return fitted(tuple(containers), CONTAINER_COLUMNS, console)


def container_json(row: ContainerRow) -> dict[str, object]:
    """A container's row, with sizes in bytes; null as in ContainerRow. Ids, path and ``unread`` only if set."""
    more: dict[str, object] = {"tolerated": row.tolerated and _tolerated_json(row.tolerated)}
    more |= {"pod_uid": row.pod_uid, "container_id": row.container_id, "cgroup": row.path, "unread": list(row.unread)}
    return {
        "namespace": row.namespace,
        "pod": row.pod,
        "container": row.container,
        "mode_wanted": row.desired.value if row.desired else None,
        "mode_actual": row.actual.value if row.actual else None,
        "limit_bytes": row.limit_bytes,
        "usage_bytes": row.usage_bytes,
        "peak_bytes": row.peak_bytes,
        "kills": row.kills,
        **{name: value for name, value in more.items() if value},
    }


def _tolerated_json(tolerated: Tolerated) -> dict[str, object]:
    limit = tolerated.tolerance
    return {"killed": tolerated.killed, "kills": limit.kills, "window_s": limit.window_s, "armed": tolerated.armed}


class ContainersScreen:
    """Repeated output: in place on a terminal (``live``), else table after table, or one JSON document per line."""

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
        """Print once. ``troubles`` are shown only in place, below the table."""
        rows, time = tuple(containers), rfc3339(at_unix_s, "seconds")
        if self._output is Output.JSON:
            line = {"time": time, "containers": [container_json(row) for row in rows]}
            self._file.write(json.dumps(line, ensure_ascii=True) + "\n")
            self._file.flush()
        elif self.live:
            self._live.update(self._page(rows, tuple(troubles), time), refresh=True)
        else:
            self._console.print(Text(time))
            show_containers(rows, self._output, self._file)
            self._console.print()

    def _page(self, rows: tuple[ContainerRow, ...], troubles: tuple[str, ...], time: str) -> Group:
        notes = [Text(f"oomward: {safe(trouble, NAME_LIMIT)}", style="yellow") for trouble in troubles]
        notes_height = sum(len(note.wrap(self._console, self._console.width)) for note in notes)
        room = max(1, self._console.height - 3 - notes_height)  # the clock, the header, and the last line
        left_out = len(rows) - room
        title = Text(f"{time}  {len(rows)} containers, Ctrl-C exits", style="dim")
        table = containers_table(rows[:room], self._console) if rows else Text(NO_CONTAINERS)
        more = [Text(f"… and {left_out} more: the terminal has too few lines", style="dim")] if left_out > 0 else []
        return Group(title, table, *more, *notes)


def _pod_of_container(row: ContainerRow) -> Text:
    return plain(f"{row.namespace or UNKNOWN}/{row.pod}" if row.pod is not None else row.pod_uid)


def _container(row: ContainerRow) -> Text:
    return plain((row.container_id or UNKNOWN)[:SHORT_ID] if row.container is None else row.container)


def _desired(row: ContainerRow) -> Text:
    return Text(UNKNOWN if "mode_wanted" in row.unread else row.desired.value if row.desired else "-")


def _actual(row: ContainerRow) -> Text:
    if "mode_actual" in row.unread:
        return Text(UNKNOWN)
    drifted = row.desired is not None and row.desired is not row.actual
    return Text(row.actual.value if row.actual else "-", style="bold red" if drifted else "")


def _kills(row: ContainerRow) -> Text:
    """``7``, ``7 (2/5 in 10m)`` with a tolerance, ``7 (armed)`` once it is exceeded."""
    kills = UNKNOWN if row.kills is None else str(row.kills)
    if row.tolerated is None:
        return Text(kills)
    if row.tolerated.armed:
        return Text(f"{kills} (armed)", style="bold yellow")
    limit = row.tolerated.tolerance
    return Text(f"{kills} ({row.tolerated.killed}/{limit.kills} in {duration_text(limit.window_s)})")


def _limit(row: ContainerRow) -> Text:
    return size(row.limit_bytes, UNKNOWN if "limit_bytes" in row.unread else "none")


CONTAINER_COLUMNS: tuple[Column[ContainerRow], ...] = (
    Column("POD", _pod_of_container),
    Column("CONTAINER", _container),
    Column("DESIRED", _desired),
    Column("ACTUAL", _actual),
    Column("LIMIT", _limit, spare=1, right=True),
    Column("USAGE", lambda row: size(row.usage_bytes), spare=2, right=True),
    Column("PEAK", lambda row: size(row.peak_bytes), spare=3, right=True),
    Column("KILLS", _kills, right=True),
)
