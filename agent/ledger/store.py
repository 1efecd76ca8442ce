"""The file itself: opened whatever state it is in, with memory to fall back on, and one door each for reads and writes.

A bad disk raises nothing here: ``trouble`` says what is wrong, ``errors`` counts. A file that can't be understood is set aside under
another name, never deleted. Knows no table but the schema's steps.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from agent.ledger.checkpoints import LARGEST_LOG_BYTES, Checkpointer
from agent.ledger.schema import NewerSchemaError, begin_boot, migrate

FILE = "ledger.sqlite3"
OPEN_WAIT_S = 1.0  # at the start somebody's backup may hold the lock; later nobody is waited for
CHECKED_BYTES = 16 << 20  # a larger file is not read through at the start; damage in it is found when it is met
CHECKPOINT_ROWS = 500  # changed rows; some 4 MiB of log, at which SQLite would checkpoint by itself
MOST_RENEWALS = 3
DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class Store:
    """``persistent`` False: memory only. ``renewed`` counts new files since the opening: all has to be written again."""

    def __init__(self, state_dir: Path, boot_id: str, now_unix_s: float) -> None:
        self._path = state_dir / FILE
        self._boot_id = boot_id
        self._opened_unix_s = now_unix_s
        self._lasting: str | None = None
        self._passing: str | None = None
        self.errors = 0
        self.renewed = 0
        self.persistent = True
        self._opened_inode: int | None = None
        self._wake: Callable[[], None] | None = None
        self._checkpointer: Checkpointer | None = None
        self._checkpointed_rows = 0
        self._connection, self.seen_this_boot = self._open()

    @property
    def trouble(self) -> str | None:
        """What is wrong and what to do about it; None: nothing."""
        return "; ".join(text for text in (self._lasting, self._passing) if text) or None

    # ------------------------------------------------------------------------------------------------------- opening

    def _open(self) -> tuple[sqlite3.Connection, bool]:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            try:
                return self._connect()
            except NewerSchemaError as error:
                self._set_aside("newer", str(error))
            except sqlite3.Error as error:
                if not _is_no_ledger(error):
                    raise
                self._set_aside("corrupt", str(error))
            return self._connect()
        except (OSError, sqlite3.Error) as error:
            return self._in_memory(error)

    def _connect(self) -> tuple[sqlite3.Connection, bool]:
        if self._path.exists() and not os.access(self._path, os.W_OK):
            raise PermissionError(f"{FILE} is not writable")
        connection = sqlite3.connect(self._path, timeout=OPEN_WAIT_S, isolation_level=None, check_same_thread=False)
        try:
            connection.execute(f"PRAGMA synchronous = {'NORMAL' if self._wake is None else 'OFF'}")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA journal_size_limit = {LARGEST_LOG_BYTES}")
            migrate(connection)
            if self._path.stat().st_size <= CHECKED_BYTES:
                (sound,) = connection.execute("PRAGMA quick_check(1)").fetchone()
                if sound != "ok":
                    raise _DamagedError(sound)
            seen = begin_boot(connection, self._boot_id)
            # What begin_boot may have left undone for a known boot: prove now that the file takes a write.
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
            connection.execute("PRAGMA busy_timeout = 0")
            self._opened_inode = self._inode()
        except BaseException:
            connection.close()
            raise
        return connection, seen

    def checkpoint_in_background(self, wake: Callable[[], None]) -> None:
        """From now on no sync is made by the calling thread: see checkpoints.py. ``wake`` as Checkpointer has it."""
        self._wake = wake
        if self.persistent:
            self._connection.execute("PRAGMA synchronous = OFF")
            self._connection.execute("PRAGMA wal_autocheckpoint = 0")
            self._checkpointed_rows = self._connection.total_changes
            self._checkpointer = Checkpointer(self._path, wake)

    def _in_memory(self, error: Exception) -> tuple[sqlite3.Connection, bool]:
        self.errors += 1
        self.persistent = False
        before = f"{self._lasting}; " if self._lasting else ""
        self._lasting = (
            f"{before}the ledger {self._path} can't be used ({error}): kills are kept in memory only and are lost at a restart; "
            "mend the state directory (--state-dir) and restart the agent"
        )
        connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        migrate(connection)
        return connection, begin_boot(connection, self._boot_id)

    def _set_aside(self, what: str, why: str) -> None:
        """Rename the file with its log, to a name that is free. Raises OSError."""
        self.errors += 1
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._opened_unix_s))
        aside, number = self._path.with_name(f"ledger.{what}-{stamp}.sqlite3"), 1
        while aside.exists():
            number += 1
            aside = self._path.with_name(f"ledger.{what}-{stamp}-{number}.sqlite3")
        for suffix in ("-wal", "-shm", ""):
            part = self._path.with_name(FILE + suffix)
            if part.exists():
                part.rename(aside.with_name(aside.name + suffix))
        known = "was written by a newer oomward" if what == "newer" else "was damaged"
        self._lasting = f"the ledger {known} ({why}): it was set aside as {aside}, and a new one was begun"

    def _renew(self, why: sqlite3.Error) -> None:
        """The file is damaged, or gone, while in use: start a new one; after some of these, stay in memory.

        The one case in which the caller waits for the disk: the old file is let go of first.
        """
        with contextlib.suppress(sqlite3.Error):
            self.close()
        self.renewed += 1
        try:
            if self.renewed > MOST_RENEWALS:
                raise why
            self._set_aside("corrupt", str(why))
            self._connection, _ = self._connect()
            if self._wake is not None:
                self.checkpoint_in_background(self._wake)
        except (OSError, sqlite3.Error, NewerSchemaError) as error:
            self._connection, _ = self._in_memory(error)

    # ------------------------------------------------------------------------------------------------ reads and writes

    @property
    def failing(self) -> bool:
        """Whether the last try to write or read failed."""
        return self._passing is not None

    def transact(self, change: Callable[[sqlite3.Connection], object]) -> bool:
        """Apply a change in one transaction. False: it is not in the file, ``trouble`` says why; try again later.

        Without trouble the log just begins again: try when woken.
        """
        checkpointer, error = self._checkpointer, None
        if checkpointer is not None and not checkpointer.may_write():
            return False
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            change(self._connection)
            self._connection.execute("COMMIT")
        except sqlite3.Error as failed:
            error = failed
            self._roll_back()
        finally:
            if checkpointer is not None:
                checkpointer.wrote()
        if error is not None:
            self._failed(error, "written")
            return False
        self._passing = None
        if checkpointer is not None and self._connection.total_changes - self._checkpointed_rows >= CHECKPOINT_ROWS:
            self._checkpointed_rows = self._connection.total_changes
            checkpointer.want()
        return True

    def _roll_back(self) -> None:
        """A full disk or an I/O error has often rolled back already, and then says so by another error."""
        if self._connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")

    def read(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query; none, and ``trouble``, when the file can't be read."""
        try:
            return self._connection.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            self._failed(error, "read")
            return []

    def _failed(self, error: sqlite3.Error, what: str) -> None:
        self.errors += 1
        if _is_damage(error):
            self._renew(error)
            return
        self._passing = (
            f"the ledger {self._path} can't be {what} just now ({error}): changes wait in memory and are tried again; "
            "look for a full disk or another program that has the file open"
        )

    def look_after(self) -> None:
        """Notice that somebody removed or replaced the file under us: what is written to it then is lost unseen."""
        if self.persistent and self._inode() != self._opened_inode:
            self._renew(sqlite3.OperationalError("it was removed or replaced while in use"))

    def _inode(self) -> int | None:
        try:
            return self._path.stat().st_ino
        except OSError:
            return None

    def close(self) -> None:
        """The last connection's end brings SQLite's log into the file and syncs it."""
        if self._checkpointer is None:
            self._connection.close()
            return
        with contextlib.suppress(sqlite3.Error):
            self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.close()
        self._checkpointer.close()
        self._checkpointer = None


class _DamagedError(sqlite3.DatabaseError):
    """PRAGMA quick_check found damage."""


def _code(error: sqlite3.Error) -> int:
    code = getattr(error, "sqlite_errorcode", None)
    return code if isinstance(code, int) else -1


def _is_damage(error: sqlite3.Error) -> bool:
    return isinstance(error, _DamagedError) or _code(error) & 0xFF in DAMAGE


def _is_no_ledger(error: sqlite3.Error) -> bool:
    """Damaged, or a database of somebody else: its tables are other than its version says (SQLITE_ERROR)."""
    return _is_damage(error) or _code(error) == sqlite3.SQLITE_ERROR
