"""What counters have risen and are not told of yet: readings go in, the accounts with open kills come out, with since when.

Owns the Rises, by inode, over the books (accounts.py). Decides nothing about when enough is known (ripeness.py).
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from agent.kills.counters import Account, Books, line_of
from agent.kills.facts import Facts
from agent.kills.timing import Rise
from agent.model import Cgroup, CgroupKind, MemoryEvents, Vanished


class Rising:
    """See the module."""

    def __init__(self, books: Books, facts: Facts) -> None:
        self._books = books
        self._facts = facts
        self._rises: dict[int, Rise] = {}

    def accounts(self) -> list[Account]:
        """All with something open, of any level."""
        return self._books.of(self._rises)

    @property
    def inodes(self) -> AbstractSet[int]:
        """Theirs."""
        return self._rises.keys()

    def containers(self) -> list[Account]:
        """The containers among them."""
        return [account for account in self.accounts() if account.cgroup.place.kind is CgroupKind.CONTAINER]

    def containers_below(self, level: Account) -> list[Account]:
        """Those of them that live below this level."""
        return [each for each in self.containers() if any(above is level for above in line_of(each))]

    def rise_of(self, account: Account) -> Rise:
        """Since when it waits. Raises KeyError for an account that is none of ``accounts()``."""
        return self._rises[account.cgroup.inode]

    def note(self, account: Account, now_s: float, *, rose: bool = True) -> None:
        """The account may have something open. ``rose``: more than before."""
        if account.open_kills <= 0:
            return
        rise = self._rises.setdefault(account.cgroup.inode, Rise(now_s, now_s))
        if rose:
            rise.last_s = now_s

    def told(self, account: Account) -> None:
        """Nothing of it waits any more."""
        del self._rises[account.cgroup.inode]

    def counted(self, cgroup: Cgroup, reading: MemoryEvents, now_s: float) -> None:
        """A new reading of a cgroup's counters; of one without a book nothing is kept."""
        account = self._books.get(cgroup)
        if account is None:
            return
        rose = reading.oom_kill > account.reading.oom_kill
        account.read(reading, now_s)
        if rose or account.open_kills > 0:
            self.note(account, now_s, rose=rose)

    def look(self, account: Account, now_s: float) -> bool:
        """Read its counters now. False: it has gone, and its last reading stays."""
        reading = self._facts.counters(account.cgroup)
        if isinstance(reading, Vanished):
            account.unread = True
            return False
        self.counted(account.cgroup, reading, now_s)
        return True

    def refresh(self, level: Account, now_s: float) -> tuple[bool, list[Account]]:
        """Read a level first, and its children after, if something is unexplained: so a kill in between is never taken for that, and
        a kill costs the same however many pods there are.

        Gives whether the level is there, and the children that turn out to have gone though no word of their end has come.
        """
        there = self.look(level, now_s)
        return there, [] if level.explained() else self._look_below(level, now_s)

    def _look_below(self, level: Account, now_s: float) -> list[Account]:
        return [each for each in level.children.values() if not self.look(each, now_s) and not each.gone]

    def look_for_hits(self, account: Account, now_s: float) -> None:
        """Read what there is of hits now: all that came before a kill that was read are counted by now. Word of a level above may be yet
        to come, and a container's own reading may have a kill and lack its hit (Account.read_hits).
        """
        if account.cgroup.place.kind is CgroupKind.CONTAINER:
            own = self._facts.counters(account.cgroup)
            account.unread = isinstance(own, Vanished)
            if not isinstance(own, Vanished):
                account.read_hits(own, now_s)
        for level in tuple(line_of(account))[1:]:
            self.look(level, now_s)
            if account.unread and level is account.parent and level.unexplained_hits() > 0:
                self._look_below(level, now_s)  # a hit of another child is not to be taken for one of this account's
