"""What the ledger answers from the file, with what is not written yet: kills, their sums, and Events that wait. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf

from agent.ledger.queries import kills_from, kills_in_query, kills_query
from agent.ledger.rows import BadRowError, from_sql, notice_of, to_sql
from agent.ledger.store import Store
from agent.ledger.unwritten import TotalKey, Unwritten, total_key
from agent.model import Notice, OomKill


class Answers:
    """The part of Ledger that reads."""

    def __init__(self, store: Store, boot_id: str) -> None:
        self._store = store
        self._boot_id = boot_id
        self._unwritten = Unwritten()
        self._bad_rows = 0

    def kills(
        self, *, since_unix_s: float = 0.0, namespace: str | None = None, pod: str | None = None, limit: int = 1000
    ) -> list[OomKill]:
        """Kills, newest first, those that wait for the disk among them; None matches any."""
        written = self._kills_of_rows(*kills_query(since_unix_s, namespace, pod, limit))
        if not self._unwritten:
            return written
        found = {kill.kill_id: self._unwritten.seen(kill) for kill in self._unwritten.kills.values()}
        found |= {kill.kill_id: self._unwritten.seen(kill) for kill in written}
        asked = [
            kill
            for kill in found.values()
            if kill.at_unix_s >= since_unix_s and namespace in (None, kill.namespace) and pod in (None, kill.pod)
        ]
        return sorted(asked, key=lambda kill: -kill.at_unix_s)[:limit]

    def without_event(self) -> list[OomKill]:
        """Kills that no Event counts yet, oldest first: nobody saw what became of their container (the agent ended before)."""
        rows = "SELECT body, outcome FROM kill WHERE notice IS NULL ORDER BY at_unix_s, rowid"
        found = {kill.kill_id: kill for kill in [*self._kills_of_rows(rows, ()), *self._unwritten.kills.values()]}
        return [
            self._unwritten.seen(kill) for kill_id, kill in found.items() if kill_id not in self._unwritten.outcomes
        ]

    def _kills_of_rows(self, sql: str, values: Sequence[object]) -> list[OomKill]:
        kills, bad = kills_from(self._store.read(sql, values))
        self._bad_rows += bad
        return kills

    def kills_of(self, pod_uid: str, container: str, since_unix_s: float) -> int:
        """Processes killed in one container since then."""
        rows = self._store.read(
            "SELECT COALESCE(SUM(processes), 0) FROM kill WHERE pod_uid = ? AND container = ? AND at_unix_s >= ?",
            (to_sql(pod_uid), to_sql(container), since_unix_s),
        )
        waiting = (k for k in self._unwritten.kills.values() if (k.pod_uid, k.container) == (pod_uid, container))
        return (int(rows[0][0]) if rows else 0) + sum(k.processes for k in waiting if k.at_unix_s >= since_unix_s)

    def kills_in(self, pod_uid: str, inode: int) -> list[OomKill]:
        """All kills that are kept of one cgroup of this boot, in any order."""
        found = {kill.kill_id: kill for kill in self._kills_of_rows(*kills_in_query(pod_uid, self._boot_id, inode))}
        unwritten = self._unwritten.kills.items()
        found |= {name: kill for name, kill in unwritten if (kill.boot_id, kill.cgroup_inode) == (self._boot_id, inode)}
        return [self._unwritten.seen(kill) for kill in found.values() if kill.pod_uid == pod_uid]

    def totals(self) -> dict[TotalKey, int]:
        """Processes killed by series (namespace, pod, container, mode, scope), for metrics that go on counting.

        They outlive the kills' own rows: see retention.py. Mode and scope are ``unknown`` where a kill has none.
        """
        found: dict[TotalKey, int] = {}
        for row in self._store.read("SELECT namespace, pod, container, mode, scope, processes FROM total"):
            namespace, pod, container, mode, scope = (from_sql(text) for text in row[:5])
            found[namespace, pod, container, mode, scope] = int(row[5])
        for kill in self._unwritten.kills.values():
            if (series := total_key(kill)) is not None:
                found[series] = found.get(series, 0) + kill.processes
        return found

    def undelivered(self, limit: int = 1000, after: Notice | None = None) -> list[Notice]:
        """Events that still wait for their delivery, or for that of their newest count, oldest first, and those behind ``after`` only."""
        start = (-inf, "") if after is None else (after.at_unix_s, after.name)
        rows = self._store.read(
            "SELECT body FROM notice WHERE outcome IS NULL AND (at_unix_s, name) > (?, ?) ORDER BY at_unix_s, name LIMIT ?",
            (start[0], to_sql(start[1]), limit + len(self._unwritten.delivered)),
        )
        found = self._unwritten.notices | self._notices_of_rows(rows) | self._unwritten.counted
        due = {(n.at_unix_s, n.name): n for n in found.values() if n.name not in self._unwritten.delivered}
        return [due[at] for at in sorted(due) if at > start][:limit]

    def series(self, since_unix_s: float) -> list[Notice]:
        """Events of a series that was added to since then, the newest last."""
        rows = self._store.read(
            "SELECT body FROM notice WHERE series_last_unix_s >= ? ORDER BY series_last_unix_s", (since_unix_s,)
        )
        found = self._notices_of_rows(rows) | self._unwritten.counted
        return sorted((n for n in found.values() if n.last_unix_s >= since_unix_s), key=lambda n: n.last_unix_s)

    def notice(self, name: str) -> Notice | None:
        """An Event as it is now, delivered or not; None: there is no such row."""
        unwritten = self._unwritten.counted.get(name) or self._unwritten.notices.get(name)
        rows = [] if unwritten else self._store.read("SELECT body FROM notice WHERE name = ?", (to_sql(name),))
        return unwritten or self._notices_of_rows(rows).get(name)

    def _notices_of_rows(self, rows: Iterable[Sequence[object]]) -> dict[str, Notice]:
        found: dict[str, Notice] = {}
        for (body,) in rows:
            try:
                notice = notice_of(str(body))
            except BadRowError:
                self._bad_rows += 1
                continue
            found[notice.name] = notice
        return found
