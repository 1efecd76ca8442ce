"""What the ledger is given to keep, and when it is written. Times are unix seconds. Decides nothing, prints nothing.

A change is in memory at once and counts for every answer; ``commit`` writes all that changed in one transaction, at the end of a turn
of the loop. What the disk refuses waits and is tried again. A kill -9 before the commit loses the turn, whole: its kills are still in
the kernel's counters, beyond the baselines, and the next agent finds them there.

So may an original be lost although memory.oom.group has been written: nothing durable stands between another's write and ours. The next
agent then leaves the value as it is when the container opts out: it writes no value that nobody has read (docs/adr/0002-sqlite-ledger.md).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from agent.ledger.answers import Answers
from agent.ledger.retention import Retention
from agent.ledger.rows import DECISION_COLUMNS, baselines_of, decisions_of, originals_of, to_sql
from agent.ledger.store import Store
from agent.model import Baseline, KeptDecision, Notice, OomKill, Original, Outcome

FEW = 256  # so many waiting changes are tried at every call; more only by flush(), since each try costs
MEMORY_KILLS = 10_000  # kept without a disk: an agent of 64 MiB can't hold 100,000


class Ledger(Answers):
    """Made by Ledger.open. ``seen_this_boot``: an agent has written into it in this boot before."""

    def __init__(self, store: Store, boot_id: str) -> None:
        super().__init__(store, boot_id)
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
        self._retention = Retention(read)
        if self._renewed != store.renewed:
            self._write_all_again()

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
        if self._unwritten.dropped:
            texts.append(
                f"{self._unwritten.dropped} kills or Events had to be dropped, since the disk was away too long"
            )
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
        return len(self._unwritten)

    def checkpoint_in_background(self, wake: Callable[[], None]) -> None:
        """From now on another thread makes all syncs (checkpoints.py). It calls ``wake`` when a commit that was put off can be made."""
        self._store.checkpoint_in_background(wake)

    def commit(self) -> bool:
        """Write what changed, in one transaction. False: not yet, but soon, when ``wake`` is called.

        Changes that the disk refuses wait in memory, and nobody waits for them: that is True. FEW are tried again each time.
        """
        if self._store.failing and len(self._unwritten) > FEW:
            return True
        return self.flush() or self._store.failing

    def flush(self) -> bool:
        """Try all that waits; True: nothing waits any more."""
        if not self._unwritten:
            return True
        self._store.look_after()
        if not self._apply() and self._store.renewed != self._renewed:
            self._apply()
        return not self._unwritten

    def close(self) -> None:
        """Write what waits, if the disk takes it, and let go of the file."""
        self.flush()
        self._store.close()

    def _apply(self) -> bool:
        if self._renewed != self._store.renewed:
            self._write_all_again()
        done = self._store.transact(lambda connection: self._unwritten.apply(connection, self._boot_id))
        if done:
            self._retention.added(len(self._unwritten.kills))
            self._unwritten.clear()
        return done

    def _write_all_again(self) -> None:
        """A new file has been started: what memory knows goes into it. Older kills stay in the one set aside."""
        self._renewed = self._store.renewed
        self._unwritten.originals = {**self._originals}
        self._unwritten.baselines = {**self._baselines}
        self._unwritten.decisions = {**self._decisions}
        self._unwritten.kmsg_sequence = self._kmsg_sequence

    # ---------------------------------------------------------------------------------------------------- originals

    def remember_original(self, original: Original) -> None:
        """The value before our first write; the first of a cgroup wins."""
        if original.inode not in self._originals:
            self._originals[original.inode] = original
            self._unwritten.originals[original.inode] = original

    def original(self, inode: int) -> Original | None:
        """What was there before us; None: we never wrote there in this boot."""
        return self._originals.get(inode)

    def originals(self) -> tuple[Original, ...]:
        """All of this boot."""
        return tuple(self._originals.values())

    def forget_original(self, inode: int) -> None:
        """It was given back, or its cgroup is gone."""
        if self._originals.pop(inode, None) is not None:
            self._unwritten.originals[inode] = None

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
        self._unwritten.decisions[pod_uid] = kept

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
                self._unwritten.baselines[inode] = None

    def record(self, kills: Sequence[OomKill], baselines: Sequence[Baseline], kmsg_sequence: int | None) -> None:
        """Kills and the counters up to which they are recorded: both are in the file, or neither.

        A kill whose id is there already is left as it is and counted nowhere again. ``kmsg_sequence``: the last record of
        the log that need not be read again; None leaves the position as it is.
        """
        self._unwritten.add_kills(kills)
        for baseline in baselines:
            if self._baselines.get(baseline.inode) != baseline:
                self._baselines[baseline.inode] = self._unwritten.baselines[baseline.inode] = baseline
        if kmsg_sequence is not None and kmsg_sequence != self._kmsg_sequence:
            self._kmsg_sequence = self._unwritten.kmsg_sequence = kmsg_sequence

    @property
    def kmsg_sequence(self) -> int | None:
        """The last record of the kernel's log that need not be read again; None: none was read in this boot."""
        return self._kmsg_sequence

    def record_outcome(self, kill_id: str, outcome: Outcome | None, notice: Notice | None) -> None:
        """What became of the container (None: not to be known), and the Event that counts this kill, as it is now.

        Both in one transaction, so that no kill is counted twice or left out. ``notice`` None: nobody can be told of it.
        """
        self._unwritten.outcomes[kill_id] = (outcome, notice.name if notice is not None else "")
        if notice is not None:
            self._unwritten.count(notice)

    def amend(self, kill: OomKill) -> None:
        """Details that came late: the row is replaced. An outcome known before stays unless this has one, totals stay."""
        self._unwritten.amended[kill.kill_id] = kill

    def forget_totals(self, containers: Iterable[tuple[str, str, str]]) -> None:
        """The metrics' series of these (namespace, pod, container) ended: one that comes back counts from 0, now and after a restart."""
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
            self._unwritten.add_notice(notice)
        return not known

    def series_delivered(self, notice: Notice, outcome: str) -> None:
        """So much of a series is done with, one way or another; what was counted since waits on."""
        self._unwritten.count(notice)
        if notice.sent_count >= notice.count:
            self._unwritten.delivered[notice.name] = outcome

    def delivered(self, name: str, outcome: str) -> None:
        """The Event is done with, one way or another; its name is kept for a day, so that it is never sent again."""
        self._unwritten.delivered[name] = outcome

    # -------------------------------------------------------------------------------------------------------- bounds

    def prune(self, now_unix_s: float, keep_days: int, keep_count: int, batch: int) -> int:
        """Drop at most ``batch`` rows of each kind that are past their time; returns how many went.

        Call it now and then: it looks only when something was added, or an hour has passed. Nothing is dropped while changes wait.
        """
        if not self.flush():
            return 0
        most = keep_count if self.persistent else min(keep_count, MEMORY_KILLS)
        rows = self._retention.too_many(now_unix_s, keep_days, most, batch)
        if not rows or not self._store.transact(lambda connection: self._retention.drop(connection, rows)):
            return 0
        self._retention.dropped(rows)
        return sum(map(len, rows.values()))
