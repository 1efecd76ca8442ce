"""What the ledger answers, from the file and from what is not written yet. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from agent.ledger.reader import WrittenKills
from agent.ledger.rows import last_of, notice_of, readable, to_sql, total_of
from agent.ledger.store import Store
from agent.ledger.unwritten import TotalKey, Unwritten, total_key
from agent.model import Notice, OomKill
from agent.wording.shares import beyond
from agent.wording.times import YEAR_10000_UNIX_S

MOST_LAST = 2000  # containers: as many have series
LATE_S = 10.0  # a kill's time by its report differs by no more, unless no agent ran then


class Answers:
    """The part of Ledger that reads."""

    def __init__(self, store: Store, boot_id: str) -> None:
        self._store = store
        self._boot_id = boot_id
        self._written = WrittenKills(store.read)
        self._unwritten = Unwritten()

    def kills(
        self, *, since_unix_s: float = 0.0, namespace: str | None = None, pod: str | None = None, limit: int = 1000
    ) -> list[OomKill]:
        """Kills, newest first; None matches any."""
        written = self._written.kills(since_unix_s=since_unix_s, namespace=namespace, pod=pod, limit=limit)
        if not self._unwritten:
            return written
        found = [
            kill
            for kill in self._with_unwritten(written)
            if kill.at_unix_s >= since_unix_s and namespace in (None, kill.namespace) and pod in (None, kill.pod)
        ]
        return sorted(found, key=lambda kill: -kill.at_unix_s)[:limit]

    def without_event(self) -> list[OomKill]:
        """Kills that no Event counts yet, oldest first: the agent ended before the outcome was known."""
        found = self._with_unwritten(self._written.matching("notice IS NULL ORDER BY at_unix_s, rowid"))
        uncounted = (kill for kill in found if kill.kill_id not in self._unwritten.outcomes)
        return sorted(uncounted, key=lambda kill: kill.at_unix_s)

    def kills_in(self, inode: int) -> list[OomKill]:
        """All kills of one cgroup of this boot that are kept, in any order, whether or not the API has named their pod."""
        found = self._with_unwritten(self._written.kills_in(self._boot_id, inode))
        return [kill for kill in found if (kill.boot_id, kill.cgroup_inode) == (self._boot_id, inode)]

    def reported(self, after_sequence: int | None) -> list[OomKill]:
        """All kills of this boot with a report behind this record of the kernel's log (None: of any), in any order."""
        after = -1 if after_sequence is None else after_sequence
        found = self._with_unwritten(self._written.reported(self._boot_id, after))
        return [
            k
            for k in found
            if k.boot_id == self._boot_id and k.report_sequence is not None and k.report_sequence > after
        ]

    def last_kills(self, span_s: float, now_unix_s: float) -> list[OomKill]:
        """This boot's newest kill and those up to ``span_s`` before it, newest first. Kills later than now, by a clock that was set since,
        come with them, but count for no newest one.
        """
        written = self._written.last(self._boot_id, span_s, now_unix_s)
        found = [kill for kill in self._with_unwritten(written) if kill.boot_id == self._boot_id]
        newest_unix_s = max((kill.at_unix_s for kill in found if kill.at_unix_s <= now_unix_s), default=now_unix_s)
        recent = (kill for kill in found if kill.at_unix_s >= newest_unix_s - span_s)
        return sorted(recent, key=lambda kill: -kill.at_unix_s)

    def _with_unwritten(self, written: Iterable[OomKill]) -> list[OomKill]:
        """These and all that wait, with all changes that wait; a kill that is in the file already counts as it is there."""
        found = self._unwritten.kills | {kill.kill_id: kill for kill in written}
        return [self._unwritten.seen(kill) for kill in found.values()]

    def totals(self) -> dict[TotalKey, int]:
        """Processes killed by series (namespace, pod, container, mode, scope), so that metrics continue over a restart.

        They outlive the kills' own rows: see retention.py. Mode and scope are ``unknown`` where a kill has none.
        """
        sql = "SELECT namespace, pod, container, mode, scope, processes FROM total"
        found: dict[TotalKey, int] = dict(readable(self._store.read(sql), total_of, self._written.bad))
        for kill in self._unwritten.kills.values():
            if (series := total_key(kill)) is not None:
                found[series] = found.get(series, 0) + kill.processes
        return found

    def last_in_containers(self, most: int = MOST_LAST) -> dict[tuple[str, str, str], tuple[float, OomKill | None]]:
        """Unix time of the last kill by (namespace, pod, container) that has a total, and that kill; None: it is not kept any more.

        At most ``most``, which the namespaces and pods share; without what is not written yet.
        """
        newest = (
            "SELECT namespace, pod, container, MAX(last_unix_s) AS at FROM total "
            f"WHERE last_unix_s BETWEEN 0 AND {YEAR_10000_UNIX_S} GROUP BY 1, 2, 3 ORDER BY at"
        )
        where = (
            "at_unix_s BETWEEN ? AND ? AND namespace IS ? AND pod IS ? AND container IS NULLIF(?, '') "
            "ORDER BY at_unix_s DESC, rowid DESC LIMIT 1"
        )
        times = dict(readable(self._store.read(newest), last_of, self._written.bad))
        for names in beyond(times, most, lambda names, _: names[:2], spare=0):
            del times[names]
        found: dict[tuple[str, str, str], tuple[float, OomKill | None]] = {}
        for names, at_unix_s in times.items():
            last = self._written.matching(where, (at_unix_s - LATE_S, at_unix_s + LATE_S, *map(to_sql, names)))
            found[names] = at_unix_s, last[0] if last else None
        return found

    def undelivered(self, limit: int = 1000, after: Notice | None = None) -> list[Notice]:
        """Events that wait for their delivery, or for that of their newest count, oldest first; only those behind ``after``."""
        start = (-inf, "") if after is None else (after.at_unix_s, after.name)
        delivered = self._unwritten.delivered
        where = "outcome IS NULL AND (at_unix_s, name) > (?, ?) ORDER BY at_unix_s, name LIMIT ?"
        found = self._notices(where, start[0], to_sql(start[1]), limit + len(delivered))
        due = {(notice.at_unix_s, notice.name): notice for name, notice in found.items() if name not in delivered}
        return [due[at] for at in sorted(due) if at > start][:limit]

    def series(self, since_unix_s: float) -> list[Notice]:
        """Events of groups with an occurrence since then, the newest last."""
        found = self._notices("series_last_unix_s >= ? ORDER BY series_last_unix_s", since_unix_s).values()
        recent = [notice for notice in found if notice.group and notice.last_unix_s >= since_unix_s]
        return sorted(recent, key=lambda notice: notice.last_unix_s)

    def notice(self, name: str) -> Notice | None:
        """An Event as it is now, delivered or not; None: there is none of this name."""
        return self._notices("name = ?", to_sql(name)).get(name)

    def _notices(self, where: str, *values: object) -> dict[str, Notice]:
        """Events of the rows that match, by name, and all that wait."""
        rows = self._store.read(f"SELECT body FROM notice WHERE {where}", values)
        written = readable(rows, lambda row: notice_of(*row), self._written.bad)
        return {notice.name: notice for notice in written} | self._unwritten.notices
