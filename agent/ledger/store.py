"""One door each for reads and writes of the ledger's file. A bad disk raises nothing here: ``trouble`` says what is wrong.

The thread that calls never syncs and, once checkpoints are made in the background, never waits for a file that has to be replaced.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Sequence
from math import inf
from pathlib import Path
from time import monotonic
from typing import Any

from agent.ledger.checkpoints import Checkpointer
from agent.ledger.opening import FAULTS, Opened, is_damage, open_file, open_in_memory

FILE = "ledger.sqlite3"
CHECKPOINT_ROWS = 500  # changed rows; some 4 MiB of log, at which SQLite would checkpoint by itself
MOST_RENEWALS = 3
MOST_WAIT_S = 1.0  # for the disk, before kills are reported though they are in memory only
END_S = 5.0


class Store:
    """``errors`` counts faults of the disk, ``renewed`` new files since the opening: into each, all has to be written again."""

    def __init__(self, state_dir: Path, boot_id: str, now_unix_s: float) -> None:
        self._path = state_dir / FILE
        self._boot_id = boot_id
        self._opened_unix_s = now_unix_s
        self._lasting: tuple[str, ...] = ()
        self._passing = ""
        self.errors = 0
        self.renewed = 0
        self._wake: Callable[[], None] | None = None
        self._checkpointer: Checkpointer | None = None
        self._checkpointed_rows = 0
        self._refused_since_s = inf
        self._replacing: threading.Thread | None = None
        self._put_off: str | None = None  # why the file is to be replaced, while no thread can be started
        self._replacement: Opened | None = None
        opened = open_file(self._path, boot_id, now_unix_s)
        self.seen_this_boot = opened.seen_this_boot
        self._use(opened)

    def _use(self, opened: Opened) -> None:
        self._connection, self._inode = opened.connection, opened.inode
        self._lasting = opened.notes if self.persistent else (*self._lasting, *opened.notes)
        self._passing = ""
        self.errors += len(opened.notes)
        if self._wake is not None:
            self.checkpoint_in_background(self._wake)

    @property
    def persistent(self) -> bool:
        """False: memory only."""
        return self._inode is not None

    @property
    def failing(self) -> bool:
        """Whether the last try to write or read failed, or the file is being replaced."""
        return bool(self._passing)

    @property
    def trouble(self) -> str | None:
        """What is wrong and what to do about it; None: nothing."""
        return "; ".join(text for text in (*self._lasting, self._passing) if text) or None

    def checkpoint_in_background(self, wake: Callable[[], None]) -> None:
        """From now on the calling thread makes no sync: see checkpoints.py. ``wake``: a write that was refused may be tried again.

        As long as no thread can be started for it, nothing is written: ``take_over`` tries again.
        """
        self._wake = wake
        if self.persistent:
            self._connection.execute("PRAGMA synchronous = OFF")
            self._connection.execute("PRAGMA wal_autocheckpoint = 0")
            self._checkpointed_rows = self._connection.total_changes
            try:
                self._checkpointer = Checkpointer(self._path, wake)
                self._passing = ""
            except RuntimeError as error:
                self._sync_here()
                self._no_thread("written", error)

    def _no_thread(self, what: str, error: RuntimeError) -> None:
        self._passing = (
            f"the ledger {self._path} can't be {what} just now ({error}): changes wait in memory, and it is tried again; look for "
            "what has taken all pids of the node, or of the agent's pod"
        )

    @property
    def _waits_for_file(self) -> bool:
        """It is being replaced, or is to be: nothing is read or written."""
        return self._replacing is not None or self._put_off is not None

    @property
    def _waits_for_checkpoints(self) -> bool:
        return self._wake is not None and self.persistent and self._checkpointer is None

    def transact(self, change: Callable[[sqlite3.Connection], object]) -> bool:
        """Apply a change in one transaction. False: it is not in the file, ``trouble`` says why; try again later.

        Without trouble the log is being started again: try when woken.
        """
        checkpointer, error = self._checkpointer, None
        if self._waits_for_file or self._waits_for_checkpoints:
            return False
        if checkpointer is not None and not checkpointer.may_write():
            self._refused(monotonic())
            return False
        self._refused_since_s = inf
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            change(self._connection)
            self._connection.execute("COMMIT")
        except FAULTS as failed:
            error = failed
            self._roll_back()
        finally:
            if checkpointer is not None:
                checkpointer.wrote()
        if error is not None:
            self._failed(error, "written")
            return False
        self._passing = ""
        if checkpointer is not None and self._connection.total_changes - self._checkpointed_rows >= CHECKPOINT_ROWS:
            self._checkpointed_rows = self._connection.total_changes
            checkpointer.want()
        return True

    def _refused(self, now_s: float) -> None:
        """The log is being started again, which waits for the disk: after MOST_WAIT_S nobody waits for it any more."""
        self._refused_since_s = min(self._refused_since_s, now_s)
        if now_s - self._refused_since_s >= MOST_WAIT_S:
            self._passing = (
                f"the ledger {self._path} can't be written: the disk has not answered for more than {MOST_WAIT_S:g} s; changes "
                "wait in memory and are tried again; look for a slow or broken disk"
            )

    def _roll_back(self) -> None:
        """A full disk or an I/O error has often rolled back already, and then says so by another error."""
        if self._connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")

    def read(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query; none, and ``trouble``, when the file can't be read."""
        if self._waits_for_file:
            return []
        try:
            return self._connection.execute(sql, values).fetchall()
        except FAULTS as error:
            self._failed(error, "read")
            return []

    def _failed(self, error: Exception, what: str) -> None:
        self.errors += 1
        if is_damage(error):
            self._renew(str(error))
            return
        self._passing = (
            f"the ledger {self._path} can't be {what} just now ({error}): changes wait in memory and are tried again; "
            "look for a full disk or another program that has the file open"
        )

    def look_after(self) -> None:
        """Notice that the file was removed or replaced: SQLite would write to the old one without an error."""
        if self.persistent and not self._waits_for_file and self._inode_now() != self._inode:
            self._renew("it was removed or replaced while in use")

    def _inode_now(self) -> int | None:
        try:
            return self._path.stat().st_ino
        except OSError:
            return None

    def _renew(self, why: str) -> None:
        """Start a new file, in another thread if this one must not wait: until ``take_over`` nothing is read or written.

        ``take_over`` tries again if no thread can be started.
        """
        self._put_off = None
        if self._wake is None:
            self._replace(why)
            self.take_over()
            return
        self._passing = f"the ledger {self._path} is being replaced ({why}): changes wait in memory"
        self._replacing = threading.Thread(target=self._replace, args=(why,), name="ledger replacement", daemon=True)
        try:
            self._replacing.start()
        except RuntimeError as error:
            self._replacing, self._put_off = None, why
            self._no_thread(f"replaced ({why})", error)

    def _replace(self, why: str) -> None:
        """The old file is closed first: SQLite removes a log by its name when the last connection ends."""
        self._end_checkpoints(None)
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()
        if self.renewed < MOST_RENEWALS:
            self._replacement = open_file(self._path, self._boot_id, self._opened_unix_s, why)
        else:
            self._replacement = open_in_memory(self._path, self._boot_id, why)
        if self._wake is not None:
            self._wake()

    def take_over(self) -> None:
        """Use the new file, if there is one. What no thread could be started for is tried again."""
        if self._put_off is not None:
            self._renew(self._put_off)
        elif self._replacing is None and self._waits_for_checkpoints and self._wake is not None:
            self.checkpoint_in_background(self._wake)
        if self._replacement is not None:
            opened, self._replacement, self._replacing = self._replacement, None, None
            self.renewed += 1
            self._use(opened)

    def end_background(self) -> None:
        """Before the last writes: wait END_S for a new file and END_S for a checkpoint; from now on this thread syncs itself."""
        if self._replacing is not None:
            self._replacing.join(END_S)
        self._wake = None
        self.take_over()
        self._end_checkpoints(END_S)

    def close(self) -> None:
        """The last connection's end writes SQLite's log into the file and syncs it."""
        if self._replacing is None:
            self._connection.close()

    def _end_checkpoints(self, wait_s: float | None) -> None:
        if self._checkpointer is not None:
            self._checkpointer.close(wait_s)
            self._checkpointer = None
            self._sync_here()

    def _sync_here(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self._connection.execute("PRAGMA synchronous = NORMAL")
