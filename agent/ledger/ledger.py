"""The ledger's words: what may be told to it and asked of it. Times are unix seconds. Decides nothing, prints nothing.

Every change is merged into what waits and written in one transaction at once; what the disk refuses waits and is tried
again. Originals, baselines, decisions and the log's position are answered from memory, so that enforcement never waits.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from agent.ledger.queries import kills_from, kills_in_query, kills_query
from agent.ledger.retention import Retention
from agent.ledger.rows import (
    DECISION_COLUMNS,
    BadRowError,
    baselines_of,
    decisions_of,
    from_sql,
    notice_of,
    originals_of,
    to_sql,
)
from agent.ledger.store import Store
from agent.ledger.waiting import Series, Waiting, series_of
from agent.model import Baseline, KeptDecision, Notice, OomKill, Original, Outcome

FEW = 256  # so many waiting changes are tried at every call; more only by flush(), since each try costs
MEMORY_KILLS = 10_000  # kept without a disk: an agent of 64 MiB can't hold 100,000


class Ledger:
    """Made by Ledger.open. ``seen_this_boot``: an agent has written into it in this boot before."""

    def __init__(self, store: Store, boot_id: str) -> None:
        self._store = store
        self._boot_id = boot_id
        self._waiting = Waiting()
        self._bad_rows = 0
        self._renewed = store.renewed
        self.seen_this_boot = store.seen_this_boot
        read = store.read
        self._originals = originals_of(read("SELECT inode, path, value, pod_uid, at_unix_s FROM original"))
        self._baselines = baselines_of(
            read("SELECT inode, path, oom_kill, oom_group_kill, oom, local_oom, ordinal FROM baseline")
        )
        self._decisions = decisions_of(read(f"SELECT {DECISION_COLUMNS} FROM decision"))
        rows = read("SELECT kmsg_sequence FROM boot WHERE id = ?", (boot_id,))
        self._kmsg_sequence: int | None = rows[0][0] if rows else None
        self._resow()

    @classmethod
    def open(cls, state_dir: Path, boot_id: str, now_unix_s: float | None = None) -> Ledger:
        """Never raises for a bad disk: see ``trouble`` and ``persistent``.

        What belongs to another boot (inodes, the log's position) is dropped, kills and decisions stay. ``now_unix_s``
        names a file that has to be set aside; None: by the clock.
        """
        return cls(Store(state_dir, boot_id, time.time() if now_unix_s is None else now_unix_s), boot_id)

    @property
    def trouble(self) -> str | None:
        """What is wrong with the disk, and what to do; None: nothing."""
        texts = [self._store.trouble]
        if self._waiting.dropped:
            texts.append(f"{self._waiting.dropped} kills or Events had to be dropped, since the disk was away too long")
        if self._bad_rows:
            texts.append(f"{self._bad_rows} times a row could not be read and was passed over")
        return "; ".join(text for text in texts if text) or None

    @property
    def persistent(self) -> bool:
        """Whether the ledger is a file; False: it ends with this process."""
        return self._store.persistent

    @property
    def errors(self) -> int:
        """How often the disk failed us, or a row."""
        return self._store.errors + self._bad_rows

    @property
    def pending(self) -> int:
        """Changes that wait in memory for the disk."""
        return len(self._waiting)

    def flush(self) -> bool:
        """Try what waits for the disk; True: nothing waits any more. Also looks whether the file is still there."""
        self._store.look_after()
        self._write()
        return not self._waiting

    def close(self) -> None:
        """Write what waits, if the disk takes it, and let go of the file."""
        self._write()
        self._store.close()

    def _tell(self) -> frozenset[str]:
        return self._write() if len(self._waiting) <= FEW or not self._store.failing else frozenset()

    def _write(self) -> frozenset[str]:
        """Write all that waits; returns the ids of kills that were new."""
        self._resow()
        if not self._waiting:
            return frozenset()
        new = self._store.transact(lambda connection: self._waiting.apply(connection, self._boot_id))
        if new is None and self._store.renewed != self._renewed:
            self._resow()
            new = self._store.transact(lambda connection: self._waiting.apply(connection, self._boot_id))
        if new is None:
            return frozenset()
        self._waiting.clear()
        return new

    def _resow(self) -> None:
        """A new file was begun in the midst: what memory knows goes into it. Older kills stay in the one set aside."""
        if self._renewed == self._store.renewed:
            return
        self._renewed = self._store.renewed
        self._waiting.originals = {**self._originals}
        self._waiting.baselines = {**self._baselines}
        self._waiting.decisions = {**self._decisions}
        self._waiting.kmsg_sequence = self._kmsg_sequence

    # ---------------------------------------------------------------------------------------------------- originals

    def remember_original(self, original: Original) -> None:
        """The value before our first write; the first of a cgroup wins."""
        if original.inode not in self._originals:
            self._originals[original.inode] = original
            self._waiting.originals[original.inode] = original
            self._tell()

    def original(self, inode: int) -> Original | None:
        """What was there before us; None: we never wrote there in this boot."""
        return self._originals.get(inode)

    def originals(self) -> tuple[Original, ...]:
        """All of this boot."""
        return tuple(self._originals.values())

    def forget_original(self, inode: int) -> None:
        """It was given back, or its cgroup is gone."""
        if self._originals.pop(inode, None) is not None:
            self._waiting.originals[inode] = None
            self._tell()

    # ---------------------------------------------------------------------------------------------------- decisions

    def keep_decisions(self, pod_uid: str, decisions: Sequence[KeptDecision]) -> None:
        """The pod's decisions as they are now; they replace the ones before."""
        kept = tuple(decisions)
        if self._decisions.get(pod_uid, ()) == kept:
            return
        if kept:
            self._decisions[pod_uid] = kept
        else:
            del self._decisions[pod_uid]
        self._waiting.decisions[pod_uid] = kept
        self._tell()

    def kept_decisions(self) -> tuple[KeptDecision, ...]:
        """All that were kept, of whatever boot: pods outlive a reboot."""
        return tuple(decision for decisions in self._decisions.values() for decision in decisions)

    def forget_pod(self, pod_uid: str) -> None:
        """The pod is gone for good."""
        self.keep_decisions(pod_uid, ())

    # -------------------------------------------------------------------------------------------------------- kills

    def baselines(self) -> dict[int, Baseline]:
        """How far each cgroup's counters are accounted for in this boot, by inode."""
        return dict(self._baselines)

    def forget_baselines(self, inodes: Iterable[int]) -> None:
        """These cgroups are gone."""
        for inode in inodes:
            if self._baselines.pop(inode, None) is not None:
                self._waiting.baselines[inode] = None
        self._tell()

    def record(self, kills: Sequence[OomKill], baselines: Sequence[Baseline], kmsg_sequence: int | None) -> int:
        """From seen to recorded in one transaction; returns how many kills the file did not have before.

        A kill whose id is there already is left as it is and counted nowhere again. ``kmsg_sequence``: the last record of
        the log that need not be read again; None leaves the position as it is. When the disk fails, all of it waits
        together, and nothing is returned as new until it is in the file.
        """
        self._waiting.add_kills(kills)
        for baseline in baselines:
            if self._baselines.get(baseline.inode) != baseline:
                self._baselines[baseline.inode] = self._waiting.baselines[baseline.inode] = baseline
        if kmsg_sequence is not None and kmsg_sequence != self._kmsg_sequence:
            self._kmsg_sequence = self._waiting.kmsg_sequence = kmsg_sequence
        return len(self._tell() & {kill.kill_id for kill in kills})

    @property
    def kmsg_sequence(self) -> int | None:
        """The last record of the kernel's log that need not be read again; None: none was read in this boot."""
        return self._kmsg_sequence

    def settle(self, kill_id: str, outcome: Outcome | None, notice: Notice | None) -> None:
        """What became of the container (None: not to be known), and the Event that counts this kill, as it is now.

        Both in one transaction, so that no kill is counted twice or left out. ``notice`` None: nobody can be told of it.
        """
        self._waiting.settled[kill_id] = (outcome, notice.name if notice is not None else "")
        if notice is not None:
            self._waiting.count(notice)
        self._tell()

    def amend(self, kill: OomKill) -> None:
        """Details that came late: the row is replaced. An outcome known before stays unless this has one, totals stay."""
        self._waiting.amended[kill.kill_id] = kill
        self._tell()

    def kills(
        self, *, since_unix_s: float = 0.0, namespace: str | None = None, pod: str | None = None, limit: int = 1000
    ) -> list[OomKill]:
        """Kills, newest first, those that wait for the disk among them; None matches any."""
        written = self._kills_of_rows(*kills_query(since_unix_s, namespace, pod, limit))
        if not self._waiting:
            return written
        found = {kill.kill_id: self._waiting.seen(kill) for kill in self._waiting.kills.values()}
        found |= {kill.kill_id: self._waiting.seen(kill) for kill in written}
        asked = [
            kill
            for kill in found.values()
            if kill.at_unix_s >= since_unix_s and namespace in (None, kill.namespace) and pod in (None, kill.pod)
        ]
        return sorted(asked, key=lambda kill: -kill.at_unix_s)[:limit]

    def unsettled(self) -> list[OomKill]:
        """Kills that no Event counts yet, oldest first: nobody saw what became of their container (the agent ended before)."""
        rows = "SELECT body, outcome FROM kill WHERE notice IS NULL ORDER BY at_unix_s, rowid"
        found = {kill.kill_id: kill for kill in [*self._kills_of_rows(rows, ()), *self._waiting.kills.values()]}
        return [self._waiting.seen(kill) for kill_id, kill in found.items() if kill_id not in self._waiting.settled]

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
        waiting = (k for k in self._waiting.kills.values() if (k.pod_uid, k.container) == (pod_uid, container))
        return (int(rows[0][0]) if rows else 0) + sum(k.processes for k in waiting if k.at_unix_s >= since_unix_s)

    def kills_in(self, pod_uid: str, inode: int) -> list[OomKill]:
        """All kills that are kept of one cgroup of this boot, in any order."""
        found = {kill.kill_id: kill for kill in self._kills_of_rows(*kills_in_query(pod_uid, self._boot_id, inode))}
        waiting = self._waiting.kills.items()
        found |= {name: kill for name, kill in waiting if (kill.boot_id, kill.cgroup_inode) == (self._boot_id, inode)}
        return [self._waiting.seen(kill) for kill in found.values() if kill.pod_uid == pod_uid]

    def totals(self) -> dict[Series, int]:
        """Processes killed by series (namespace, pod, container, mode, scope), for metrics that go on counting.

        They outlive the kills' own rows: see retention.py. Mode and scope are ``unknown`` where a kill has none.
        """
        found: dict[Series, int] = {}
        for row in self._store.read("SELECT namespace, pod, container, mode, scope, processes FROM total"):
            namespace, pod, container, mode, scope = (from_sql(text) for text in row[:5])
            found[namespace, pod, container, mode, scope] = int(row[5])
        for kill in self._waiting.kills.values():
            if (series := series_of(kill)) is not None:
                found[series] = found.get(series, 0) + kill.processes
        return found

    def forget_totals(self, containers: Iterable[tuple[str, str, str]]) -> None:
        """The metrics' series of these (namespace, pod, container) ended: one that comes back counts from 0, now and after a restart."""
        forgotten = list(containers)
        self._waiting.forgotten_totals.extend(forgotten)
        if forgotten:
            self._tell()

    # ------------------------------------------------------------------------------------------------------ notices

    def queue(self, notice: Notice) -> bool:
        """An Event to be delivered. False: that name is there already, delivered or not, and is left as it is."""
        known = notice.name in self._waiting.notices or self._store.read(
            "SELECT 1 FROM notice WHERE name = ?", (to_sql(notice.name),)
        )
        if not known:
            self._waiting.add_notice(notice)
            self._tell()
        return not known

    def undelivered(self, limit: int = 1000) -> list[Notice]:
        """Events that still wait for their delivery, or for that of their newest count, oldest first."""
        rows = self._store.read(
            "SELECT body FROM notice WHERE outcome IS NULL ORDER BY at_unix_s, rowid LIMIT ?",
            (limit + len(self._waiting.delivered),),
        )
        found = self._waiting.notices | self._notices_of_rows(rows) | self._waiting.counted
        due = [notice for name, notice in found.items() if name not in self._waiting.delivered]
        return sorted(due, key=lambda notice: notice.at_unix_s)[:limit]

    def series(self, since_unix_s: float) -> list[Notice]:
        """Events of a series that was added to since then, the newest last."""
        rows = self._store.read(
            "SELECT body FROM notice WHERE series_last_unix_s >= ? ORDER BY series_last_unix_s", (since_unix_s,)
        )
        found = self._notices_of_rows(rows) | self._waiting.counted
        return sorted((n for n in found.values() if n.last_unix_s >= since_unix_s), key=lambda n: n.last_unix_s)

    def notice(self, name: str) -> Notice | None:
        """An Event as it is now, delivered or not; None: there is no such row."""
        waiting = self._waiting.counted.get(name) or self._waiting.notices.get(name)
        rows = [] if waiting else self._store.read("SELECT body FROM notice WHERE name = ?", (to_sql(name),))
        return waiting or self._notices_of_rows(rows).get(name)

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

    def told(self, notice: Notice, outcome: str) -> None:
        """So much of a series is done with, one way or another; what was counted since waits on."""
        self._waiting.count(notice)
        if notice.sent_count >= notice.count:
            self._waiting.delivered[notice.name] = outcome
        self._tell()

    def delivered(self, name: str, outcome: str) -> None:
        """The Event is done with, one way or another; its name is kept for a day, so that it is never sent again."""
        self._waiting.delivered[name] = outcome
        self._tell()

    # -------------------------------------------------------------------------------------------------------- bounds

    def prune(self, now_unix_s: float, keep_days: int, keep_count: int, batch: int) -> int:
        """Drop at most ``batch`` rows of each kind that are past their time; returns how many went.

        Call it now and then; nothing is dropped while changes wait for the disk.
        """
        if self._waiting:
            return 0
        most = keep_count if self.persistent else min(keep_count, MEMORY_KILLS)
        return self._store.transact(Retention(now_unix_s, keep_days, most, batch).apply) or 0
