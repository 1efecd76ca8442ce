"""Changes on their way to the file, merged by what they are about, so that they stay few however long the disk is away.

Takes records in, gives them to a connection inside one transaction. Writing the same changes twice is harmless: a kill
is known by its id. Does not open, commit or catch anything.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from agent.ledger.rows import (
    DECISION_COLUMNS,
    KILL_COLUMNS,
    baseline_row,
    decision_row,
    kill_row,
    notice_row,
    original_row,
    to_sql,
)
from agent.model import Baseline, KeptDecision, Notice, OomKill, Original, Outcome

TotalKey = tuple[str, str, str, str, str]  # namespace, pod, container, mode, scope
UNKNOWN = "unknown"
MOST_KILLS = 20_000  # some 2 KiB each, in an agent of 64 MiB
MOST_NOTICES = 5_000


@dataclass(slots=True)
class Unwritten:
    """None as a value: the row goes. ``dropped`` counts kills and notices that had to give way to newer ones."""

    kills: dict[str, OomKill] = field(default_factory=dict)
    outcomes: dict[str, tuple[Outcome | None, str]] = field(default_factory=dict)
    amended: dict[str, OomKill] = field(default_factory=dict)
    baselines: dict[int, Baseline | None] = field(default_factory=dict)
    originals: dict[int, Original | None] = field(default_factory=dict)
    decisions: dict[str, tuple[KeptDecision, ...]] = field(default_factory=dict)
    notices: dict[str, Notice] = field(default_factory=dict)
    counted: dict[str, Notice] = field(default_factory=dict)
    delivered: dict[str, str] = field(default_factory=dict)
    forgotten_totals: list[tuple[str, str, str]] = field(default_factory=list)
    kmsg_sequence: int | None = None
    dropped: int = 0

    def __len__(self) -> int:
        tables = (self.kills, self.outcomes, self.amended, self.baselines, self.originals, self.decisions)
        events = len(self.notices) + len(self.counted) + len(self.delivered)
        rest = len(self.forgotten_totals) + (self.kmsg_sequence is not None)
        return sum(len(table) for table in tables) + events + rest

    def add_kills(self, kills: Iterable[OomKill]) -> None:
        """Kills to be recorded; one that waits already stays as it is."""
        for kill in kills:
            self.kills.setdefault(kill.kill_id, kill)
        while len(self.kills) > MOST_KILLS:
            self._drop(self.kills)

    def add_notice(self, notice: Notice) -> None:
        """An Event to be delivered; one that waits already stays as it is."""
        self.notices.setdefault(notice.name, notice)
        while len(self.notices) > MOST_NOTICES:
            self._drop(self.notices)

    def count(self, notice: Notice) -> None:
        """A notice as it is now, in the place of whatever was known of it; it is to be delivered (again)."""
        self.notices.pop(notice.name, None)
        self.delivered.pop(notice.name, None)
        self.counted[notice.name] = notice
        while len(self.counted) > MOST_NOTICES:
            self._drop(self.counted)

    def _drop(self, oldest_first: dict[str, OomKill] | dict[str, Notice]) -> None:
        del oldest_first[next(iter(oldest_first))]
        self.dropped += 1

    def clear(self) -> None:
        """Everything is in the file."""
        for table in (self.kills, self.outcomes, self.amended, self.baselines, self.originals, self.decisions):
            table.clear()
        for notices in (self.notices, self.counted, self.delivered):
            notices.clear()
        self.forgotten_totals.clear()
        self.kmsg_sequence = None

    # ------------------------------------------------------------------------------------------------ seen by reads

    def seen(self, kill: OomKill) -> OomKill:
        """A kill of the file or of here, with what waits about it."""
        newer = self.amended.get(kill.kill_id, kill)
        outcome, _ = self.outcomes.get(kill.kill_id, (None, ""))
        return replace(newer, outcome=outcome or newer.outcome or kill.outcome)

    # --------------------------------------------------------------------------------------------- into the database

    def apply(self, connection: sqlite3.Connection, boot_id: str) -> None:
        """Write all of it. Raises sqlite3.Error."""
        keys = [tuple(to_sql(text) for text in key) for key in self.forgotten_totals]
        connection.executemany("DELETE FROM total WHERE namespace = ? AND pod = ? AND container = ?", keys)
        self._apply_kills(connection)
        self._apply_books(connection)
        self._apply_decisions(connection)
        self._apply_notices(connection)
        if self.kmsg_sequence is not None:
            connection.execute("UPDATE boot SET kmsg_sequence = ? WHERE id = ?", (self.kmsg_sequence, boot_id))

    def _apply_kills(self, connection: sqlite3.Connection) -> None:
        for kill in self.kills.values():
            sql = f"INSERT OR IGNORE INTO kill ({KILL_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            if connection.execute(sql, kill_row(kill)).rowcount:
                _add_to_total(connection, kill)
        for kill in self.amended.values():
            row = kill_row(kill)
            connection.execute(
                "UPDATE kill SET at_unix_s = ?, namespace = ?, pod = ?, pod_uid = ?, container = ?, mode = ?, scope = ?, "
                "processes = ?, outcome = COALESCE(?, outcome), body = ? WHERE kill_id = ?",
                (*row[1:], row[0]),
            )
        settled = [
            (outcome and outcome.value, to_sql(notice), kill_id) for kill_id, (outcome, notice) in self.outcomes.items()
        ]
        connection.executemany("UPDATE kill SET outcome = COALESCE(?, outcome), notice = ? WHERE kill_id = ?", settled)

    def _apply_books(self, connection: sqlite3.Connection) -> None:
        for inode, baseline in self.baselines.items():
            if baseline is None:
                connection.execute("DELETE FROM baseline WHERE inode = ?", (inode,))
            else:
                sql = "INSERT OR REPLACE INTO baseline VALUES (?, ?, ?, ?, ?, ?, ?)"
                connection.execute(sql, baseline_row(baseline))
        for inode, original in self.originals.items():
            if original is None:
                connection.execute("DELETE FROM original WHERE inode = ?", (inode,))
            else:
                connection.execute("INSERT OR REPLACE INTO original VALUES (?, ?, ?, ?, ?)", original_row(original))

    def _apply_decisions(self, connection: sqlite3.Connection) -> None:
        for pod_uid, decisions in self.decisions.items():
            connection.execute("DELETE FROM decision WHERE pod_uid = ?", (to_sql(pod_uid),))
            rows = [decision_row(decision) for decision in decisions]
            sql = f"INSERT INTO decision ({DECISION_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
            connection.executemany(sql, rows)

    def _apply_notices(self, connection: sqlite3.Connection) -> None:
        rows = [notice_row(notice) for notice in self.notices.values()]
        columns = "notice (name, at_unix_s, body, series_last_unix_s)"
        connection.executemany(f"INSERT OR IGNORE INTO {columns} VALUES (?, ?, ?, ?)", rows)
        rows = [notice_row(notice) for notice in self.counted.values()]
        connection.executemany(f"INSERT OR REPLACE INTO {columns} VALUES (?, ?, ?, ?)", rows)
        done = [(outcome, to_sql(name)) for name, outcome in self.delivered.items()]
        connection.executemany("UPDATE notice SET outcome = ? WHERE name = ?", done)


def total_key(kill: OomKill) -> TotalKey | None:
    """The metric's series that a kill counts into; None for kills outside of known pods."""
    if kill.namespace is None or kill.pod is None:
        return None
    mode = kill.mode.value if kill.mode else UNKNOWN
    return kill.namespace, kill.pod, kill.container or "", mode, kill.scope.value if kill.scope else UNKNOWN


def _add_to_total(connection: sqlite3.Connection, kill: OomKill) -> None:
    key = total_key(kill)
    if key is not None:
        connection.execute(
            "INSERT INTO total VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
            "processes = processes + excluded.processes, last_unix_s = MAX(last_unix_s, excluded.last_unix_s)",
            (*(to_sql(text) for text in key), kill.processes, kill.at_unix_s),
        )
