"""The ledger's tables, and their version (PRAGMA user_version), which rises with every change of them."""

from __future__ import annotations

import sqlite3

VERSION = 4
# kill.notice: the Event that counts the kill, '' if none can; NULL: none does yet.
# kill_by_pod has `processes`: a container's kills are summed at each of them, without a look at the rows.
# share: how many kills of each pod ('': none) are kept; so that a look at who has the most costs nothing.
TABLES = """
    CREATE TABLE boot (id TEXT PRIMARY KEY, kmsg_sequence INTEGER);
    CREATE TABLE kill (
        kill_id TEXT PRIMARY KEY, at_unix_s REAL NOT NULL, namespace TEXT, pod TEXT, pod_uid TEXT, container TEXT,
        mode TEXT, scope TEXT, processes INTEGER NOT NULL, outcome TEXT, body TEXT NOT NULL, notice TEXT
    );
    CREATE INDEX kill_by_time ON kill (at_unix_s);
    CREATE INDEX kill_by_pod ON kill (pod_uid, at_unix_s, container, processes);
    CREATE INDEX kill_uncounted ON kill (at_unix_s) WHERE notice IS NULL;
    CREATE TABLE share (pod_uid TEXT PRIMARY KEY, namespace TEXT NOT NULL, kills INTEGER NOT NULL);
    CREATE TRIGGER kill_added AFTER INSERT ON kill BEGIN
        INSERT OR IGNORE INTO share VALUES (COALESCE(NEW.pod_uid, ''), COALESCE(NEW.namespace, ''), 0);
        UPDATE share SET kills = kills + 1 WHERE pod_uid = COALESCE(NEW.pod_uid, '');
    END;
    CREATE TRIGGER kill_named AFTER UPDATE OF pod_uid ON kill WHEN OLD.pod_uid IS NOT NEW.pod_uid BEGIN
        UPDATE share SET kills = kills - 1 WHERE pod_uid = COALESCE(OLD.pod_uid, '');
        INSERT OR IGNORE INTO share VALUES (COALESCE(NEW.pod_uid, ''), COALESCE(NEW.namespace, ''), 0);
        UPDATE share SET kills = kills + 1 WHERE pod_uid = COALESCE(NEW.pod_uid, '');
    END;
    CREATE TRIGGER kill_dropped AFTER DELETE ON kill BEGIN
        UPDATE share SET kills = kills - 1 WHERE pod_uid = COALESCE(OLD.pod_uid, '');
        DELETE FROM share WHERE pod_uid = COALESCE(OLD.pod_uid, '') AND kills <= 0;
    END;
    CREATE TABLE total (
        namespace TEXT, pod TEXT, container TEXT, mode TEXT, scope TEXT, processes INTEGER NOT NULL, last_unix_s REAL NOT NULL,
        PRIMARY KEY (namespace, pod, container, mode, scope)
    );
    CREATE INDEX total_by_time ON total (last_unix_s);
    CREATE TABLE baseline (inode INTEGER PRIMARY KEY, path TEXT, oom_kill INTEGER, oom_group_kill INTEGER, oom INTEGER,
        local_oom INTEGER, ordinal INTEGER);
    CREATE TABLE original (inode INTEGER PRIMARY KEY, path TEXT, value INTEGER, pod_uid TEXT, at_unix_s REAL);
    CREATE TABLE exceeded (inode INTEGER PRIMARY KEY, tolerance TEXT);
    CREATE TABLE decision (pod_uid TEXT, cgroup_key TEXT, namespace TEXT, pod TEXT, container TEXT, container_id TEXT,
        mode TEXT, rule TEXT, tolerance TEXT, source TEXT, labels TEXT);
    CREATE INDEX decision_of_pod ON decision (pod_uid);
    CREATE TABLE notice (name TEXT PRIMARY KEY, at_unix_s REAL NOT NULL, body TEXT NOT NULL, outcome TEXT, series_last_unix_s REAL);
    CREATE INDEX notice_waiting ON notice (outcome, at_unix_s);
    CREATE INDEX notice_series ON notice (series_last_unix_s) WHERE series_last_unix_s IS NOT NULL;
"""
OF_ONE_BOOT = ("baseline", "original", "exceeded", "boot")


class OtherSchemaError(sqlite3.DatabaseError):
    """The file was written by another version of oomward: ``age`` is newer or older."""

    def __init__(self, found: int) -> None:
        super().__init__(f"its schema is version {found}, that of this oomward is {VERSION}")
        self.age = "newer" if found > VERSION else "older"


def prepare(connection: sqlite3.Connection) -> None:
    """Create the tables in a new file. Raises OtherSchemaError, sqlite3.Error."""
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found not in (0, VERSION):
        raise OtherSchemaError(found)
    if found == 0:
        connection.executescript(f"BEGIN IMMEDIATE;{TABLES}PRAGMA user_version = {VERSION};COMMIT;")


def begin_boot(connection: sqlite3.Connection, boot_id: str) -> bool:
    """Drop inodes and the log's position of another boot, which mean nothing in this one. Raises sqlite3.Error.

    Returns whether this boot has been seen: only with its first baselines is it, in one transaction. An agent that ended before, or
    ``once``, has counted nothing: the kills up to then are from before oomward.
    """
    if connection.execute("SELECT 1 FROM boot WHERE id = ?", (boot_id,)).fetchone() is None:
        connection.execute("BEGIN IMMEDIATE")
        for table in OF_ONE_BOOT:
            connection.execute(f"DELETE FROM {table}")
        connection.execute("INSERT INTO boot VALUES (?, NULL)", (boot_id,))
        connection.execute("COMMIT")
    return connection.execute("SELECT 1 FROM baseline LIMIT 1").fetchone() is not None
