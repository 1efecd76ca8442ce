"""The file itself: opening whatever state it is in, falling back to memory, and one door for every write.

A bad disk is said in ``trouble`` and counted; what could not be written waits here and is tried again.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from agent.ledger.schema import NewerSchemaError, migrate

FILE = "ledger.sqlite3"
MOST_PENDING = 100_000
Write = Callable[[sqlite3.Connection], object]


class Store:
    """``connection`` is the file's, or a memory database's when the file can't be had (``persistent`` False)."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / FILE
        self.trouble: str | None = None
        self.errors = 0
        self._pending: deque[Write] = deque(maxlen=MOST_PENDING)
        self.connection, self.persistent = self._open()

    def _open(self) -> tuple[sqlite3.Connection, bool]:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            return self._connect_file(), True
        except NewerSchemaError as error:
            self._set_aside("newer", str(error))
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError) and "malformed" not in str(error):
                return self._in_memory(error), False
            self._set_aside("corrupt", str(error))
        except OSError as error:
            return self._in_memory(error), False
        try:
            return self._connect_file(), True
        except (sqlite3.Error, OSError) as error:
            return self._in_memory(error), False

    def _connect_file(self) -> sqlite3.Connection:
        if self._path.exists() and not os.access(self._path, os.W_OK):
            raise PermissionError(f"{self._path} is not writable")
        connection = sqlite3.connect(self._path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA wal_autocheckpoint = 1000")
            migrate(connection)
            (sound,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if sound != "ok":
                raise sqlite3.DatabaseError(f"malformed: {sound}")
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        except BaseException:
            connection.close()
            raise
        return connection

    def _in_memory(self, error: Exception) -> sqlite3.Connection:
        self.trouble = (
            f"the ledger {self._path} can't be used ({error}): kills are kept in memory only and are lost at a restart; "
            "mend the state directory (--state-dir) and restart the agent"
        )
        self.errors += 1
        connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        migrate(connection)
        return connection

    def _set_aside(self, what: str, why: str) -> None:
        aside = self._path.with_name(f"ledger.{what}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.sqlite3")
        for suffix in ("", "-wal", "-shm"):
            part = self._path.with_name(self._path.name + suffix)
            if part.exists():
                part.rename(aside.with_name(aside.name + suffix))
        self.trouble = f"the ledger was {what} ({why}): it was set aside as {aside} and a new one was begun"
        self.errors += 1

    # -------------------------------------------------------------------------------------------------------- writes

    def write(self, change: Write) -> bool:
        """Apply a change in one transaction, after those that wait. False: it waits now itself."""
        self._pending.append(change)
        return self.flush()

    def flush(self) -> bool:
        """Try the changes that wait, oldest first. True: none waits any more."""
        while self._pending:
            try:
                self.connection.execute("BEGIN IMMEDIATE")
                self._pending[0](self.connection)
                self.connection.execute("COMMIT")
            except sqlite3.Error as error:
                self._roll_back()
                self.errors += 1
                self.trouble = (
                    f"the ledger can't be written just now ({error}): {len(self._pending)} changes wait in memory"
                )
                return False
            self._pending.popleft()
        if self.persistent and self.trouble is not None and "just now" in self.trouble:
            self.trouble = None
        return True

    def _roll_back(self) -> None:
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

    @property
    def pending(self) -> int:
        """Changes that wait for the disk."""
        return len(self._pending)

    def close(self) -> None:
        self.flush()
        self.connection.close()
