"""What the ledger is given to keep, and when it is written. Times are unix seconds. Decides nothing, prints nothing.

A change is in memory at once and counts for every answer; ``commit`` writes all changes in one transaction, at the end of a turn
of the loop. A kill -9 before the commit loses the whole turn: its kills are still in the kernel's counters, beyond the baselines,
and the next agent finds them there.

An original may be lost although memory.oom.group has been written: nothing durable stands between another's write and ours. The next
agent then leaves the value as it is when the container opts out: it writes no value that was never read (docs/adr/0002-sqlite-ledger.md).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from agent.ledger.answers import Answers
from agent.ledger.retention import Retention, drop
from agent.ledger.rows import Record, Row, baseline_of, decision_of, exceeded_of, original_of, readable, to_sql
from agent.ledger.store import Store
from agent.ledger.unwritten import Unwritten
from agent.model import Baseline, Exceeded, KeptDecision, Notice, OomKill, Original, Outcome, Tolerance
from agent.wording.text import count

FEW = 256  # commit() tries no more waiting changes than this on a failing disk, since each try costs; flush() does
MEMORY_KILLS = 10_000  # kept without a disk: 100,000 are too many for an agent of 64 MiB


class Ledger(Answers):
    """Made by Ledger.open. ``seen_this_boot``: an agent has written baselines into it in this boot before.

    ``kmsg_sequence``: the last record of the kernel's log that need not be read again; None: none was read in this boot.
    """

    def __init__(self, store: Store, boot_id: str) -> None:
        super().__init__(store, boot_id)
        self._renewed = store.renewed
        self.seen_this_boot = store.seen_this_boot
        self._originals = {one.inode: one for one in self._all("original", original_of)}
        self._baselines = {one.inode: one for one in self._all("baseline", baseline_of)}
        self._exceeded = {one.inode: one for one in self._all("exceeded", exceeded_of)}
        self._decisions: dict[str, tuple[KeptDecision, ...]] = {}
        for decision in self._all("decision", decision_of):
            self._decisions[decision.pod_uid] = (*self._decisions.get(decision.pod_uid, ()), decision)
        rows = store.read(
            "SELECT kmsg_sequence FROM boot WHERE id = ? AND typeof(kmsg_sequence) = 'integer'", (boot_id,)
        )
        self.kmsg_sequence: int | None = rows[0][0] if rows else None
        self._retention = Retention(store.read)

    def _all(self, table: str, record_of: Callable[[Row], Record | None]) -> Iterator[Record]:
        return readable(self._store.read(f"SELECT * FROM {table}"), record_of, self._written.bad)

    @classmethod
    def open(cls, state_dir: Path, boot_id: str, now_unix_s: float | None = None) -> Ledger:
        """Never raises for a bad disk: see ``trouble`` and ``persistent``. ``now_unix_s`` names a file that has to be set aside."""
        return cls(Store(state_dir, boot_id, time.time() if now_unix_s is None else now_unix_s), boot_id)

    @property
    def trouble(self) -> str | None:
        """What is wrong with the disk, and what to do; None: nothing."""
        texts = [self._store.trouble]
        if self._unwritten.dropped:
            dropped = count(self._unwritten.dropped, "record")
            texts.append(f"{dropped} of kills or Events had to be dropped, since the disk was away too long")
        if bad := self._written.bad_rows:
            texts.append(f"{count(bad, 'row')} could not be read and {'was' if bad == 1 else 'were'} left out")
        return "; ".join(text for text in texts if text) or None

    @property
    def persistent(self) -> bool:
        """Whether the ledger is a file; False: it ends with this process."""
        return self._store.persistent

    @property
    def failing(self) -> bool:
        """Whether the disk failed the last time, or the file is being replaced: what was asked then may have found nothing."""
        return self._store.failing

    @property
    def errors(self) -> int:
        """How often the disk failed, and how many rows could not be read."""
        return self._store.errors + self._written.bad_rows

    @property
    def pending(self) -> int:
        """Changes that wait in memory for the disk."""
        return len(self._unwritten)

    def checkpoint_in_background(self, wake: Callable[[], None]) -> None:
        """From now on other threads make all syncs (checkpoints.py). They call ``wake`` when a commit that was delayed can be made."""
        self._store.checkpoint_in_background(wake)

    def commit(self) -> bool:
        """Write what changed, in one transaction. False: it will be possible soon, when ``wake`` is called.

        True also if the disk refuses the changes: they wait in memory, without a wait for the disk.
        """
        if self._store.failing and len(self._unwritten) > FEW:
            return True
        return self.flush() or self._store.failing

    def flush(self) -> bool:
        """Try all that waits; True: nothing waits any more."""
        self._store.take_over()
        if not self._unwritten and self._renewed == self._store.renewed:
            return True
        self._store.look_after()
        return self._apply() or (self._renewed != self._store.renewed and self._apply())

    def close(self) -> None:
        """Write what waits, if the disk takes it, and close the file."""
        self._store.end_background()
        self.flush()
        self._store.close()

    def _apply(self) -> bool:
        if self._renewed != self._store.renewed:
            self._write_all_again()
        done = self._store.transact(lambda connection: self._unwritten.apply(connection, self._boot_id))
        if done:
            self._retention.added()
            self._unwritten = Unwritten(dropped=self._unwritten.dropped)
        return done

    def _write_all_again(self) -> None:
        """A new file has been started: all that memory knows is written into it. Older kills stay in the one set aside."""
        self._renewed = self._store.renewed
        self._unwritten.originals = {**self._originals}
        self._unwritten.baselines = {**self._baselines}
        self._unwritten.exceeded = {**self._exceeded}
        self._unwritten.decisions = {**self._decisions}
        self._unwritten.kmsg_sequence = self.kmsg_sequence

    # ---------------------------------------------------------------------------------------------------- originals

    def remember_original(self, original: Original) -> None:
        """The value before our first write; the first of a cgroup wins."""
        if original.inode not in self._originals:
            self._originals[original.inode] = original
            self._unwritten.originals[original.inode] = original

    def original(self, inode: int) -> Original | None:
        """The value before our first write; None: we never wrote there in this boot."""
        return self._originals.get(inode)

    def originals(self) -> tuple[Original, ...]:
        """All of this boot."""
        return tuple(self._originals.values())

    def forget_original(self, inode: int) -> None:
        """It was written back, or its cgroup was removed."""
        if self._originals.pop(inode, None) is not None:
            self._unwritten.originals[inode] = None

    # ---------------------------------------------------------------------------------------------------- decisions

    def keep_decisions(self, pod_uid: str, decisions: Sequence[KeptDecision]) -> None:
        """The pod's decisions as they are now; () if it has none any more."""
        kept = tuple(decisions)
        if self._decisions.get(pod_uid, ()) == kept:
            return
        if kept:
            self._decisions[pod_uid] = kept
        else:
            del self._decisions[pod_uid]
        self._unwritten.decisions[pod_uid] = kept

    def kept_decisions(self) -> tuple[KeptDecision, ...]:
        """All, also of other boots: pods outlive a reboot."""
        return tuple(decision for decisions in self._decisions.values() for decision in decisions)

    def forget_pod(self, pod_uid: str) -> None:
        """The pod was deleted, or asks for nothing."""
        self.keep_decisions(pod_uid, ())

    # -------------------------------------------------------------------------------------------------------- kills

    def baselines(self) -> dict[int, Baseline]:
        """How far each cgroup's counters are recorded in this boot, by inode."""
        return dict(self._baselines)

    def forget_baselines(self, inodes: Iterable[int]) -> None:
        """These cgroups were removed."""
        for inode in inodes:
            if self._baselines.pop(inode, None) is not None:
                self._unwritten.baselines[inode] = None
            if self._exceeded.pop(inode, None) is not None:
                self._unwritten.exceeded[inode] = None

    def exceeded(self, inode: int) -> Tolerance | None:
        """The tolerance that this cgroup exceeded, also when its kills are no longer kept; None: none."""
        found = self._exceeded.get(inode)
        return None if found is None else found.tolerance

    def remember_exceeded(self, inode: int, tolerance: Tolerance) -> None:
        """The cgroup exceeded it, until it is removed."""
        if self.exceeded(inode) != tolerance:
            self._exceeded[inode] = self._unwritten.exceeded[inode] = Exceeded(inode, tolerance)

    def record(self, kills: Sequence[OomKill], baselines: Sequence[Baseline], kmsg_sequence: int | None) -> None:
        """Kills and the counters up to which they are recorded: both are in the file, or neither.

        A kill with an id that is there already is left as it is and not counted again. ``kmsg_sequence`` None leaves the position as it is.
        """
        self._unwritten.add_kills(kills)
        for baseline in baselines:
            if self._baselines.get(baseline.inode) != baseline:
                self._baselines[baseline.inode] = self._unwritten.baselines[baseline.inode] = baseline
        if kmsg_sequence is not None and kmsg_sequence != self.kmsg_sequence:
            self.kmsg_sequence = self._unwritten.kmsg_sequence = kmsg_sequence

    def record_outcome(self, kill_id: str, outcome: Outcome | None, notice: Notice | None) -> None:
        """What became of the container (None: it can't be known), and the Event that counts this kill (None: none can), as it is now.

        Both in one transaction, so that no kill is counted twice or left out.
        """
        self._unwritten.outcomes[kill_id] = (outcome, notice.name if notice is not None else "")
        if notice is not None:
            self._unwritten.put_notice(notice)

    def amend(self, kill: OomKill) -> None:
        """Details that came late replace the row. An outcome known before stays unless this has one, totals stay."""
        self._unwritten.amended[kill.kill_id] = kill

    def forget_totals(self, containers: Iterable[tuple[str, str, str]]) -> None:
        """The metrics' series of these (namespace, pod, container) ended: a new one counts from 0, now and after a restart."""
        forgotten = list(containers)
        if forgotten:
            self.commit()  # kills that were counted before are counted in what is forgotten
            self._unwritten.forgotten_totals.extend(forgotten)

    # ------------------------------------------------------------------------------------------------------ notices

    def queue(self, notice: Notice) -> bool:
        """An Event to be delivered. False: that name is there already, delivered or not, and is left as it is."""
        known = notice.name in self._unwritten.notices or self._store.read(
            "SELECT 1 FROM notice WHERE name = ?", (to_sql(notice.name),)
        )
        if not known:
            self._unwritten.put_notice(notice)
        return not known

    def count(self, notice: Notice) -> None:
        """An Event as it is now: a new one, or one that counts more."""
        self._unwritten.put_notice(notice)

    def series_delivered(self, notice: Notice, outcome: str) -> None:
        """The Event is finished up to its ``sent_count``; a higher count waits."""
        self._unwritten.put_notice(notice)
        if notice.sent_count >= notice.count:
            self._unwritten.delivered[notice.name] = outcome

    def delivered(self, name: str, outcome: str) -> None:
        """The Event is finished; its name is kept for a day, so that it is never sent again."""
        self._unwritten.delivered[name] = outcome

    # -------------------------------------------------------------------------------------------------------- bounds

    def prune(self, now_unix_s: float, keep_days: int, keep_count: int, batch: int) -> int:
        """Delete at most ``batch`` rows of each kind that are past their time; returns how many. Not while changes wait."""
        self._store.look_after()
        if not self.flush():
            return 0
        most = keep_count if self.persistent else min(keep_count, MEMORY_KILLS)
        rows = self._retention.too_many(now_unix_s, keep_days, most, batch)
        done = bool(rows) and self._store.transact(lambda connection: drop(connection, rows))
        return sum(map(len, rows.values())) if done else 0
