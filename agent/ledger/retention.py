"""What the ledger keeps; the rest is deleted in small batches, so that the loop never pauses for it.

Kills and totals are kept by age and number; beyond it the oldest go of the namespace and pod with the most, so that a pod with very
many pushes out nobody else's. Events until a day after their delivery (that long a name is remembered as sent), running totals until 30
days after their last kill. Looks only after something was added, and once an hour: an idle agent writes nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

from agent.ledger.rows import Row

HOUR_S, DAY_S = 3600.0, 86400.0
MOST_TOTALS = 10_000
# Each with the time before which rows are deleted, or the number that is kept.
OLD_KILLS = "kill", "at_unix_s < ? ORDER BY at_unix_s"
OLD_TOTALS = "total", "last_unix_s < ? ORDER BY last_unix_s"
# The highest places are of the namespace and pod with the most: their oldest.
EXCESS_TOTALS = (
    "SELECT id FROM (SELECT id, ROW_NUMBER() OVER (PARTITION BY namespace ORDER BY of_pod, last_unix_s DESC) AS place FROM "
    "(SELECT rowid AS id, namespace, last_unix_s, ROW_NUMBER() OVER (PARTITION BY namespace, pod ORDER BY last_unix_s DESC) AS of_pod "
    "FROM total)) ORDER BY place DESC LIMIT MIN(?, (SELECT COUNT(*) FROM total) - ?)"
)
MOST_KILLS_OF = (
    "SELECT pod_uid FROM share WHERE namespace = (SELECT namespace FROM share GROUP BY namespace ORDER BY SUM(kills) DESC LIMIT 1) "
    "ORDER BY kills DESC LIMIT 1"
)
OLD_NOTICES = "notice", "outcome IS NOT NULL AND at_unix_s < ? ORDER BY at_unix_s"


class Retention:
    """``read`` is the store's."""

    def __init__(self, read: Callable[[str, Sequence[object]], list[Row]]) -> None:
        self._read = read
        self._looked_unix_s: float | None = None

    def added(self) -> None:
        """There are new rows."""
        self._looked_unix_s = None

    def too_many(self, now_unix_s: float, keep_days: int, keep_count: int, batch: int) -> dict[str, list[int]]:
        """Row ids by table, at most ``batch`` each, of rows that are past their time or beyond the number that is kept."""
        if self._looked_unix_s is not None and abs(now_unix_s - self._looked_unix_s) < HOUR_S:
            return {}
        bounds = (
            (OLD_KILLS, now_unix_s - keep_days * DAY_S),
            (OLD_TOTALS, now_unix_s - 30 * DAY_S),
            (OLD_NOTICES, now_unix_s - DAY_S),
        )
        found: dict[str, list[int]] = {}
        for (table, where), bound in bounds:
            if table not in found:
                rows = self._read(f"SELECT rowid FROM {table} WHERE {where} LIMIT ?", (bound, batch))
                found |= {table: [rowid for (rowid,) in rows]} if rows else {}
        if "kill" not in found and (excess := self._excess_kills(keep_count, batch)):
            found["kill"] = excess
        if "total" not in found and (excess := self._excess_totals(batch)):
            found["total"] = excess
        if not found:
            self._looked_unix_s = now_unix_s
        return found

    def _excess_totals(self, batch: int) -> list[int]:
        """Likewise, and a hundredth more, so that it isn't asked for each kill."""
        if not self._read("SELECT 1 FROM total LIMIT 1 OFFSET ?", (MOST_TOTALS,)):
            return []
        return [rowid for (rowid,) in self._read(EXCESS_TOTALS, (batch, MOST_TOTALS - MOST_TOTALS // 100))]

    def _excess_kills(self, keep_count: int, batch: int) -> list[int]:
        """The oldest of the namespace and pod with the most."""
        ((kept,),) = self._read("SELECT COALESCE(SUM(kills), 0) FROM share", ()) or ((0,),)
        if kept <= keep_count:
            return []
        rows = self._read(
            f"SELECT rowid FROM kill WHERE pod_uid IS (SELECT NULLIF(({MOST_KILLS_OF}), '')) ORDER BY at_unix_s LIMIT ?",
            (min(batch, kept - keep_count),),
        )
        return [rowid for (rowid,) in rows]


def drop(connection: sqlite3.Connection, rows: dict[str, list[int]]) -> None:
    """Delete them. Raises sqlite3.Error."""
    for table, chosen in rows.items():
        connection.executemany(f"DELETE FROM {table} WHERE rowid = ?", [(rowid,) for rowid in chosen])
