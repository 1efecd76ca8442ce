"""Output of ``ps``: modes, memory, kills and tolerances of the node's containers, once or repeatedly."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TextIO

from rich.console import Group
from rich.live import Live
from rich.text import Text

from agent.commands.output.table import NAME_LIMIT, UNKNOWN, Column, Listing, Output, console_on, fitted, plain, size
from agent.model import Mode, Tolerance
from agent.wording.text import duration_text, safe
from agent.wording.times import rfc3339

SHORT_ID = 12  # characters of a container id, as in crictl and docker
NO_CONTAINERS = "No containers of pods."
ONLY_IF_SET = ("tolerated", "pod_uid", "container_id", "cgroup", "unread")  # in JSON


@dataclass(frozen=True, slots=True)
class Tolerated:
    """``killed`` of the tolerance's ``kills`` are used up now; ``armed``: it was exceeded."""

    tolerance: Tolerance
    killed: int
    armed: bool


@dataclass(frozen=True, slots=True)
class ContainerRow:
    """One running container. ``mode_wanted`` None: no mode is requested. ``limit_bytes`` None: no limit.

    ``namespace``, ``pod`` and ``container`` None: unknown, so ``pod_uid`` and ``container_id`` are shown. ``mode_actual`` is
    from memory.oom.group. ``peak_bytes`` None: not available (before 5.19). ``kills``: processes killed, as far back as the
    ledger reaches; without a ledger, since the container's start. ``tolerated`` None: any number of kills. ``unread`` names
    the fields that could not be read. Field names are JSON keys.
    """

    namespace: str | None
    pod: str | None
    container: str | None
    mode_wanted: Mode | None = None
    mode_actual: Mode | None = None
    limit_bytes: int | None = None
    usage_bytes: int | None = None
    peak_bytes: int | None = None
    kills: int | None = None
    tolerated: Tolerated | None = None
    pod_uid: str | None = None
    container_id: str | None = None
    cgroup: str | None = None
    unread: tuple[str, ...] = ()


def _container_json(row: ContainerRow) -> dict[str, object]:
    fields = asdict(row)
    if row.tolerated:
        kills, window_s = row.tolerated.tolerance.kills, row.tolerated.tolerance.window_s
        used = {"killed": row.tolerated.killed, "kills": kills, "window_s": window_s, "armed": row.tolerated.armed}
        fields["tolerated"] = used
    return {name: value for name, value in fields.items() if value or name not in ONLY_IF_SET}


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

    def show(self, rows: Sequence[ContainerRow], troubles: Sequence[str], at_unix_s: float) -> None:
        """Print once. ``troubles`` are shown only in place, below the table."""
        time = rfc3339(at_unix_s)
        if self._output is Output.JSON:
            line = {"time": time, "containers": [_container_json(row) for row in rows]}
            self._file.write(json.dumps(line, ensure_ascii=True) + "\n")
            self._file.flush()
        elif self.live:
            self._live.update(self._page(rows, troubles, time), refresh=True)
        else:
            self._console.print(Text(time))
            CONTAINERS.show(rows, self._output, self._file)
            self._console.print()

    def _page(self, rows: Sequence[ContainerRow], troubles: Sequence[str], time: str) -> Group:
        console = self._console
        notes = [Text(f"oomward: {safe(trouble, NAME_LIMIT)}", style="yellow") for trouble in troubles]
        notes_height = sum(len(note.wrap(console, console.width)) for note in notes)
        room = max(1, console.height - 3 - notes_height)  # the clock, the header, and the last line
        left_out = len(rows) - room
        title = Text(f"{time}  {len(rows)} containers, Ctrl-C exits", style="dim")
        table = fitted(rows[:room], CONTAINER_COLUMNS, console) if rows else Text(NO_CONTAINERS)
        more = [Text(f"… and {left_out} more: the terminal has too few lines", style="dim")] if left_out > 0 else []
        return Group(title, table, *more, *notes)


def _pod(row: ContainerRow) -> Text:
    return plain(f"{row.namespace or UNKNOWN}/{row.pod}" if row.pod is not None else row.pod_uid)


def _container(row: ContainerRow) -> Text:
    return plain((row.container_id or UNKNOWN)[:SHORT_ID] if row.container is None else row.container)


def _desired(row: ContainerRow) -> Text:
    return Text(UNKNOWN if "mode_wanted" in row.unread else row.mode_wanted or "-")


def _actual(row: ContainerRow) -> Text:
    if "mode_actual" in row.unread:
        return Text(UNKNOWN)
    drifted = row.mode_wanted is not None and row.mode_wanted is not row.mode_actual
    return Text(row.mode_actual or "-", style="bold red" if drifted else "")


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
    Column("POD", _pod),
    Column("CONTAINER", _container),
    Column("DESIRED", _desired),
    Column("ACTUAL", _actual),
    Column("LIMIT", _limit, spare=1, right=True),
    Column("USAGE", lambda row: size(row.usage_bytes), spare=2, right=True),
    Column("PEAK", lambda row: size(row.peak_bytes), spare=3, right=True),
    Column("KILLS", _kills, right=True),
)
CONTAINERS = Listing("containers", CONTAINER_COLUMNS, _container_json, NO_CONTAINERS)
