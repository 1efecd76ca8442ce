"""The ledger's tables, their versions, and how an older file becomes a newer one (PRAGMA user_version).

Owns the SQL of the tables and nothing else. A step once released never changes: a new version is a new step.
"""

from __future__ import annotations

import sqlite3

STEPS: dict[int, str] = {
    1: """
    CREATE TABLE boot (id TEXT PRIMARY KEY, kmsg_sequence INTEGER);
    CREATE TABLE kill (
        kill_id TEXT PRIMARY KEY, at_unix_s REAL NOT NULL, namespace TEXT, pod TEXT, pod_uid TEXT, container TEXT,
        mode TEXT, scope TEXT, processes INTEGER NOT NULL, outcome TEXT, body TEXT NOT NULL
    );
    CREATE INDEX kill_by_time ON kill (at_unix_s);
    CREATE INDEX kill_by_container ON kill (pod_uid, container, at_unix_s);
    CREATE TABLE total (
        namespace TEXT, pod TEXT, container TEXT, mode TEXT, scope TEXT, processes INTEGER NOT NULL, last_unix_s REAL NOT NULL,
        PRIMARY KEY (namespace, pod, container, mode, scope)
    );
    CREATE TABLE baseline (inode INTEGER PRIMARY KEY, path TEXT, oom_kill INTEGER, oom_group_kill INTEGER, oom INTEGER,
        local_oom INTEGER, ordinal INTEGER);
    CREATE TABLE original (inode INTEGER PRIMARY KEY, path TEXT, value INTEGER, pod_uid TEXT, at_unix_s REAL);
    CREATE TABLE decision (pod_uid TEXT, cgroup_key TEXT, namespace TEXT, pod TEXT, container TEXT, container_id TEXT,
        mode TEXT, rule TEXT, PRIMARY KEY (pod_uid, container));
    CREATE TABLE notice (name TEXT PRIMARY KEY, at_unix_s REAL NOT NULL, body TEXT NOT NULL, outcome TEXT);
    CREATE INDEX notice_waiting ON notice (outcome, at_unix_s);
    """,
    # `processes` in the index: a container's kills are summed at every one of them, without a look at the rows.
    # The old and the new instance of one container may both be there for a moment; version 1 kept only one of them.
    2: """
    DROP INDEX kill_by_container;
    CREATE INDEX kill_by_container ON kill (pod_uid, container, at_unix_s, processes);
    CREATE INDEX kill_unsettled ON kill (at_unix_s) WHERE outcome IS NULL;
    CREATE INDEX total_by_time ON total (last_unix_s);
    ALTER TABLE decision RENAME TO decision_1;
    CREATE TABLE decision (pod_uid TEXT, cgroup_key TEXT, namespace TEXT, pod TEXT, container TEXT, container_id TEXT,
        mode TEXT, rule TEXT);
    CREATE INDEX decision_of_pod ON decision (pod_uid);
    INSERT INTO decision SELECT pod_uid, cgroup_key, namespace, pod, container, container_id, mode, rule FROM decision_1;
    DROP TABLE decision_1;
    """,
    # `notice` of a kill: the Event that counts it; NULL: none does yet. Events go on counting while their series is open.
    3: """
    ALTER TABLE kill ADD COLUMN notice TEXT;
    UPDATE kill SET notice = '' WHERE outcome IS NOT NULL OR pod_uid IS NULL;
    DROP INDEX kill_unsettled;
    CREATE INDEX kill_uncounted ON kill (at_unix_s) WHERE notice IS NULL;
    ALTER TABLE notice ADD COLUMN series_last_unix_s REAL;
    CREATE INDEX notice_series ON notice (series_last_unix_s) WHERE series_last_unix_s IS NOT NULL;
    ALTER TABLE decision ADD COLUMN tolerance TEXT;
    """,
}
VERSION = max(STEPS)
OF_ONE_BOOT = ("baseline", "original", "boot")


class NewerSchemaError(RuntimeError):
    """The file was written by a newer oomward."""


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the file to VERSION, each step with its number in one transaction. Raises NewerSchemaError, sqlite3.Error."""
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found > VERSION:
        raise NewerSchemaError(f"its schema is version {found}, this oomward knows up to {VERSION}")
    for step in range(found + 1, VERSION + 1):
        connection.executescript(f"BEGIN IMMEDIATE;{STEPS[step]}PRAGMA user_version = {step};COMMIT;")


def begin_boot(connection: sqlite3.Connection, boot_id: str) -> bool:
    """Drop what belongs to another boot: inodes and the log's sequence mean nothing there. Kills and decisions stay.

    Returns whether this boot was known already. Raises sqlite3.Error.
    """
    if connection.execute("SELECT 1 FROM boot WHERE id = ?", (boot_id,)).fetchone() is not None:
        return True
    connection.execute("BEGIN IMMEDIATE")
    for table in OF_ONE_BOOT:
        connection.execute(f"DELETE FROM {table}")
    connection.execute("INSERT INTO boot VALUES (?, NULL)", (boot_id,))
    connection.execute("COMMIT")
    return False
