"""The levels above a removed container still count its kills: what they say of those that nobody could read any more.

Owns the suspects of each level: the raw kills that it showed beyond its children's when one of them was removed, and the paths of those
that these may be of.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agent.kills.counter import Counter, upwards
from agent.kills.counters import Counters
from agent.kills.facts import Facts
from agent.kills.follow_up import FollowUp
from agent.kills.pending_reports import PendingReports, named_cgroup
from agent.kills.split import is_group, raw_of, split_increase
from agent.kills.timing import may_grow
from agent.model import NODE, CgroupKind, CgroupPlace, OomReport, is_inside

KEEP_S = 10.0  # how long a level's unexplained kill may be of a container that was removed
UNKNOWN = ""  # stands among the suspects for all that were removed while no agent ran
NOBODY: tuple[int, frozenset[str]] = 0, frozenset()


class Levels:
    """See the module."""

    def __init__(self, counters: Counters, reports: PendingReports, follow_up: FollowUp, facts: Facts) -> None:
        self._counters = counters
        self._reports = reports
        self._follow_up = follow_up
        self._facts = facts
        self._removed: list[tuple[CgroupPlace, float]] = []
        self._suspects: dict[int, tuple[int, frozenset[str]]] = {}

    def start(self) -> None:
        """As an agent starts: what these levels show may be of containers that were removed before."""
        for level in self._counters:
            if level.kind is not CgroupKind.CONTAINER:
                self._suspect(level, self._suspects.get(level.cgroup.inode, NOBODY)[1] | {UNKNOWN})

    def removed(self, place: CgroupPlace, parent: Counter, now_s: float) -> None:
        """A cgroup was removed just now: a kill that its parent shows from now on, and no child shows, is its own."""
        _, others = self._counters.read_level(parent, now_s)
        self._counters.note(parent, now_s, increased=False)
        raw, paths = self._suspects.pop(parent.cgroup.inode, NOBODY)
        more = {place.path, *(each.cgroup.path for each in others)} if parent.unexplained_kills > raw else set()
        self._suspect(parent, paths | more)

    def missed(self, place: CgroupPlace, parent: Counter, now_s: float) -> None:
        """Likewise of one that nobody saw: also what its parent showed before that was said may be its own."""
        self.removed(place, parent, now_s)
        _, paths = self._suspects.get(parent.cgroup.inode, NOBODY)
        self._suspect(parent, paths | {place.path})

    def _suspect(self, level: Counter, paths: frozenset[str]) -> None:
        if level.unexplained_kills:
            self._suspects[level.cgroup.inode] = level.unexplained_kills, paths

    def forget(self, places: Iterable[CgroupPlace], now_s: float) -> None:
        """These were removed, and nothing of them is unrecorded; those that were removed long ago are forgotten."""
        self._removed = [(place, at_s) for place, at_s in self._removed if now_s - at_s < KEEP_S]
        self._removed += [(place, now_s) for place in places]

    def only_suspect(self, level: Counter) -> str | None:
        """Path of the one container below that all unexplained kills can be of; None: none, or one of several. Asked once."""
        _, paths = self._suspects.pop(level.cgroup.inode, NOBODY)
        if not paths and level.cgroup != NODE:  # its kills may be outside of pods
            removed = (place.path for place, _ in self._removed if place.container_id)
            paths = frozenset(path for path in removed if is_inside(path, level.cgroup.path))
        return next(iter(paths)) or None if len(paths) == 1 else None

    def complete(self, counter: Counter, now_s: float) -> None:
        """Before a kill of a removed container is recorded, or a group kill: its victims that were counted after its last reading.

        Of what the levels above show beyond all readings as much is its own as its reports have victims more than it, or
        all where nobody else can be meant.
        """
        reports = self._reports.of(counter.cgroup.path)
        may_lack = counter.removed or may_grow(counter, reports, self._facts)
        if not may_lack or self._counters.read(counter, now_s):
            return
        for level in upwards(counter.parent):
            if level.kind is CgroupKind.POD and not counter.removed:
                self.removed(counter.cgroup.place, level, now_s)  # that was not notified yet
            there, _ = self._counters.read_level(level, now_s)
            self._add_unread(counter, level, reports)
            if there:  # else those above it may know of more
                break

    def _add_unread(self, counter: Counter, level: Counter, reports: Sequence[OomReport]) -> None:
        path = counter.cgroup.path
        _, paths = self._suspects.pop(level.cgroup.inode, NOBODY)
        if paths == {path}:
            counter.add_unread(level.unexplained_kills, level.unexplained_groups)
        else:
            counter.add_unread(*_shortfall(counter, level, reports))
        if paths:
            self._suspect(level, (paths - {path}) or paths)

    def reports_of_removed(self, level: Counter) -> list[OomReport]:
        """Reports of removed cgroups below, but for those that are of recorded kills, or that containers below will ask for: one that was
        removed may have been read in time, and its kill waits for a name. At a level above, such a report would name it for another's kill.

        Where a container is not in its parents' counters (cgroup v1) it may be there, and a cgroup in it removed with its count.
        """
        there = [child.cgroup for child in level.children.values() if not child.removed]
        apart = {c.path for c in there if c.place.kind is CgroupKind.CONTAINER} if level.cgroup == NODE else set()
        live = [cgroup.path for cgroup in there if cgroup.path not in apart]
        waiting = {each.cgroup.path: each for each in self._counters.increased_containers(level)}
        wanted = set()
        for path in apart | waiting.keys():
            of_recorded = self._follow_up.undetailed(path) if path in apart else 0
            reports = self._reports.of(path)
            wanted |= {report.first_sequence for report in reports[:of_recorded]}
            if (counter := waiting.get(path)) is not None:
                shares = split_increase(counter.unrecorded_kills, counter.unrecorded_groups, reports[of_recorded:])
                wanted |= {share.report.first_sequence for share in shares if share.report is not None}
        found = (report for report in self._reports.of(level.cgroup.path) if report.first_sequence not in wanted)
        return [report for report in found if not any(is_inside(named_cgroup(report) or "", path) for path in live)]


def _shortfall(counter: Counter, level: Counter, reports: Sequence[OomReport]) -> tuple[int, int]:
    """Raw kills and group kills that the counter's last reading lacks of those that its ``reports`` have, as far as ``level`` shows any
    that nobody's reading explains. Of a group kill that isn't counted as one yet at most the first victim is counted.
    """
    of_groups = [raw_of(report) for report in reports if is_group(report)]
    missing = max(0, len(of_groups) - counter.unrecorded_groups)
    at_least = sum(raw - 1 for raw in of_groups[len(of_groups) - missing :]) if counter.counts_groups else 0
    lacking = max(at_least, sum(raw_of(report) for report in reports) - counter.unrecorded_kills)
    raw = min(level.unexplained_kills, lacking)
    groups = min(missing, level.unexplained_groups) if level.counts_groups else missing
    return raw, groups if raw else 0
