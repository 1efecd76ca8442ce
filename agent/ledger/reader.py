"""Reads kills from a ledger's file; for commands also beside the agent that writes it, or without one."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from agent.ledger.opening import FAULTS
from agent.ledger.rows import (
    TEXT,
    Record,
    Row,
    decision_of,
    exceeded_of,
    kill_of,
    killed_of,
    original_of,
    readable,
    to_sql,
)
from agent.ledger.schema import VERSION
from agent.ledger.store import FILE
from agent.model import AgentError, Exceeded, KeptDecision, KillSum, OomKill, Original, Outcome, kills_of_cgroup

READ_WAIT_S = 1.0


class WrittenKills:
    """The kills in the file. ``read`` returns the rows of a query; ``bad`` has the hashes of rows that can't be read and are left out."""

    def __init__(self, read: Callable[[str, Sequence[object]], list[Row]]) -> None:
        self._read = read
        self.bad: set[int] = set()

    @property
    def bad_rows(self) -> int:
        """How many rows could not be read."""
        return len(self.bad)

    def kills(
        self,
        *,
        since_unix_s: float = 0.0,
        namespace: str | None = None,
        pod: str | None = None,
        limit: int = 1000,
        pod_uids: Collection[str] | None = None,
    ) -> list[OomKill]:
        """Newest first; None matches any."""
        asked = [(column, value) for column, value in (("namespace", namespace), ("pod", pod)) if value is not None]
        where = "".join(f" AND {column} = ?" for column, _ in asked)
        if pod_uids is not None:
            where += f" AND pod_uid IN ({', '.join('?' for _ in pod_uids)})"
        named = (*(value for _, value in asked), *(pod_uids or ()))
        values = (since_unix_s, *map(to_sql, named), max(0, limit))
        return self.matching(f"at_unix_s >= ?{where} ORDER BY at_unix_s DESC, rowid DESC LIMIT ?", values)

    def kills_in(self, boot_id: str, inode: int) -> list[OomKill]:
        """All of one cgroup of that boot, in any order; also those in a pod that had no name yet or another uid (a mirror pod)."""
        named = kills_of_cgroup(boot_id, inode)
        return self.matching("kill_id > ? AND kill_id < ?", (named, f"{named}:"))  # the colon follows the digits

    def kills_of_pod(self, pod_uid: str, since_unix_s: float, limit: int) -> list[OomKill]:
        """Newest first."""
        where = "pod_uid = ? AND at_unix_s >= ? ORDER BY at_unix_s DESC, rowid DESC LIMIT ?"
        return self.matching(where, (to_sql(pod_uid), since_unix_s, limit))

    def reported(self, boot_id: str, after_sequence: int) -> list[OomKill]:
        """All of that boot with a report that begins behind this record of the kernel's log, in any order."""
        sequence = "CASE WHEN json_valid(body) THEN json_extract(body, '$.report_sequence') END"
        return self.matching(f"substr(kill_id, 1, ?) = ? AND {sequence} > ?", (len(boot_id), boot_id, after_sequence))

    def last(self, boot_id: str, span_s: float, now_unix_s: float) -> list[OomKill]:
        """Of that boot the newest kill up to now, those up to ``span_s`` before it, and those after now, in any order."""
        of_boot = (len(boot_id), boot_id)
        newest = "SELECT at_unix_s FROM kill WHERE at_unix_s <= ? AND substr(kill_id, 1, ?) = ? ORDER BY at_unix_s DESC LIMIT 1"
        where = f"at_unix_s >= COALESCE(({newest}), ?) - ? AND substr(kill_id, 1, ?) = ?"
        return self.matching(where, (now_unix_s, *of_boot, now_unix_s, span_s, *of_boot))

    def matching(self, where: str, values: Sequence[object] = ()) -> list[OomKill]:
        """The kills of the rows that match."""
        rows = self._read(f"SELECT body, outcome FROM kill WHERE {where}", values)
        return list(readable(rows, lambda row: kill_of(*row), self.bad))


class NoLedgerError(AgentError):
    """There is no ledger to read, or it can't be read."""


class LedgerReader(WrittenKills):
    """Opens the file read-only (WAL allows it beside the writer). Raises NoLedgerError, as all of its methods do."""

    def __init__(self, state_dir: Path) -> None:
        super().__init__(self._rows)
        self._path = state_dir / FILE
        try:
            uri = f"{self._path.resolve().as_uri()}?mode=ro"
            self._connection = sqlite3.connect(uri, uri=True, timeout=READ_WAIT_S, isolation_level=None)
            self._connection.text_factory = TEXT
        except sqlite3.Error as error:
            raise self._no_ledger(error) from error
        try:
            ((version,),) = self._rows("PRAGMA user_version")
            if version != VERSION:
                raise self._no_ledger(f"its schema is version {version}, that of this oomward is {VERSION}")
        except NoLedgerError:
            self.close()
            raise

    def processes_killed(self) -> dict[tuple[str, str], int]:
        """Processes killed by (pod uid, container name), as far back as kills are kept."""
        sql = (
            "SELECT pod_uid, container, SUM(processes) FROM kill WHERE pod_uid IS NOT NULL GROUP BY pod_uid, container"
        )
        return dict(readable(self._rows(sql), killed_of, self.bad))

    def sums(self, since_unix_s: float, limit: int) -> list[KillSum]:
        """Kills in containers by pod, container, scope and memory limit; the ``limit`` with the newest kills, those first.

        Row by row along the index of times: a GROUP BY would need memory for all, or a temporary file.
        """
        at_limit = "CASE WHEN json_valid(body) THEN json_extract(body, '$.limit_bytes') END"
        sql = (
            f"SELECT rowid, processes, outcome IS ?, pod_uid, container, scope, {at_limit} FROM kill "
            "WHERE at_unix_s >= ? AND pod_uid IS NOT NULL AND container IS NOT NULL ORDER BY at_unix_s DESC"
        )
        found: dict[Row, list[int]] = {}
        try:
            for rowid, processes, survived, *group in self._connection.execute(sql, (Outcome.SURVIVED, since_unix_s)):
                if type(processes) is not int:
                    self.bad.add(rowid)
                elif (known := found.get(tuple(group))) is not None:
                    known[:] = known[0], known[1] + 1, known[2] + processes, known[3] + survived
                elif len(found) < limit:
                    found[tuple(group)] = [rowid, 1, processes, survived]
        except FAULTS as error:
            raise self._no_ledger(error) from error
        return [
            KillSum(kills, processes, survived, last)
            for rowid, kills, processes, survived in found.values()
            for last in self.matching("rowid = ?", (rowid,))
        ]

    def kept_decisions(self) -> tuple[KeptDecision, ...]:
        """The last decision for each container."""
        return tuple(self._all("decision", decision_of))

    def originals(self, boot_id: str) -> tuple[Original, ...]:
        """Values from before our first writes in this boot; none when the ledger is of another one."""
        return tuple(self._all("original", original_of)) if self._is_of(boot_id) else ()

    def exceeded(self, boot_id: str) -> dict[int, Exceeded]:
        """Cgroups of this boot that exceeded a tolerance, by inode; none when the ledger is of another boot."""
        return {one.inode: one for one in self._all("exceeded", exceeded_of)} if self._is_of(boot_id) else {}

    def _is_of(self, boot_id: str) -> bool:
        return bool(self._rows("SELECT 1 FROM boot WHERE id = ?", (boot_id,)))

    def _all(self, table: str, record_of: Callable[[Row], Record | None]) -> Iterator[Record]:
        return readable(self._rows(f"SELECT * FROM {table}"), record_of, self.bad)

    def _rows(self, sql: str, values: Sequence[object] = ()) -> list[Row]:
        try:
            return self._connection.execute(sql, values).fetchall()
        except FAULTS as error:
            raise self._no_ledger(error) from error

    def _no_ledger(self, why: object) -> NoLedgerError:
        return NoLedgerError(
            f"no ledger to read at {self._path} ({why}): is this the agent's state directory (--state-dir), and has the "
            "agent run?"
        )

    def close(self) -> None:
        self._connection.close()
