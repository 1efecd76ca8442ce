"""The ledger's tables, their versions, and how an older file becomes a newer one (PRAGMA user_version)."""

from __future__ import annotations

import sqlite3

VERSION = 1

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
}

OF_ONE_BOOT = ("baseline", "original")


class NewerSchemaError(RuntimeError):
    """The file was written by a newer oomward."""


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the file to VERSION, a step a transaction. Raises NewerSchemaError, sqlite3.Error."""
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found > VERSION:
        raise NewerSchemaError(f"its schema is version {found}, this oomward knows {VERSION}")
    for step in range(found + 1, VERSION + 1):
        connection.executescript(f"BEGIN;{STEPS[step]}PRAGMA user_version = {step};COMMIT;")


def begin_boot(connection: sqlite3.Connection, boot_id: str) -> bool:
    """Drop what belongs to another boot (inodes mean nothing there). Returns whether this boot was known already."""
    known = connection.execute("SELECT 1 FROM boot WHERE id = ?", (boot_id,)).fetchone() is not None
    if not known:
        connection.execute("BEGIN IMMEDIATE")
        for table in (*OF_ONE_BOOT, "boot"):
            connection.execute(f"DELETE FROM {table}")
        connection.execute("INSERT INTO boot VALUES (?, NULL)", (boot_id,))
        connection.execute("COMMIT")
    return known
