"""The questions that both the agent's ledger and the reader beside it ask of the kills. SQL and rows in, records out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from agent.ledger.rows import BadRowError, kill_of, to_sql
from agent.model import OomKill, kills_of_cgroup


def kills_query(
    since_unix_s: float, namespace: str | None, pod: str | None, limit: int
) -> tuple[str, tuple[object, ...]]:
    """Kills, newest first; None matches any."""
    wheres = ["at_unix_s >= ?"]
    asked: list[object] = [since_unix_s]
    for column, value in (("namespace", namespace), ("pod", pod)):
        if value is not None:
            wheres.append(f"{column} = ?")
            asked.append(to_sql(value))
    sql = f"SELECT body, outcome FROM kill WHERE {' AND '.join(wheres)} ORDER BY at_unix_s DESC, rowid DESC LIMIT ?"
    return sql, (*asked, max(0, limit))


def kills_in_query(pod_uid: str, boot_id: str, inode: int) -> tuple[str, tuple[object, ...]]:
    """Kills that one cgroup's counter showed."""
    named = kills_of_cgroup(boot_id, inode)
    sql = "SELECT body, outcome FROM kill WHERE pod_uid = ? AND substr(kill_id, 1, ?) = ?"
    return sql, (to_sql(pod_uid), len(named), named)


def kills_from(rows: Iterable[tuple[Any, ...]]) -> tuple[list[OomKill], int]:
    """The kills of rows, and how many rows could not be read."""
    kills, bad = [], 0
    for body, outcome in rows:
        try:
            kills.append(kill_of(body, outcome))
        except BadRowError:
            bad += 1
    return kills, bad
