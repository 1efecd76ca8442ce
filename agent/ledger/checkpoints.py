"""Brings SQLite's write-ahead log into the file, in a thread of its own: the only one that waits for the disk.

With ``synchronous = NORMAL`` SQLite syncs three things in WAL mode (wal.c): the log before a checkpoint, the file after it, and the
log's header when the log starts again at its beginning. This thread makes the first two, since it alone checkpoints; PASSIVE keeps no
writer out meanwhile. The third falls to the first writer after a checkpoint of everything; without it a power cut could leave a
part of the old log valid over a newer file. So a read transaction stays open here: its mark keeps every writer from starting the
log again (walRestartLog), and only this thread ends it, to write the first frame itself. So the loop's connection can
have ``synchronous = OFF``: it never syncs, a kill -9 loses nothing (the kernel has what was written), and after a power cut the file
is as sound as with NORMAL: the last transactions may be missing, none is there in part.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

WAIT_S = 1.0  # for another program that has the file locked
LARGEST_LOG_BYTES = 4 << 20  # to which a log that starts again is cut
MOST_FRAMES = 8000  # 32 MiB: with more, writers are kept out until all is in the file


class Checkpointer:
    """Of one file. Its thread calls ``wake`` when a writer that was refused may try again."""

    def __init__(self, path: Path, wake: Callable[[], None]) -> None:
        self._path = path
        self._wake = wake
        self._wanted = threading.Event()
        self._closing = False
        self._refused = False
        self._writer = threading.Lock()
        self._writer.acquire()  # no writes before the log has a first frame and its mark
        self._open: tuple[sqlite3.Connection, sqlite3.Connection] | None = None
        self._thread = threading.Thread(target=self._run, name="ledger checkpoints", daemon=True)
        self._thread.start()

    def may_write(self) -> bool:
        """Before a transaction; ``wrote`` follows it. False: the log is being started again, ``wake`` will be called. Never waits."""
        self._refused = True  # first: else the lock could be released between the two, and no one woken
        if not self._writer.acquire(blocking=False):
            return False
        self._refused = False
        return True

    def wrote(self) -> None:
        """The transaction is over."""
        self._writer.release()

    def want(self) -> None:
        """The log has grown."""
        self._wanted.set()

    def close(self, wait_s: float | None) -> None:
        """End the thread and wait for it (None: without a limit); the last connection's end brings the rest of the log into the file."""
        self._closing = True
        self._wanted.set()
        self._thread.join(wait_s)

    def _run(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self._begin_log(*self._connections())
        self._release()
        while self._wanted.wait():
            self._wanted.clear()  # before the look at _closing: close() sets that first
            if self._closing:
                break
            with contextlib.suppress(sqlite3.Error):  # a bad disk: the writer meets it too, and reports it
                self._checkpoint(*self._connections())
        for connection in reversed(self._open or ()):
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def _connections(self) -> tuple[sqlite3.Connection, sqlite3.Connection]:
        if self._open is None:
            work, mark = (
                sqlite3.connect(self._path, timeout=WAIT_S, isolation_level=None, check_same_thread=False)
                for _ in range(2)
            )
            work.execute("PRAGMA synchronous = NORMAL")
            work.execute("PRAGMA wal_autocheckpoint = 0")
            work.execute(f"PRAGMA journal_size_limit = {LARGEST_LOG_BYTES}")
            self._open = work, mark
        return self._open

    def _checkpoint(self, work: sqlite3.Connection, mark: sqlite3.Connection) -> None:
        with self._alone():
            _set_mark(mark)  # at the newest frame: a checkpoint stops at the oldest mark
        frames = _passive(work)
        with self._alone():
            if frames > MOST_FRAMES:
                mark.execute("ROLLBACK")
                _passive(work)
            self._begin_log(work, mark)

    def _begin_log(self, work: sqlite3.Connection, mark: sqlite3.Connection) -> None:
        """Write a frame: the first of a log that starts again if all of it is in the file, else one more.

        So a part of the log is not in the file, and the new mark counts: a reader of the file alone keeps no writer from starting it again.
        """
        if mark.in_transaction:
            mark.execute("ROLLBACK")
        try:
            with work:  # commits, or rolls back
                work.execute("BEGIN IMMEDIATE")
                work.execute("INSERT INTO boot VALUES ('', NULL)")
                work.execute("DELETE FROM boot WHERE id = ''")
        finally:
            _set_mark(mark)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        self._writer.acquire()
        try:
            yield
        finally:
            self._release()

    def _release(self) -> None:
        self._writer.release()
        if self._refused:
            self._wake()


def _set_mark(mark: sqlite3.Connection) -> None:
    if mark.in_transaction:
        mark.execute("ROLLBACK")
    mark.execute("BEGIN")
    mark.execute("SELECT 1 FROM boot").fetchone()


def _passive(work: sqlite3.Connection) -> int:
    """Checkpoint what the marks allow; returns how many frames the log has."""
    _, frames, _ = work.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return int(frames)
