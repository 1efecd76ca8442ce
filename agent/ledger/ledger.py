"""The ledger's words: what may be asked of it and told to it. Times are unix seconds.

What is asked for in the loop's hot path (originals) is answered from memory, so that enforcement never waits for a disk.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

from agent.ledger.rows import KILL_COLUMNS, kill_of, kill_row, notice_body, notice_of
from agent.ledger.schema import begin_boot
from agent.ledger.store import Store
from agent.model import Baseline, KeptDecision, Mode, Notice, OomKill, Original, Outcome

Series = tuple[str, str, str, str, str]  # namespace, pod, container, mode, scope
MARKS = ", ".join("?" * 11)
TOTALS_KEEP_S = 30 * 86400.0


class Ledger:
    """Open with Ledger.open. ``seen_this_boot``: an agent has written into it in this boot before."""

    def __init__(self, store: Store, *, boot_id: str, seen_this_boot: bool) -> None:
        self._store = store
        self._boot_id = boot_id
        self.seen_this_boot = seen_this_boot
        rows = store.connection.execute("SELECT inode, path, value, pod_uid, at_unix_s FROM original")
        self._originals = {row[0]: Original(*row) for row in rows}

    @classmethod
    def open(cls, state_dir: Path, boot_id: str) -> Ledger:
        """Never raises for a bad disk: see ``trouble`` and ``persistent``."""
        store = Store(state_dir)
        return cls(store, boot_id=boot_id, seen_this_boot=begin_boot(store.connection, boot_id))

    @property
    def trouble(self) -> str | None:
        """What is wrong with the disk, and what to do; None: nothing."""
        return self._store.trouble

    @property
    def persistent(self) -> bool:
        """Whether what is recorded outlives this process."""
        return self._store.persistent

    @property
    def errors(self) -> int:
        """How often the disk failed us."""
        return self._store.errors

    @property
    def pending(self) -> int:
        """Changes that wait in memory for the disk."""
        return self._store.pending

    def flush(self) -> bool:
        """Try what waits for the disk; True: nothing waits any more."""
        return self._store.flush()

    def close(self) -> None:
        self._store.close()

    # ---------------------------------------------------------------------------------------------------- originals

    def remember_original(self, original: Original) -> None:
        """The value before our first write; the first of a cgroup wins."""
        if original.inode in self._originals:
            return
        self._originals[original.inode] = original
        row = (original.inode, original.path, original.value, original.pod_uid, original.at_unix_s)
        self._store.write(lambda c: _run(c, "INSERT OR IGNORE INTO original VALUES (?, ?, ?, ?, ?)", row))

    def original(self, inode: int) -> Original | None:
        """What was there before us; None: we never wrote there in this boot."""
        return self._originals.get(inode)

    def originals(self) -> tuple[Original, ...]:
        """All of this boot."""
        return tuple(self._originals.values())

    def forget_original(self, inode: int) -> None:
        """It was given back, or its cgroup is gone."""
        if self._originals.pop(inode, None) is not None:
            self._store.write(lambda c: _run(c, "DELETE FROM original WHERE inode = ?", (inode,)))

    # ---------------------------------------------------------------------------------------------------- decisions

    def keep_decisions(self, pod_uid: str, decisions: Sequence[KeptDecision]) -> None:
        """The pod's decisions as they are now; they replace the ones before."""
        rows = [
            (d.pod_uid, d.cgroup_key, d.namespace, d.pod, d.container, d.container_id, d.mode.value, d.rule)
            for d in decisions
        ]

        def change(connection: sqlite3.Connection) -> None:
            _run(connection, "DELETE FROM decision WHERE pod_uid = ?", (pod_uid,))
            connection.executemany("INSERT OR REPLACE INTO decision VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)

        self._store.write(change)

    def kept_decisions(self) -> tuple[KeptDecision, ...]:
        """All that were kept, of whatever boot: pods outlive a reboot."""
        rows = self._store.connection.execute("SELECT * FROM decision")
        return tuple(
            KeptDecision(uid, key, namespace, pod, container, cid, Mode(mode), rule)
            for uid, key, namespace, pod, container, cid, mode, rule in rows
        )

    def forget_pod(self, pod_uid: str) -> None:
        """The pod is gone for good."""
        self._store.write(lambda c: _run(c, "DELETE FROM decision WHERE pod_uid = ?", (pod_uid,)))

    # -------------------------------------------------------------------------------------------------------- kills

    def baselines(self) -> dict[int, Baseline]:
        """How far each cgroup's counters are accounted for in this boot, by inode."""
        return {row[0]: Baseline(*row) for row in self._store.connection.execute("SELECT * FROM baseline")}

    def forget_baselines(self, inodes: Iterable[int]) -> None:
        """These cgroups are gone."""
        rows = [(inode,) for inode in inodes]

        def change(connection: sqlite3.Connection) -> None:
            connection.executemany("DELETE FROM baseline WHERE inode = ?", rows)

        self._store.write(change)

    def record(self, kills: Sequence[OomKill], baselines: Sequence[Baseline], kmsg_sequence: int | None) -> None:
        """From seen to recorded in one transaction. A kill_id that is there already is left as it is, and not counted again."""
        if not kills and not baselines and kmsg_sequence == self._sequence():
            return

        def change(connection: sqlite3.Connection) -> None:
            for kill in kills:
                added = _run(
                    connection, f"INSERT OR IGNORE INTO kill ({KILL_COLUMNS}) VALUES ({MARKS})", kill_row(kill)
                )
                if added:
                    _add_total(connection, kill)
            connection.executemany(
                "INSERT OR REPLACE INTO baseline VALUES (?, ?, ?, ?, ?, ?, ?)",
                [(b.inode, b.path, b.oom_kill, b.oom_group_kill, b.oom, b.local_oom, b.ordinal) for b in baselines],
            )
            if kmsg_sequence is not None:
                _run(connection, "UPDATE boot SET kmsg_sequence = ? WHERE id = ?", (kmsg_sequence, self._boot_id))

        self._store.write(change)

    def _sequence(self) -> int | None:
        row = self._store.connection.execute("SELECT kmsg_sequence FROM boot WHERE id = ?", (self._boot_id,)).fetchone()
        return None if row is None else row[0]

    @property
    def kmsg_sequence(self) -> int | None:
        """The last record of the kernel's log that need not be read again; None: none was read in this boot."""
        return self._sequence()

    def settle(self, kill_id: str, outcome: Outcome) -> None:
        """What became of the container."""
        self._store.write(lambda c: _run(c, "UPDATE kill SET outcome = ? WHERE kill_id = ?", (outcome.value, kill_id)))

    def amend(self, kill: OomKill) -> None:
        """Details that came late; how many died and whose it was stay."""
        row = kill_row(kill)
        self._store.write(
            lambda c: _run(c, "UPDATE kill SET body = ?, scope = ? WHERE kill_id = ?", (row[-1], row[7], row[0]))
        )

    def kills(
        self, *, since_unix_s: float = 0.0, namespace: str | None = None, pod: str | None = None, limit: int = 1000
    ) -> list[OomKill]:
        """Kills, newest first."""
        return read_kills(self._store.connection, since_unix_s=since_unix_s, namespace=namespace, pod=pod, limit=limit)

    def unsettled(self) -> list[OomKill]:
        """Kills in pods whose outcome nobody saw (the agent ended before)."""
        rows = self._store.connection.execute(
            "SELECT body, outcome FROM kill WHERE outcome IS NULL AND pod_uid IS NOT NULL"
        )
        return [kill_of(*row) for row in rows]

    def kills_of(self, pod_uid: str, container: str, since_unix_s: float) -> int:
        """Processes killed in one container since then."""
        row = self._store.connection.execute(
            "SELECT COALESCE(SUM(processes), 0) FROM kill WHERE pod_uid = ? AND container = ? AND at_unix_s >= ?",
            (pod_uid, container, since_unix_s),
        ).fetchone()
        return int(row[0])

    def totals(self) -> dict[Series, int]:
        """Processes killed by series, for metrics that go on counting; they outlive the kills' own rows."""
        rows = self._store.connection.execute("SELECT namespace, pod, container, mode, scope, processes FROM total")
        return {tuple(row[:5]): row[5] for row in rows}

    # ------------------------------------------------------------------------------------------------------ notices

    def queue(self, notice: Notice) -> None:
        """An Event to be delivered; a name that is there already is left as it is."""
        row = (notice.name, notice.at_unix_s, notice_body(notice))
        self._store.write(lambda c: _run(c, "INSERT OR IGNORE INTO notice VALUES (?, ?, ?, NULL)", row))

    def undelivered(self, limit: int = 1000) -> list[Notice]:
        """Events that still wait, oldest first."""
        rows = self._store.connection.execute(
            "SELECT body FROM notice WHERE outcome IS NULL ORDER BY at_unix_s LIMIT ?", (limit,)
        )
        return [notice_of(row[0]) for row in rows]

    def delivered(self, name: str, outcome: str) -> None:
        """The Event is done with; its name is kept for a day, so that it is never sent again."""
        self._store.write(lambda c: _run(c, "UPDATE notice SET outcome = ? WHERE name = ?", (outcome, name)))

    # -------------------------------------------------------------------------------------------------------- bounds

    def prune(self, now_unix_s: float, keep_days: int, keep_count: int, batch: int) -> None:
        """Drop at most ``batch`` rows of each kind that are past their time, so that the loop never pauses for it."""

        def change(connection: sqlite3.Connection) -> None:
            _run(
                connection,
                "DELETE FROM kill WHERE rowid IN (SELECT rowid FROM kill WHERE at_unix_s < ? ORDER BY at_unix_s LIMIT ?)",
                (now_unix_s - keep_days * 86400.0, batch),
            )
            (count,) = connection.execute("SELECT COUNT(*) FROM kill").fetchone()
            if count > keep_count:
                most = min(batch, count - keep_count)
                _run(
                    connection,
                    "DELETE FROM kill WHERE rowid IN (SELECT rowid FROM kill ORDER BY at_unix_s LIMIT ?)",
                    (most,),
                )
            _run(
                connection,
                "DELETE FROM notice WHERE rowid IN (SELECT rowid FROM notice WHERE outcome IS NOT NULL AND at_unix_s < ? LIMIT ?)",
                (now_unix_s - 86400.0, batch),
            )
            _run(connection, "DELETE FROM total WHERE last_unix_s < ?", (now_unix_s - TOTALS_KEEP_S,))

        self._store.write(change)


def read_kills(
    connection: sqlite3.Connection, *, since_unix_s: float, namespace: str | None, pod: str | None, limit: int
) -> list[OomKill]:
    """Kills of an open ledger, newest first."""
    rows = connection.execute(
        "SELECT body, outcome FROM kill WHERE at_unix_s >= ? AND (? IS NULL OR namespace = ?) AND (? IS NULL OR pod = ?) "
        "ORDER BY at_unix_s DESC, rowid DESC LIMIT ?",
        (since_unix_s, namespace, namespace, pod, pod, limit),
    )
    return [kill_of(*row) for row in rows]


def _run(connection: sqlite3.Connection, sql: str, values: Sequence[object]) -> int:
    return connection.execute(sql, values).rowcount


def _add_total(connection: sqlite3.Connection, kill: OomKill) -> None:
    if kill.namespace is None or kill.pod is None:
        return
    _run(
        connection,
        "INSERT INTO total VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET processes = processes + excluded.processes, "
        "last_unix_s = excluded.last_unix_s",
        (
            kill.namespace,
            kill.pod,
            kill.container or "",
            kill.mode.value if kill.mode else "unknown",
            kill.scope.value if kill.scope else "unknown",
            kill.processes,
            kill.at_unix_s,
        ),
    )
