"""Reads a ledger beside the agent that writes it, or without one: for commands. Never writes, never sets aside."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from agent.ledger.queries import kills_from, kills_query
from agent.ledger.store import FILE
from agent.model import AgentError, OomKill

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
        try:
            rows = self._connection.execute(*kills_query(since_unix_s, namespace, pod, limit)).fetchall()
        except sqlite3.Error as error:
            raise self._no_ledger(error) from error
        kills, bad = kills_from(rows)
        self.bad_rows += bad
        return kills

    def close(self) -> None:
        self._connection.close()
