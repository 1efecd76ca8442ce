"""The books: how far each cgroup's counters are accounted for, along the kernel's own hierarchy.

Owns one Account a container, pod and kubepods root. Takes readings in, tells what is open, and closes what was
recorded at every level at once, so that the hierarchy audits the attribution. No time, no input or output.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import inf

from agent.model import Baseline, Cgroup, CgroupKind, MemoryEvents

HIT_TO_KILL_S = (
    30.0  # from the hit of a limit to its kill: over 2 s were seen in the lab, on a node that was busy with a storm
)
NOTHING = MemoryEvents(oom_kill=0, oom=0, oom_group_kill=0, local_oom=0)


@dataclass(slots=True)
class Account:
    """One cgroup's book. ``closed`` is what is in the ledger, ``reading`` the last that the kernel said."""

    cgroup: Cgroup
    parent: Account | None
    closed_kills: int
    closed_groups: int
    closed_oom: int
    closed_local_oom: int
    ordinal: int
    reading: MemoryEvents
    changed_s: float  # monotonic time of the last reading that differed from the one before, or of the first
    last_hit_s: float  # likewise, of the last that had more hits than the one before
    without_kill_s: float  # likewise, of the last in which no kill was open; -inf: there is none
    children: dict[int, Account] = field(default_factory=dict)
    gone: bool = False
    unread: bool = False  # the last look at it failed: its reading may lack what came after

    @property
    def open_kills(self) -> int:
        """Raw kills that the counter shows and the ledger doesn't have."""
        return self.reading.oom_kill - self.closed_kills

    @property
    def open_groups(self) -> int | None:
        """Group kills likewise; None before kernel 5.17."""
        if self.reading.oom_group_kill is None:
            return None
        return self.reading.oom_group_kill - self.closed_groups

    def read(self, reading: MemoryEvents, now_s: float) -> None:
        """A new reading. The hit of a limit comes before its kill: one without a kill for HIT_TO_KILL_S led to none."""
        self.unread = False
        if (
            reading.oom_kill < self.reading.oom_kill
        ):  # v1: a sum over cgroups; one that was removed took its count along
            self.closed_kills -= self.reading.oom_kill - reading.oom_kill
        if reading.oom_kill <= self.closed_kills:
            self.without_kill_s = now_s
        if reading == self.reading:
            return
        if self.open_kills <= 0 and now_s - self.changed_s > HIT_TO_KILL_S:
            self.closed_oom = self.reading.oom
            self.closed_local_oom = self.reading.local_oom or 0
        self._show(reading, now_s)

    def read_hits(self, reading: MemoryEvents, now_s: float) -> None:
        """A later reading of which only the hits count: the kernel prints them before the kills, so that a reading can have a
        kill and lack its hit. Kills that are new in it are read when their time comes.
        """
        hits = replace(self.reading, oom=reading.oom, local_oom=reading.local_oom)
        if hits != self.reading:
            self._show(hits, now_s)

    def _show(self, reading: MemoryEvents, now_s: float) -> None:
        if reading.oom != self.reading.oom:
            self.last_hit_s = now_s
        self.reading, self.changed_s = reading, now_s

    @property
    def open_hits(self) -> int:
        """Hits of a limit at or below this cgroup that have led to no recorded kill, and have not expired."""
        return self.reading.oom - self.closed_oom

    @property
    def open_own_hits(self) -> int:
        """Those of them that are of this cgroup's own limit; 0 where the kernel doesn't tell them apart."""
        return 0 if self.reading.local_oom is None else self.reading.local_oom - self.closed_local_oom

    def unexplained_hits(self) -> int:
        """Those that are neither its own nor shown by a book below: of children that nobody could read any more."""
        return self.open_hits - self.open_own_hits - sum(child.open_hits for child in self.children.values())

    def take_hit(self, *, own: bool) -> None:
        """A hit has led to a kill that is being recorded: one, however many processes it took. ``own``: of this cgroup's limit."""
        self.closed_oom = min(self.reading.oom, self.closed_oom + 1)
        if own:
            self.closed_local_oom = min(self.reading.local_oom or 0, self.closed_local_oom + 1)

    def unexplained(self) -> int:
        """Raw kills here that no book below shows, open or closed: those of children that nobody could read any more."""
        return self.open_kills - sum(child.shown() for child in self.children.values())

    def shown(self) -> int:
        """Open raw kills that are known here or below: a level that went may have been read for the last time before those below it."""
        return max(self.open_kills, sum(child.shown() for child in self.children.values()))

    def unexplained_groups(self) -> int | None:
        """Group kills likewise."""
        if self.open_groups is None:
            return None
        return self.open_groups - sum(child.shown_groups() for child in self.children.values())

    def shown_groups(self) -> int:
        """Open group kills likewise."""
        return max(self.open_groups or 0, sum(child.shown_groups() for child in self.children.values()))

    def grow(self, raw: int, groups: int) -> None:
        """So many kills more than the last reading showed are its own, as the levels above tell: it went before another one."""
        counted = self.reading.oom_group_kill
        self.reading = replace(
            self.reading,
            oom_kill=self.reading.oom_kill + raw,
            oom_group_kill=None if counted is None else counted + groups,
        )

    def baseline(self) -> Baseline:
        """What the ledger keeps of this book."""
        return Baseline(
            inode=self.cgroup.inode,
            path=self.cgroup.path,
            oom_kill=self.closed_kills,
            oom_group_kill=self.closed_groups,
            oom=self.closed_oom,
            local_oom=self.closed_local_oom,
            ordinal=self.ordinal,
        )


def line_of(account: Account) -> Iterator[Account]:
    """The account and those above it, upwards."""
    at: Account | None = account
    while at is not None:
        yield at
        at = at.parent


class Books:
    """All accounts of the node, by inode.

    ``kept`` are the ledger's baselines of this boot. ``seen_this_boot``: an agent has kept books in this boot before; a
    cgroup without a baseline was then born in our absence and counts from 0, else from what it shows at first sight.
    """

    def __init__(self, kept: Mapping[int, Baseline], *, seen_this_boot: bool) -> None:
        self._kept = dict(kept)
        self._from_zero = seen_this_boot
        self._accounts: dict[int, Account] = {}
        self._by_path: dict[str, Account] = {}

    def __iter__(self) -> Iterator[Account]:
        return iter(tuple(self._accounts.values()))

    def open(self, cgroup: Cgroup, first: MemoryEvents, now_s: float, *, newborn: bool) -> Account:
        """Open (or find) the book of a cgroup at its first reading. ``newborn``: it was made while we watched."""
        if (known := self._accounts.get(cgroup.inode)) is not None:
            return known
        start = self._start(cgroup, first, from_zero=newborn or self._from_zero)
        if first.oom_kill < start.oom_kill:  # likewise, while no agent ran
            start = replace(start, oom_kill=first.oom_kill)
        account = Account(
            cgroup=cgroup,
            parent=self._parent(cgroup),
            closed_kills=start.oom_kill,
            closed_groups=start.oom_group_kill,
            closed_oom=start.oom,
            closed_local_oom=start.local_oom,
            ordinal=start.ordinal,
            reading=first,
            changed_s=now_s,
            last_hit_s=now_s,
            without_kill_s=now_s if first.oom_kill <= start.oom_kill else -inf,
        )
        self._accounts[cgroup.inode] = account
        self._by_path[cgroup.path] = account
        self._adopt(account)
        return account

    def _adopt(self, account: Account) -> None:
        """Between its parent and those below it that came first: a container's start may be told before its pod's."""
        if account.parent is not None:
            account.parent.children[account.cgroup.inode] = account
        if account.cgroup.place.kind is CgroupKind.CONTAINER:
            return  # nothing below it keeps counters of its own
        above = account.parent.children if account.parent is not None else self._accounts
        for inode, other in tuple(above.items()):
            if other.parent is account.parent and other.cgroup.path.startswith(account.cgroup.path + "/"):
                if account.parent is not None:
                    del above[inode]
                other.parent = account
                account.children[inode] = other

    def absent(self) -> tuple[Baseline, ...]:
        """Books that the ledger kept of cgroups that nobody has opened: they went while no agent ran."""
        return tuple(kept for inode, kept in self._kept.items() if inode not in self._accounts)

    def _start(self, cgroup: Cgroup, first: MemoryEvents, *, from_zero: bool) -> Baseline:
        if (kept := self._kept.get(cgroup.inode)) is not None:
            return kept
        shown = NOTHING if from_zero else first
        return Baseline(
            inode=cgroup.inode,
            path=cgroup.path,
            oom_kill=shown.oom_kill,
            oom_group_kill=shown.oom_group_kill or 0,
            oom=shown.oom,
            local_oom=shown.local_oom or 0,
            ordinal=0,
        )

    def _parent(self, cgroup: Cgroup) -> Account | None:
        at = cgroup.path
        while at:
            at = at.rpartition("/")[0]
            above = self._by_path.get(at)
            if above is not None and above.cgroup.place.kind is not CgroupKind.CONTAINER:
                return above
        return None

    def get(self, cgroup: Cgroup) -> Account | None:
        """The book of this very cgroup, None when none was opened."""
        return self._accounts.get(cgroup.inode)

    def of(self, inodes: Iterable[int]) -> list[Account]:
        """The books of these cgroups, as far as there are any."""
        return [account for inode in inodes if (account := self._accounts.get(inode)) is not None]

    def at_path(self, path: str) -> Account | None:
        """The book of the cgroup that had this path last."""
        return self._by_path.get(path)

    def kind(self, kind: CgroupKind) -> Iterator[Account]:
        """All accounts of one kind."""
        return (account for account in self if account.cgroup.place.kind is kind)

    def close(self, account: Account, raw: int, groups: int) -> None:
        """Book ``raw`` kills of a cgroup as recorded, at its level and at every level above."""
        for level in line_of(account):
            level.closed_kills += raw
            level.closed_groups += groups

    def drop(self, account: Account) -> None:
        """Forget a gone cgroup's book (its recorded kills stay in the books above)."""
        self._accounts.pop(account.cgroup.inode, None)
        if self._by_path.get(account.cgroup.path) is account:
            del self._by_path[account.cgroup.path]
        if account.parent is not None:
            account.parent.children.pop(account.cgroup.inode, None)


def baselines(accounts: Iterable[Account]) -> tuple[Baseline, ...]:
    """The ledger's records of these books and of all above them, each once."""
    levels = {level.cgroup.inode: level for account in accounts for level in line_of(account)}
    return tuple(level.baseline() for level in levels.values())
