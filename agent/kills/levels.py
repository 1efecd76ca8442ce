"""The levels above a container remember what it was killed of when it is gone: their word on what nobody could read any more.

Owns who is suspected of what (graves.py). Takes books whose readings it makes fresh itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agent.kills.counters import Account, line_of
from agent.kills.facts import Facts
from agent.kills.increases import Rising
from agent.kills.removed_containers import RemovedContainers
from agent.kills.split import shortfall
from agent.kills.timing import may_grow
from agent.model import CgroupKind, CgroupPlace, OomReport


class Hierarchy:
    """See the module."""

    def __init__(self, rising: Rising, facts: Facts) -> None:
        self._rising = rising
        self._facts = facts
        self._graves = RemovedContainers()

    def unwitnessed(self, accounts: Iterable[Account]) -> None:
        """As an agent starts: what these levels show may be of containers that came and went before."""
        for account in accounts:
            if account.cgroup.place.kind is not CgroupKind.CONTAINER:
                self._graves.unwitnessed(account)

    def ended(self, place: CgroupPlace, parent: Account, now_s: float) -> None:
        """A cgroup went just now: a kill that its parent shows and no child does is its own, if it shows from now on only."""
        _, went = self._rising.refresh(parent, now_s)
        self._rising.note(parent, now_s, rose=False)
        self._graves.ended({place.path, *(each.cgroup.path for each in went)}, parent)

    def buried(self, places: Iterable[CgroupPlace], now_s: float) -> None:
        """These are gone, and nothing of them is open; those that went long ago are forgotten."""
        self._graves.add(places, now_s)
        self._graves.expire(now_s)

    def whose(self, level: Account) -> str | None:
        """Path of the one container below that what the level shows can be of; None: none, or one of several. Asked once."""
        return self._graves.take_only(level)

    def complete(self, account: Account, reports: Sequence[OomReport], now_s: float) -> None:
        """Before a kill is told of a container that went, or a group kill: its victims that were counted after its last reading.

        The kernel may be in the midst of the kill as we read, and the cgroup gone before we read again; then the levels above
        know. Of what they show beyond all readings as much is its own as its ``reports`` have victims more than it, or
        all where nobody else can be meant.
        """
        settled = not account.gone and not may_grow(account, reports, self._facts)
        if settled or self._rising.look(account, now_s):
            return
        for level in tuple(line_of(account))[1:]:
            if level.cgroup.place.kind is CgroupKind.POD and not account.gone:
                self.ended(account.cgroup.place, level, now_s)  # word of it is yet to come
            there, _ = self._rising.refresh(level, now_s)
            self._grow(account, level, reports)
            if there:  # else those above it may know of more
                break

    def _grow(self, account: Account, level: Account, reports: Sequence[OomReport]) -> None:
        raw, groups = max(0, level.unexplained()), level.unexplained_groups()
        groups = None if groups is None else max(0, groups)
        if self._graves.is_only_suspect(account.cgroup.path, level):
            account.grow(raw, groups or 0)
        else:
            account.grow(*shortfall((account.open_kills, account.open_groups), (raw, groups), reports))
        self._graves.cleared(account.cgroup.path, level)
