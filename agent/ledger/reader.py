"""Reads a ledger beside the agent that writes it: for commands."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from agent.ledger.ledger import read_kills
from agent.ledger.store import FILE
from agent.model import OomKill


class NoLedgerError(RuntimeError):
    """There is no ledger to read."""


class LedgerReader:
    """Opens read-only (WAL lets it read beside the writer). Raises NoLedgerError."""

    def __init__(self, state_dir: Path) -> None:
        path = state_dir / FILE
        try:
            self._connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=1.0)
            self._connection.execute("SELECT 1 FROM kill LIMIT 1")
        except sqlite3.Error as error:
            raise NoLedgerError(
                f"no ledger to read at {path} ({error}): is this the agent's state directory (--state-dir)?"
            ) from error

    def kills(
        self, *, since_unix_s: float = 0.0, namespace: str | None = None, pod: str | None = None, limit: int = 1000
    ) -> list[OomKill]:
        """Kills, newest first."""
        return read_kills(self._connection, since_unix_s=since_unix_s, namespace=namespace, pod=pod, limit=limit)

    def close(self) -> None:
        self._connection.close()
