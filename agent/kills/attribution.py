"""Attribution: when the increase of a counter is a kill, and in which container.

Joins the counters (counters.py), their unrecorded increases (increases.py), the pending reports of the log (pending_reports.py) and what
the levels above know of removed containers (levels.py); records a kill when enough is known of it (timing.py). What it must look up it
asks of Facts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from agent.kills.builder import build
from agent.kills.counter import Counter
from agent.kills.counters import Counters, baselines
from agent.kills.facts import Facts, Findings
from agent.kills.follow_up import FollowUp
from agent.kills.increases import Increases
from agent.kills.levels import Levels
from agent.kills.pending_reports import PendingReports, named_cgroup
from agent.kills.scope import by_hits, by_report, counts_hits
from agent.kills.second_count import SecondCounts
from agent.kills.split import Share, split_increase
from agent.kills.timing import log_quiet_s, ready_s
from agent.model import NODE, Baseline, Cgroup, CgroupKind, CgroupPlace, MemoryEvents, OomKill, OomReport


class Attribution:
    """See the module. ``kept`` and ``seen_this_boot`` as in Counters; ``kmsg`` False: there is no log to wait for."""

    def __init__(
        self, boot_id: str, node: str, facts: Facts, kept: Mapping[int, Baseline], *, seen_this_boot: bool, kmsg: bool
    ) -> None:
        self._boot_id = boot_id
        self._node = node
        self._facts = facts
        self._kmsg = kmsg
        self._first_of_boot = not seen_this_boot
        self._counters = Counters(kept, seen_this_boot=seen_this_boot)
        self._reports = PendingReports(facts.localize)
        self._increases = Increases(self._counters, facts)
        self._levels = Levels(self._increases, facts)
        self._follow_up = FollowUp(facts, self._reports)
        self._removed: set[int] = set()  # inodes of counters whose last increase is not recorded yet
        self._second_counts = SecondCounts()
        self._new_baselines: dict[int, Baseline] = {}

    # ------------------------------------------------------------------------------------------------- what comes in

    def appeared(self, cgroup: Cgroup, first: MemoryEvents, now_s: float, *, newborn: bool) -> None:
        """A cgroup that has counters, parents first. ``newborn``: made while we watched, so it counts from 0."""
        counter = self._counters.add(cgroup, first, now_s, newborn=newborn)
        self._new_baselines[cgroup.inode] = counter.baseline()
        self._increases.note(counter, now_s)

    def ignore_earlier(self) -> None:
        """After the first scan of a boot's first agent: what parents show beyond their children happened before it started."""
        if not self._first_of_boot:
            return
        self._first_of_boot = False
        for counter in self._counters:
            counter.record(max(0, counter.unexplained_kills()), max(0, counter.unexplained_groups() or 0))
            self._new_baselines[counter.cgroup.inode] = counter.baseline()

    def forget_removed(self) -> tuple[int, ...]:
        """After the first scan: inodes of cgroups that were removed while no agent ran; nothing of theirs need be kept.

        Kills that their parents show may be theirs, or of others that came and went meanwhile: only the log can tell.
        """
        self._levels.start(self._counters)
        return tuple(kept.inode for kept in self._counters.absent())

    def missed(self, place: CgroupPlace, now_s: float) -> None:
        """A container that came and went before anyone could look at it."""
        parent = self._counters.at_path(place.path.rpartition("/")[0])
        if parent is not None:
            self._levels.removed(place, parent, now_s)
        self._levels.forget((place,), now_s)

    def counted(self, cgroup: Cgroup, reading: MemoryEvents, now_s: float) -> None:
        """A new reading of a cgroup's counters (NODE: of /proc/vmstat's)."""
        self._increases.counted(cgroup, reading, now_s)

    def counted_node(self, total: int, now_s: float) -> None:
        """``oom_kill`` of /proc/vmstat: every kill of the node, in pods or not (Linux 4.13)."""
        reading = MemoryEvents(oom_kill=total)
        if self._counters.get(NODE) is None:
            self.appeared(NODE, reading, now_s, newborn=False)
        self.counted(NODE, reading, now_s)

    def removed(self, cgroup: Cgroup, now_s: float) -> None:
        """The cgroup was removed. What its last reading left unrecorded is still recorded, and the levels above still count it."""
        counter = self._counters.get(cgroup)
        if counter is None:
            return
        counter.removed = True
        self._removed.add(cgroup.inode)
        parent = counter.parent  # levels above a pod have too many children to look at
        if parent is not None and parent.cgroup.place.kind is CgroupKind.POD:
            self._levels.removed(counter.cgroup.place, parent, now_s)
        self._follow_up.removed(cgroup, now_s)

    def log_lost(self) -> None:
        """The kernel's log can't be read any more: no report is waited for, and the counters alone are left."""
        self._kmsg = False
        self._follow_up.wait_for_log()

    def log_found(self, now_s: float) -> None:
        """The log can be read again, from where it was lost: kills recorded meanwhile may still get their reports."""
        self._kmsg = True
        self._follow_up.log_found(now_s)

    def reported(self, report: OomReport, now_s: float) -> None:
        """A report of the kernel's log; one without a victim is of no kill."""
        if report.victims:
            self._reports.add(report, now_s)

    # -------------------------------------------------------------------------------------------- when to look again

    def due_s(self) -> float | None:
        """Monotonic time at which collect() has work even if nothing more comes in; None: nothing is pending."""
        times = [self._follow_up.due_s(), *(self._ready_s(counter) for counter in self._increases.counters())]
        return min((at_s for at_s in times if at_s is not None), default=None)

    @property
    def oldest_waiting_sequence(self) -> int | None:
        """First kmsg record that a pending report needs; None: every report was used or given up."""
        return self._reports.oldest_sequence

    def log_quiet_s(self, of_group: bool) -> float:
        """How long the log must be quiet until its open report is over, in seconds. ``of_group``: it is of a group kill."""
        return log_quiet_s(self._increases.counters(), self._facts, of_group=of_group)

    def _ready_s(self, counter: Counter) -> float:
        reports = self._reports.of(counter.cgroup.path)
        return ready_s(counter, self._increases.of(counter), reports, self._facts, kmsg=self._kmsg)

    # ------------------------------------------------------------------------------------------------ what comes out

    def collect(self, now_s: float) -> Findings:
        """All that is ready by now: to be recorded by the caller in one transaction, then reported."""
        amended = self._follow_up.amend({counter.cgroup.path for counter in self._increases.counters()}, now_s)
        kills: list[OomKill] = []
        settled: list[OomKill] = []
        recorded: list[Counter] = []
        increased = frozenset(each.cgroup.inode for each in self._increases.containers() if each.unrecorded_kills > 0)
        for counter in sorted(self._increases.counters(), key=_deepest_first):
            if self._ready_s(counter) > now_s:
                continue
            if counter.cgroup.place.kind is CgroupKind.CONTAINER:
                made = self._of_container(counter, increased, now_s)
            else:
                made = self._of_level(counter, now_s)
            settled += [kill for kill in made if not self._follow(kill, counter, now_s)]
            self._increases.done(counter)
            kills += made
            recorded.append(counter)
        settled += self._follow_up.settle(now_s)
        changed = {**self._new_baselines, **{b.inode: b for b in baselines(recorded)}}
        self._new_baselines = {}
        removed = self._forget_recorded(now_s)
        return Findings(
            kills=tuple(kills),
            amended=amended,
            settled=tuple(settled),
            baselines=tuple(b for b in changed.values() if b.inode not in removed),
            gone_inodes=removed,
            unattributed=tuple(k for k in kills if _is_unattributed(k) and self._counters.below_a_root(k.cgroup_path)),
            unmatched_reports=len(self._reports.expire(now_s)),
        )

    def _follow(self, kill: OomKill, counter: Counter, now_s: float) -> bool:
        living = self._living(kill.cgroup_path) or counter
        return self._follow_up.follow(kill, living.cgroup, now_s, kmsg=self._kmsg)

    def _of_container(self, counter: Counter, increased: frozenset[int], now_s: float) -> list[OomKill]:
        """Kills that a container's own counter shows. ``increased``: inodes of all containers with unrecorded kills."""
        self._levels.complete(counter, self._reports.of(counter.cgroup.path), now_s)
        reports = self._reports.of(counter.cgroup.path)
        self._read_hits(counter, reports, now_s)
        reports = reports or self._nameless_for(counter, increased, now_s)
        if not reports and not counter.unrecorded_groups:
            self._record_second_counts(counter, counter.unrecorded_kills, now_s)
        raw, groups = counter.unrecorded_kills, counter.unrecorded_groups
        shares = split_increase(raw, groups, reports)
        self._second_counts.note(counter, shares, now_s)
        return self._record(counter, raw, groups, shares)

    def _record_second_counts(self, counter: Counter, raw: int, now_s: float) -> None:
        """Counts that belong to a group kill that was recorded before they came are no kills of their own."""
        self._counters.record(counter, self._second_counts.take(counter, raw, now_s), 0)

    def _record(
        self, counter: Counter, raw: int, groups: int | None, shares: Iterable[Share], path: str | None = None
    ) -> list[OomKill]:
        kills = []
        for share in shares:
            named = named_cgroup(share.report) if share.report is not None else None
            at = path or self._path_of(named, counter)
            there = self._living(at) is not None
            names = {"boot_id": self._boot_id, "node": self._node}
            kills.append(build(counter, share, at, self._facts, kmsg=self._kmsg, still_there=there, **names))
            if share.report is not None:
                self._reports.take(share.report)
        self._counters.record(counter, raw, groups or 0)
        return kills

    def _living(self, path: str) -> Counter | None:
        """The counter of the container at this path, if it is there."""
        at = self._counters.at_path(path)
        return at if at is not None and not at.removed and at.cgroup.place.kind is CgroupKind.CONTAINER else None

    def _read_hits(self, counter: Counter, reports: Sequence[OomReport], now_s: float) -> None:
        """Where the reports don't say of each kill which limit was hit, the hits do."""
        reported = sum(by_report(report, counter.cgroup.path) is not None for report in reports)
        if reported < counter.unrecorded_kills and counts_hits(counter):
            self._increases.read_hits(counter, now_s)

    def _path_of(self, named: str | None, counter: Counter) -> str:
        """Path of the cgroup that the kill was in: the counter's, or for a level above the container that the report names."""
        if named is None or counter.cgroup.place.kind is CgroupKind.CONTAINER:
            return counter.cgroup.path
        return self._facts.container_path(named) or named

    def _nameless_for(self, counter: Counter, increased: frozenset[int], now_s: float) -> list[OomReport]:
        """Reports that lost their cgroup's line can only be this container's if no other container has unrecorded kills.

        One of the node's shortage is none of its own where a limit was hit, and may be of a process outside of pods.
        """
        nameless = self._reports.nameless()
        if by_hits(counter) is not None:
            nameless = [report for report in nameless if not report.global_oom]
        unambiguous = increased == {counter.cgroup.inode} and len(nameless) <= counter.unrecorded_kills
        if not unambiguous or (any(r.global_oom for r in nameless) and self._may_be_outside(now_s)):
            return []
        return nameless

    def _may_be_outside(self, now_s: float) -> bool:
        """Whether a process outside of pods was killed whose kill is not recorded yet, or nobody can tell."""
        node = self._counters.get(NODE)
        if node is None:
            return True
        self._increases.read_level(node, now_s)
        return node.unexplained_kills() > 0

    # --------------------------------------------------------------------------------------------- removed containers

    def _of_level(self, level: Counter, now_s: float) -> list[OomKill]:
        """Kills that a level shows beyond its children: of cgroups that were removed before they were read."""
        self._increases.read_level(level, now_s)
        for each in self._increases.containers_below(level):
            if each.removed:
                self._levels.complete(each, self._reports.of(each.cgroup.path), now_s)
        if level.unexplained_kills() <= 0:
            return []
        reports = self._reports_of_removed(level)
        if not reports and not level.unexplained_groups():
            self._record_second_counts(level, level.unexplained_kills(), now_s)
        raw, groups = level.unexplained_kills(), level.unexplained_groups()
        if raw <= 0:
            return []
        self._read_hits(level, reports, now_s)
        suspect = self._levels.only_suspect(level)
        known = max(0, groups) if groups is not None else None
        theirs = {self._path_of(named_cgroup(report), level) for report in reports}
        of_one = theirs == {suspect} or level.cgroup == NODE  # which knows nobody below it
        shares = split_increase(raw, known, reports, of_one=of_one)
        return self._record(level, raw, known, shares, None if reports else suspect)

    def _reports_of_removed(self, level: Counter) -> list[OomReport]:
        """Reports of removed cgroups below, but for those that a counter below will ask for itself.

        Where a container is not in its parents' counters (cgroup v1) it may be there, and a cgroup in it removed with its count.
        """
        there = [child.cgroup for child in level.children.values() if not child.removed]
        apart = [cgroup.path for cgroup in there if cgroup.place.kind is CgroupKind.CONTAINER and level.cgroup == NODE]
        wanted = self._wanted_below(level) | self._follow_up.late_reports_of(apart)
        live = [cgroup.path for cgroup in there if cgroup.path not in apart]
        reports = self._reports.under_but_not_in(level.cgroup.path, live)
        return [report for report in reports if report.first_sequence not in wanted]

    def _wanted_below(self, level: Counter) -> set[int]:
        """First sequences of the reports that containers below will ask for: one that was removed may have been read in time, and its
        kill waits for a name. Given to a level above, its report would name it for a kill that was another's.
        """
        shares = [
            share
            for each in self._increases.containers_below(level)
            for share in split_increase(
                each.unrecorded_kills, each.unrecorded_groups, self._reports.of(each.cgroup.path)
            )
        ]
        wanted = [share.report for share in shares if share.report is not None]
        return {sequence for report in wanted for sequence in (report.first_sequence, *report.joined)}

    def _forget_recorded(self, now_s: float) -> tuple[int, ...]:
        """Forget the counters of removed cgroups that have nothing unrecorded, nor anything below them; their inodes."""
        done = []
        for counter in sorted(self._counters.of(self._removed - self._increases.inodes), key=_deepest_first):
            if not counter.children:
                self._removed.discard(counter.cgroup.inode)
                self._counters.forget(counter)
                done.append(counter)
        self._levels.forget((counter.cgroup.place for counter in done), now_s)
        return tuple(counter.cgroup.inode for counter in done)


def _deepest_first(counter: Counter) -> int:
    return -len(counter.cgroup.path)


def _is_unattributed(kill: OomKill) -> bool:
    return kill.container_id is None and kill.container is None
