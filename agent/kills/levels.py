"""The levels above a container still count its kills when it was removed: what they say of kills that nobody could read any more.

Asks removed_containers.py which container a kill may be of. Reads the counters it needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agent.kills.counter import Counter, upwards
from agent.kills.facts import Facts
from agent.kills.increases import Increases
from agent.kills.removed_containers import RemovedContainers
from agent.kills.split import shortfall
from agent.kills.timing import may_grow
from agent.model import CgroupKind, CgroupPlace, OomReport


class Levels:
    """See the module."""

    def __init__(self, increases: Increases, facts: Facts) -> None:
        self._increases = increases
        self._facts = facts
        self._removed = RemovedContainers()

    def start(self, counters: Iterable[Counter]) -> None:
        """As an agent starts: what these levels show may be of containers that came and went before."""
        for counter in counters:
            if counter.cgroup.place.kind is not CgroupKind.CONTAINER:
                self._removed.start(counter)

    def removed(self, place: CgroupPlace, parent: Counter, now_s: float) -> None:
        """A cgroup was removed just now: a kill that its parent shows from now on, and no child shows, is its own."""
        _, others = self._increases.read_level(parent, now_s)
        self._increases.note(parent, now_s, increased=False)
        self._removed.suspect({place.path, *(each.cgroup.path for each in others)}, parent)

    def forget(self, places: Iterable[CgroupPlace], now_s: float) -> None:
        """These were removed, and nothing of them is unrecorded; those that were removed long ago are forgotten."""
        self._removed.add(places, now_s)
        self._removed.expire(now_s)

    def only_suspect(self, level: Counter) -> str | None:
        """Path of the one container below that what the level shows can be of; None: none, or one of several. Asked once."""
        return self._removed.take_only_suspect(level)

    def complete(self, counter: Counter, reports: Sequence[OomReport], now_s: float) -> None:
        """Before a kill of a removed container is recorded, or a group kill: its victims that were counted after its last reading.

        The kernel may be in the middle of the kill as we read, and the cgroup removed before we read again; then the levels above
        know. Of what they show beyond all readings as much is its own as its ``reports`` have victims more than it, or
        all where nobody else can be meant.
        """
        complete = not counter.removed and not may_grow(counter, reports, self._facts)
        if complete or self._increases.read(counter, now_s):
            return
        for level in tuple(upwards(counter))[1:]:
            if level.cgroup.place.kind is CgroupKind.POD and not counter.removed:
                self.removed(counter.cgroup.place, level, now_s)  # that was not notified yet
            there, _ = self._increases.read_level(level, now_s)
            self._add_unread(counter, level, reports)
            if there:  # else those above it may know of more
                break

    def _add_unread(self, counter: Counter, level: Counter, reports: Sequence[OomReport]) -> None:
        raw, groups = max(0, level.unexplained_kills()), level.unexplained_groups()
        groups = None if groups is None else max(0, groups)
        if self._removed.is_only_suspect(counter.cgroup.path, level):
            counter.add_unread(raw, groups or 0)
        else:
            shown = (counter.unrecorded_kills, counter.unrecorded_groups)
            counter.add_unread(*shortfall(shown, (raw, groups), reports))
        self._removed.clear(counter.cgroup.path, level)
