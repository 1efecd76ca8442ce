"""Containers that were removed, of whose last kills only their parents' counters know: which of them may a kill be of?

Owns which were removed when, and what a parent showed at each removal beyond its children's counters. Reads nothing itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from agent.kills.counter import Counter
from agent.model import NODE, CgroupPlace, is_inside

KEEP_S = 10.0  # how long a parent's unexplained kill may be of a container that was removed
UNKNOWN = ""  # stands among the suspects for all that came and went while no agent ran


@dataclass(frozen=True, slots=True)
class _Suspects:
    """Cgroups that were removed while their parent showed more kills than its children: ``raw`` in the end."""

    raw: int
    paths: frozenset[str]


NOBODY = _Suspects(0, frozenset())


class RemovedContainers:
    """Asked with counters that the caller has just read, the parent's first."""

    def __init__(self) -> None:
        self._removed: list[tuple[CgroupPlace, float]] = []
        self._suspects: dict[int, _Suspects] = {}  # by parent

    def add(self, places: Iterable[CgroupPlace], now_s: float) -> None:
        """They were removed, and nothing of them is unrecorded."""
        self._removed += [(place, now_s) for place in places]

    def expire(self, now_s: float) -> None:
        """Forget those that were removed more than KEEP_S ago."""
        self._removed = [(place, at_s) for place, at_s in self._removed if now_s - at_s < KEEP_S]

    def start(self, parent: Counter) -> None:
        """What a parent shows as an agent starts is of those that came and went before: who is removed later is not named for it."""
        self._show(parent, self._suspects.get(parent.cgroup.inode, NOBODY).paths | {UNKNOWN})

    def suspect(self, paths: Iterable[str], parent: Counter) -> None:
        """These cgroups were removed just now: what their parent shows from now on, and didn't before, is of one of them."""
        before = self._suspects.pop(parent.cgroup.inode, NOBODY)
        more = frozenset(paths) if parent.unexplained_kills() > before.raw else frozenset()
        self._show(parent, before.paths | more)

    def is_only_suspect(self, path: str, parent: Counter) -> bool:
        """Whether what the parent shows beyond its children's counters can be of this cgroup alone."""
        suspects = self._suspects.get(parent.cgroup.inode)
        return suspects is not None and suspects.paths == {path}

    def clear(self, path: str, parent: Counter) -> None:
        """All that is this cgroup's has been found: what its parent still shows is of the other suspects, if there are any."""
        suspects = self._suspects.pop(parent.cgroup.inode, None)
        if suspects is not None:
            self._show(parent, (suspects.paths - {path}) or suspects.paths)

    def take_only_suspect(self, parent: Counter) -> str | None:
        """The one container below that what the parent shows can be of; None: none, or one of several. Asked once."""
        suspects = self._suspects.pop(parent.cgroup.inode, None)
        if suspects is not None:
            return next(iter(suspects.paths)) or None if len(suspects.paths) == 1 else None
        if parent.cgroup == NODE:
            return None  # its kills may be outside of pods
        paths = {place.path for place, _ in self._removed if place.container_id}
        below = {path for path in paths if is_inside(path, parent.cgroup.path)}
        return below.pop() if len(below) == 1 else None

    def _show(self, parent: Counter, paths: frozenset[str]) -> None:
        if (raw := parent.unexplained_kills()) > 0:
            self._suspects[parent.cgroup.inode] = _Suspects(raw, paths)
