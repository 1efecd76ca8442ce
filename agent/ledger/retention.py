"""What the ledger keeps, and the dropping of the rest in small batches, so that the loop never pauses for it.

Works on an open connection inside the caller's transaction. Kills go by age and number, Events a day after their
delivery (so long a name is remembered as sent), running totals when no kill joined them for 30 days.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

DAY_S = 86400.0
TOTALS_KEEP_S = 30 * DAY_S
MOST_TOTALS = 10_000
DELIVERED_KEEP_S = DAY_S


@dataclass(slots=True)
class Retention:
    """``batch`` rows of each kind are dropped at most at a time."""

    now_unix_s: float
    keep_days: int
    keep_count: int
    batch: int
    dropped: int = 0

    def apply(self, connection: sqlite3.Connection) -> None:
        """Drop. Raises sqlite3.Error."""
        oldest_unix_s = self.now_unix_s - self.keep_days * DAY_S
        old = self._drop(connection, "kill", "at_unix_s < ?", "at_unix_s", (oldest_unix_s,), self.batch)
        self.dropped = (
            old
            + self._drop(connection, "kill", "1", "at_unix_s", (), self._excess(connection, "kill", self.keep_count))
            + self._drop(
                connection,
                "notice",
                "outcome IS NOT NULL AND at_unix_s < ?",
                "at_unix_s",
                (self.now_unix_s - DELIVERED_KEEP_S,),
                self.batch,
            )
            + self._drop(
                connection, "total", "last_unix_s < ?", "last_unix_s", (self.now_unix_s - TOTALS_KEEP_S,), self.batch
            )
            + self._drop(connection, "total", "1", "last_unix_s", (), self._excess(connection, "total", MOST_TOTALS))
        )

    def _excess(self, connection: sqlite3.Connection, table: str, most: int) -> int:
        (count,) = connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()
        return max(0, min(self.batch, int(count) - most))

    @staticmethod
    def _drop(
        connection: sqlite3.Connection, table: str, where: str, oldest: str, values: tuple[object, ...], most: int
    ) -> int:
        if most <= 0:
            return 0
        chosen = f"SELECT rowid FROM {table} WHERE {where} ORDER BY {oldest} LIMIT ?"
        return connection.execute(f"DELETE FROM {table} WHERE rowid IN ({chosen})", (*values, most)).rowcount
