"""Containers that vanished, of whose last kills only their parents' counters tell: which of them may a kill be?

Owns who went when, and what a parent showed at each end beyond its children's counters. Reads nothing itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from agent.kills.counters import Account
from agent.model import CgroupPlace

GRAVE_S = 10.0  # how long a parent's unexplained kill may be that of a container that vanished
NOBODY_KNOWS = ""  # stands among the suspects for all that came and went while no agent ran


@dataclass(frozen=True, slots=True)
class _Suspects:
    """Cgroups that went while their parent showed more kills than its children's did: ``raw`` in the end."""

    raw: int
    paths: frozenset[str]


class RemovedContainers:
    """Asked with accounts (accounts.py), whose readings the caller has made fresh, the parent's first."""

    def __init__(self) -> None:
        self._graves: list[tuple[CgroupPlace, float]] = []
        self._suspects: dict[int, _Suspects] = {}  # by parent

    def add(self, places: Iterable[CgroupPlace], now_s: float) -> None:
        """What was there is gone, and nothing of it is open."""
        self._graves += [(place, now_s) for place in places]

    def expire(self, now_s: float) -> None:
        """Forget those that went longer than GRAVE_S ago."""
        self._graves = [(place, at) for place, at in self._graves if now_s - at < GRAVE_S]

    def ended(self, paths: Iterable[str], parent: Account) -> None:
        """These cgroups went just now: what their parent shows from now on, and didn't before, is of one of them."""
        before = self._suspects.pop(parent.cgroup.inode, _Suspects(0, frozenset()))
        if (raw := parent.unexplained()) > 0:
            more = frozenset(paths) if raw > before.raw else frozenset()
            self._suspects[parent.cgroup.inode] = _Suspects(raw, before.paths | more)

    def is_only_suspect(self, path: str, parent: Account) -> bool:
        """Whether what the parent shows beyond its children's counters can be of this cgroup alone."""
        suspects = self._suspects.get(parent.cgroup.inode)
        return suspects is not None and suspects.paths == {path}

    def cleared(self, path: str, parent: Account) -> None:
        """All that is this cgroup's has been found: what its parent still shows is of the other suspects, if there are any."""
        suspects = self._suspects.pop(parent.cgroup.inode, None)
        if suspects is not None and (raw := parent.unexplained()) > 0:
            self._suspects[parent.cgroup.inode] = _Suspects(raw, (suspects.paths - {path}) or suspects.paths)

    def unwitnessed(self, parent: Account) -> None:
        """What a parent shows as an agent starts is of those that came and went before: who goes from now on is not named for it."""
        if (raw := parent.unexplained()) > 0:
            before = self._suspects.get(parent.cgroup.inode, _Suspects(0, frozenset()))
            self._suspects[parent.cgroup.inode] = _Suspects(raw, before.paths | {NOBODY_KNOWS})

    def take_only(self, parent: Account) -> str | None:
        """The one container below that what the parent shows can be of; None: none, or one of several. Asked once."""
        suspects = self._suspects.pop(parent.cgroup.inode, None)
        if suspects is not None:
            return next(iter(suspects.paths)) or None if len(suspects.paths) == 1 else None
        below = parent.cgroup.path + "/"
        graves = {place.path for place, _ in self._graves if place.path.startswith(below) and place.container_id}
        return graves.pop() if len(graves) == 1 else None
