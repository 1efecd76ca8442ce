"""Reads a ledger beside the agent that writes it, or without one: for commands. Never writes, never sets aside."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent.ledger.queries import kills_from, kills_in_query, kills_query
from agent.ledger.rows import DECISION_COLUMNS, decisions_of, from_sql, originals_of, to_sql
from agent.ledger.store import FILE
from agent.model import AgentError, KeptDecision, OomKill, Original

READ_WAIT_S = 1.0


class NoLedgerError(AgentError):
    """There is no ledger to read, or it can't be read."""


class LedgerReader:
    """Opens read-only (WAL lets it read beside the writer). Raises NoLedgerError. ``bad_rows`` were passed over."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / FILE
        self.bad_rows = 0
        try:
            uri = f"{self._path.resolve().as_uri()}?mode=ro"
            self._connection = sqlite3.connect(uri, uri=True, timeout=READ_WAIT_S, isolation_level=None)
        except sqlite3.Error as error:
            raise self._no_ledger(error) from error
        try:
            self._connection.execute("SELECT body, outcome FROM kill LIMIT 1")
        except sqlite3.Error as error:
            self._connection.close()
            raise self._no_ledger(error) from error

    def _no_ledger(self, error: sqlite3.Error) -> NoLedgerError:
        return NoLedgerError(
            f"no ledger to read at {self._path} ({error}): is this the agent's state directory (--state-dir), and has the "
            "agent run?"
        )

    def kills(
        self, *, since_unix_s: float = 0.0, namespace: str | None = None, pod: str | None = None, limit: int = 1000
    ) -> list[OomKill]:
        """Kills, newest first; None matches any. Raises NoLedgerError."""
        kills, bad = kills_from(self._read(*kills_query(since_unix_s, namespace, pod, limit)))
        self.bad_rows += bad
        return kills

    def processes_killed(self) -> dict[tuple[str, str], int]:
        """Processes killed by (pod uid, container name), as far back as kills are kept. Raises NoLedgerError."""
        sql = (
            "SELECT pod_uid, container, SUM(processes) FROM kill WHERE pod_uid IS NOT NULL GROUP BY pod_uid, container"
        )
        return {(from_sql(uid), from_sql(container)): int(killed) for uid, container, killed in self._read(sql)}

    def kills_in(self, pod_uid: str, boot_id: str, inode: int) -> list[OomKill]:
        """All kills that are kept of one cgroup of that boot, in any order. Raises NoLedgerError."""
        kills, bad = kills_from(self._read(*kills_in_query(pod_uid, boot_id, inode)))
        self.bad_rows += bad
        return kills

    def kept_decisions(self) -> tuple[KeptDecision, ...]:
        """What was last decided for each container. Raises NoLedgerError."""
        sql = f"SELECT {DECISION_COLUMNS} FROM decision"
        return tuple(decision for decisions in decisions_of(self._read(sql)).values() for decision in decisions)

    def originals(self, boot_id: str) -> tuple[Original, ...]:
        """Values from before our first writes in this boot; none when the ledger is of another one. Raises NoLedgerError."""
        if not self._read("SELECT 1 FROM boot WHERE id = ?", (to_sql(boot_id),)):
            return ()
        return tuple(originals_of(self._read("SELECT inode, path, value, pod_uid, at_unix_s FROM original")).values())

    def _read(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise self._no_ledger(error) from error

    def close(self) -> None:
        self._connection.close()
