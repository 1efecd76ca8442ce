"""Opens the ledger's file, in any state. What can't be understood is renamed, never deleted. Waits for the disk."""

from __future__ import annotations

import os
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

from agent.ledger.checkpoints import LARGEST_LOG_BYTES
from agent.ledger.rows import TEXT
from agent.ledger.schema import OtherSchemaError, begin_boot, prepare

OPEN_WAIT_S = 1.0  # at the start a backup may have the lock; later there is no wait
CHECKED_BYTES = 16 << 20  # a larger file is not read through at the start; damage in it is found when it is met
KNOWN_AS = {
    "corrupt": "was damaged",
    "newer": "was written by a newer oomward",
    "older": "was written by an older oomward",
}
DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
FAULTS = (sqlite3.Error, UnicodeDecodeError)  # the second: of a damaged column's name (Modules/_sqlite/cursor.c)


@dataclass(frozen=True, slots=True)
class Opened:
    """``inode`` is the file's; None: the ledger is in memory only. ``notes`` say what was wrong, and what to do."""

    connection: sqlite3.Connection
    inode: int | None
    seen_this_boot: bool
    notes: tuple[str, ...]


def open_file(path: Path, boot_id: str, now_unix_s: float, damage: str = "") -> Opened:
    """The ledger of this file; a new one if the file has ``damage`` or is no ledger; one in memory if there can be no file."""
    notes: tuple[str, ...] = ()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if damage:
            notes = (_set_aside(path, "corrupt", damage, now_unix_s),)
        try:
            return _connect(path, boot_id, notes)
        except OtherSchemaError as error:
            notes = (_set_aside(path, error.age, str(error), now_unix_s),)
        except FAULTS as error:
            if not _is_no_ledger(error):
                raise
            notes = (_set_aside(path, "corrupt", str(error), now_unix_s),)
        return _connect(path, boot_id, notes)
    except (OSError, *FAULTS) as error:
        return open_in_memory(path, boot_id, str(error), notes)


def open_in_memory(path: Path, boot_id: str, why: str, notes: tuple[str, ...] = ()) -> Opened:
    """A ledger that ends with the process."""
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    prepare(connection)
    note = (
        f"the ledger {path} can't be used ({why}): kills are kept in memory only and are lost at a restart; "
        "fix the state directory (--state-dir) and restart the agent"
    )
    return Opened(connection, None, begin_boot(connection, boot_id), (*notes, note))


def _connect(path: Path, boot_id: str, notes: tuple[str, ...]) -> Opened:
    """Raises OSError, sqlite3.Error."""
    if path.exists() and not os.access(path, os.W_OK):
        raise PermissionError(f"{path.name} is not writable")
    connection = sqlite3.connect(path, timeout=OPEN_WAIT_S, isolation_level=None, check_same_thread=False)
    connection.text_factory = TEXT
    try:
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA journal_size_limit = {LARGEST_LOG_BYTES}")
        prepare(connection)
        if path.stat().st_size <= CHECKED_BYTES:
            (sound,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if sound != "ok":
                damage = sqlite3.DatabaseError(sound)
                damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
                raise damage
        seen = begin_boot(connection, boot_id)
        # For the same boot nothing was written: prove that the file takes a write.
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
        connection.execute("PRAGMA busy_timeout = 0")
        return Opened(connection, path.stat().st_ino, seen, notes)
    except BaseException:
        connection.close()
        raise


def _set_aside(path: Path, what: str, why: str, now_unix_s: float) -> str:
    """Rename the file and its log to a name that is free. Raises OSError."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_unix_s))
    aside, number = path.with_name(f"ledger.{what}-{stamp}.sqlite3"), 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"ledger.{what}-{stamp}-{number}.sqlite3")
    for suffix in ("-wal", "-shm", ""):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    return f"the ledger {KNOWN_AS[what]} ({why}): it was set aside as {aside}, and a new one was started"


def _code(error: Exception) -> int:
    return int(getattr(error, "sqlite_errorcode", -1))  # errors of the module itself have none


def is_damage(error: Exception) -> bool:
    """``error`` is one of FAULTS."""
    return isinstance(error, UnicodeDecodeError) or _code(error) & 0xFF in DAMAGE


def _is_no_ledger(error: Exception) -> bool:
    """Damaged, or another program's database: its tables are other than its version says (SQLITE_ERROR)."""
    return is_damage(error) or _code(error) == sqlite3.SQLITE_ERROR
