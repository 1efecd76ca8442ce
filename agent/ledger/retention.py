"""What the ledger keeps; the rest is deleted in small batches, so that the loop never pauses for it.

Kills are kept by age and number, Events until a day after their delivery (that long a name is remembered as sent), running totals until 30
days after their last kill. Looks only after something was added, and once an hour: an idle agent writes nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

from agent.ledger.rows import Row

HOUR_S, DAY_S = 3600.0, 86400.0
TOTALS_KEEP_S = 30 * DAY_S
MOST_TOTALS = 10_000
DELIVERED_KEEP_S = DAY_S

Rows = dict[str, list[int]]  # rowids by table


class Retention:
    """Counts the rows once; from then on ``added`` says how many are new. ``read`` is the store's."""

    def __init__(self, read: Callable[[str, Sequence[object]], list[Row]]) -> None:
        self._read = read
        self._at_most = {table: self._count(table) for table in ("kill", "total")}
        self._looked_unix_s: float | None = None

    def added(self, kills: int) -> None:
        """That many kills more, and at most as many totals."""
        for table in self._at_most:
            self._at_most[table] += kills
        self._looked_unix_s = None

    def too_many(self, now_unix_s: float, keep_days: int, keep_count: int, batch: int) -> Rows:
        """The oldest ``batch`` rows of each table that are past their time or beyond the number that is kept."""
        if self._looked_unix_s is not None and abs(now_unix_s - self._looked_unix_s) < HOUR_S:
            return {}
        rows = {
            "kill": self._oldest("kill", "at_unix_s", now_unix_s - keep_days * DAY_S, batch)
            or self._excess("kill", "at_unix_s", keep_count, batch),
            "total": self._oldest("total", "last_unix_s", now_unix_s - TOTALS_KEEP_S, batch)
            or self._excess("total", "last_unix_s", MOST_TOTALS, batch),
            "notice": self._oldest("notice", "outcome IS NOT NULL AND at_unix_s", now_unix_s - DELIVERED_KEEP_S, batch),
        }
        found = {table: chosen for table, chosen in rows.items() if chosen}
        if not found:
            self._looked_unix_s = now_unix_s
        return found

    def drop(self, connection: sqlite3.Connection, rows: Rows) -> None:
        """Delete them. Raises sqlite3.Error."""
        for table, chosen in rows.items():
            connection.executemany(f"DELETE FROM {table} WHERE rowid = ?", [(rowid,) for rowid in chosen])

    def dropped(self, rows: Rows) -> None:
        """They were deleted, and that is committed."""
        for table in self._at_most:
            self._at_most[table] -= len(rows.get(table, ()))

    def _oldest(self, table: str, time: str, before_unix_s: float, batch: int) -> list[int]:
        order = time.rpartition(" ")[2]
        sql = f"SELECT rowid FROM {table} WHERE {time} < ? ORDER BY {order} LIMIT ?"
        return [rowid for (rowid,) in self._read(sql, (before_unix_s, batch))]

    def _excess(self, table: str, time: str, most: int, batch: int) -> list[int]:
        if self._at_most[table] <= most:
            return []
        self._at_most[table] = self._count(table)
        excess = max(0, min(batch, self._at_most[table] - most))
        return [rowid for (rowid,) in self._read(f"SELECT rowid FROM {table} ORDER BY {time} LIMIT ?", (excess,))]

    def _count(self, table: str) -> int:
        rows = self._read(f"SELECT COUNT(*) FROM {table}", ())
        return int(rows[0][0]) if rows else 0
