"""Changes on their way to the file, merged by what they are about, so that they stay few however long the disk is away.

Writing the same changes twice is harmless: a kill is known by its id. Does not open, commit or catch anything.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

from agent.ledger.rows import KILL_COLUMNS, Row, kill_row, notice_row, row_of, to_sql
from agent.model import Baseline, Exceeded, KeptDecision, Notice, OomKill, Original, Outcome
from agent.wording.shares import beyond

TotalKey = tuple[str, str, str, str, str]  # namespace, pod, container, mode, scope
UNKNOWN = "unknown"
MOST_KILLS = 20_000  # some 2 KiB each, in an agent of 64 MiB
MOST_NOTICES = 5_000


@dataclass(slots=True)
class Unwritten:
    """None as a value: the row is deleted. ``dropped`` counts kills and Events that had no room."""

    kills: dict[str, OomKill] = field(default_factory=dict)
    outcomes: dict[str, tuple[Outcome | None, str]] = field(default_factory=dict)
    amended: dict[str, OomKill] = field(default_factory=dict)
    baselines: dict[int, Baseline | None] = field(default_factory=dict)
    originals: dict[int, Original | None] = field(default_factory=dict)
    exceeded: dict[int, Exceeded | None] = field(default_factory=dict)
    decisions: dict[str, tuple[KeptDecision, ...]] = field(default_factory=dict)
    notices: dict[str, Notice] = field(default_factory=dict)
    delivered: dict[str, str] = field(default_factory=dict)
    forgotten_totals: list[tuple[str, str, str]] = field(default_factory=list)
    kmsg_sequence: int | None = None
    dropped: int = 0

    def __len__(self) -> int:
        tables = (getattr(self, each.name) for each in fields(self))
        return sum(len(one) for one in tables if isinstance(one, dict | list)) + (self.kmsg_sequence is not None)

    def add_kills(self, kills: Iterable[OomKill]) -> None:
        """Kills to be recorded; one that waits already stays as it is."""
        for kill in kills:
            self.kills.setdefault(kill.kill_id, kill)
        for kill_id in beyond(self.kills, MOST_KILLS, lambda _, kill: (kill.namespace or "", kill.pod_uid or "")):
            del self.kills[kill_id]
            self.outcomes.pop(kill_id, None)
            self.amended.pop(kill_id, None)
            self.dropped += 1

    def put_notice(self, notice: Notice) -> None:
        """An Event as it is now; it is to be delivered (again)."""
        self.delivered.pop(notice.name, None)
        self.notices[notice.name] = notice
        for name in beyond(self.notices, MOST_NOTICES, lambda _, one: (one.about.namespace, one.about.uid)):
            del self.notices[name]
            self.dropped += 1

    def seen(self, kill: OomKill) -> OomKill:
        """A kill of the file or of here, with the changes that wait."""
        newer = self.amended.get(kill.kill_id, kill)
        outcome, _ = self.outcomes.get(kill.kill_id, (None, ""))
        return replace(newer, outcome=outcome or newer.outcome or kill.outcome)

    def apply(self, connection: sqlite3.Connection, boot_id: str) -> None:
        """Write all of it. Raises sqlite3.Error."""
        keys = [tuple(to_sql(text) for text in key) for key in self.forgotten_totals]
        connection.executemany("DELETE FROM total WHERE namespace = ? AND pod = ? AND container = ?", keys)
        self._apply_kills(connection)
        self._apply_by_inode(connection)
        for pod_uid, decisions in self.decisions.items():
            connection.execute("DELETE FROM decision WHERE pod_uid = ?", (to_sql(pod_uid),))
            _insert(connection, "INSERT INTO decision", [row_of(decision) for decision in decisions])
        _insert(connection, "INSERT OR REPLACE INTO notice", [notice_row(notice) for notice in self.notices.values()])
        done = [(outcome, to_sql(name)) for name, outcome in self.delivered.items()]
        connection.executemany("UPDATE notice SET outcome = ? WHERE name = ?", done)
        if self.kmsg_sequence is not None:
            connection.execute("UPDATE boot SET kmsg_sequence = ? WHERE id = ?", (self.kmsg_sequence, boot_id))

    def _apply_kills(self, connection: sqlite3.Connection) -> None:
        for kill in self.kills.values():
            if _insert(connection, f"INSERT OR IGNORE INTO kill ({KILL_COLUMNS})", [kill_row(kill)]):
                _add_to_total(connection, kill)
        for kill in self.amended.values():
            kill_id, *row = kill_row(kill)
            connection.execute(
                "UPDATE kill SET at_unix_s = ?, namespace = ?, pod = ?, pod_uid = ?, container = ?, mode = ?, scope = ?, "
                "processes = ?, outcome = COALESCE(?, outcome), body = ? WHERE kill_id = ?",
                (*row, kill_id),
            )
        settled = [(outcome, to_sql(notice), kill_id) for kill_id, (outcome, notice) in self.outcomes.items()]
        connection.executemany("UPDATE kill SET outcome = COALESCE(?, outcome), notice = ? WHERE kill_id = ?", settled)

    def _apply_by_inode(self, connection: sqlite3.Connection) -> None:
        tables: dict[str, Mapping[int, Baseline | Original | Exceeded | None]] = {
            "baseline": self.baselines,
            "original": self.originals,
            "exceeded": self.exceeded,
        }
        for table, records in tables.items():
            deleted = [(inode,) for inode, record in records.items() if record is None]
            connection.executemany(f"DELETE FROM {table} WHERE inode = ?", deleted)
            rows = [row_of(record) for record in records.values() if record is not None]
            _insert(connection, f"INSERT OR REPLACE INTO {table}", rows)


def _insert(connection: sqlite3.Connection, into: str, rows: Sequence[Row]) -> int:
    """Insert rows; returns how many were."""
    if not rows:
        return 0
    return connection.executemany(f"{into} VALUES ({', '.join('?' * len(rows[0]))})", rows).rowcount


def total_key(kill: OomKill) -> TotalKey | None:
    """The metric's series that counts this kill; None for kills outside of known pods."""
    if kill.namespace is None or kill.pod is None:
        return None
    return kill.namespace, kill.pod, kill.container or "", kill.mode or UNKNOWN, kill.scope or UNKNOWN


def _add_to_total(connection: sqlite3.Connection, kill: OomKill) -> None:
    key = total_key(kill)
    if key is not None:
        connection.execute(
            "INSERT INTO total VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
            "processes = processes + excluded.processes, last_unix_s = MAX(last_unix_s, excluded.last_unix_s)",
            (*(to_sql(text) for text in key), kill.processes, kill.at_unix_s),
        )
