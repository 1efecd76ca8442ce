"""Attribution: when the increase of a counter is a kill, and in which container.

Joins the counters, the pending reports of the log and what the levels above know of removed containers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from math import inf

from agent.kills.builder import build
from agent.kills.counter import Counter
from agent.kills.counters import Counters, baselines
from agent.kills.facts import Facts, Findings
from agent.kills.follow_up import LATE_S, FollowUp
from agent.kills.levels import Levels
from agent.kills.pending_reports import PendingReports, named_cgroup
from agent.kills.scope import by_report, free_hits
from agent.kills.split import SecondCounts, Share, split_increase
from agent.kills.timing import log_quiet_s, ready_s
from agent.model import NODE, Baseline, Cgroup, CgroupKind, CgroupPlace, MemoryEvents, OomKill, OomReport, parent_of

UNREAD_WAIT_S = 2.0  # for a log that has more than the reader takes in a turn, or while its reader lacks a processor
AWAY_S = 0.1  # after the agent's return: until all counters have been read


class Attribution:
    """``kept`` and ``seen_this_boot`` as in Counters; ``kmsg`` False: there is no log to wait for."""

    def __init__(
        self, boot_id: str, node: str, facts: Facts, kept: Mapping[int, Baseline], *, seen_this_boot: bool, kmsg: bool
    ) -> None:
        self._facts = facts
        self._kmsg = kmsg
        self._unread_since_s: float | None = None
        self._first_of_boot = not seen_this_boot
        self._counters = Counters(facts, kept, seen_this_boot=seen_this_boot)
        self._reports = PendingReports(facts.localize)
        self._build = partial(build, facts=facts, claimed=self._reports.at_limit, boot_id=boot_id, node=node)
        self._follow_up = FollowUp(facts, self._reports)
        self._levels = Levels(self._counters, self._reports, self._follow_up, facts)
        self._second_counts = SecondCounts(kept)
        self._removed: list[Counter] = []  # they still have something unrecorded, or a child
        self._changed: list[Counter] = []  # their baselines are to be kept
        self._away_until_s = -inf
        self._back_us = -1  # on the log's clock

    # ------------------------------------------------------------------------------------------------- what comes in

    def appeared(self, cgroup: Cgroup, first: MemoryEvents, now_s: float, *, newborn: bool) -> None:
        """A cgroup that has counters, parents first. ``newborn``: made while we watched, so it counts from 0."""
        counter = self._counters.add(cgroup, first, now_s, newborn=newborn)
        self._changed.append(counter)
        self._counters.note(counter, now_s)
        self._second_counts.appeared(counter, now_s)

    def ignore_earlier(self) -> None:
        """After the first scan of a boot's first agent: what parents show beyond their children happened before it started."""
        if self._first_of_boot:
            self._first_of_boot = False
            for counter in self._counters:
                counter.record(counter.unexplained_kills, counter.unexplained_groups)
                self._changed.append(counter)

    def was_away(self, now_s: float) -> None:
        """No agent ran, or it was stopped, until now: what is counted now may have happened long ago."""
        self._away_until_s = now_s + AWAY_S
        self._back_us = int(now_s * 1e6)
        self._follow_up.was_away()

    def resume(self, recorded: Iterable[OomKill], now_s: float) -> None:
        """Before the first scan: kills of this boot that agents before this one recorded, newest first. What they lack may still come."""
        kills = tuple(recorded)
        self._follow_up.resume(kills, now_s)
        self._second_counts.resume(kills, self._facts.unix_s())

    def forget_removed(self) -> tuple[int, ...]:
        """After the first scan: inodes of cgroups that were removed while no agent ran; nothing of theirs need be kept.

        Kills that their parents show may be theirs, or of others that appeared and were removed meanwhile: only the log can name them.
        """
        self._levels.start()
        return self._counters.absent()

    def missed(self, place: CgroupPlace, now_s: float) -> None:
        """A container that was removed before anyone could look at it."""
        parent = self._counters.at_path(parent_of(place.path))
        if parent is not None:
            self._levels.missed(place, parent, now_s)
        self._levels.forget((place,), now_s)

    def counted(self, cgroup: Cgroup, reading: MemoryEvents, now_s: float) -> None:
        """A new reading of a cgroup's counters (NODE: of /proc/vmstat's)."""
        self._counters.counted(cgroup, reading, now_s)

    def counted_node(self, total: int, now_s: float) -> None:
        """``oom_kill`` of /proc/vmstat: every kill of the node, in pods or not (Linux 4.13)."""
        reading = MemoryEvents(oom_kill=total)
        if self._counters.get(NODE) is None:
            self.appeared(NODE, reading, now_s, newborn=False)
        self.counted(NODE, reading, now_s)

    def removed(self, cgroup: Cgroup, now_s: float) -> None:
        """The cgroup was removed. What its last reading left unrecorded is still recorded, and the levels above still count it."""
        counter = self._counters.get(cgroup)
        if counter is None or counter.removed:
            return
        counter.removed = True
        self._removed.append(counter)
        if counter.parent is not None and counter.parent.kind is CgroupKind.POD:  # levels above have too many children
            self._levels.removed(cgroup.place, counter.parent, now_s)
        self._follow_up.removed(cgroup, now_s)

    def log_read(self, *, unread: bool, now_s: float) -> None:
        """In every turn. ``unread``: a report may be among what the log's reader has not read yet."""
        self._unread_since_s = (self._unread_since_s or now_s) if unread else None

    def log_lost(self) -> None:
        """The kernel's log can't be read any more: no report is waited for."""
        self._kmsg = False
        self._follow_up.expect_reports(until_s=inf)

    def log_found(self, now_s: float) -> None:
        """The log can be read again, from where it was lost: kills recorded meanwhile may still get their reports."""
        self._kmsg = True
        self._follow_up.expect_reports(until_s=now_s + LATE_S)

    def reported(self, report: OomReport, now_s: float) -> None:
        """A report of the kernel's log; one without a victim is of no kill."""
        if report.victims:
            self._reports.add(report, now_s)

    # -------------------------------------------------------------------------------------------- when to look again

    def due_s(self) -> float | None:
        """Monotonic time at which collect() has work even if nothing more comes in; None: nothing is pending."""
        times = [self._follow_up.due_s(), *map(self._ready_s, self._counters.increased())]
        return min((at_s for at_s in times if at_s is not None), default=None)

    @property
    def oldest_waiting_sequence(self) -> int | None:
        """First kmsg record that a pending report needs; None: every report was used or given up."""
        return self._reports.oldest_sequence

    def log_quiet_s(self, of_group: bool) -> float:
        """How long the log must be quiet until its open report is over, in seconds. ``of_group``: it is of a group kill."""
        return log_quiet_s(self._counters.increased(), self._facts, of_group=of_group)

    def _ready_s(self, counter: Counter) -> float:
        reports = self._reports.of(counter.cgroup.path)
        ready = ready_s(counter, reports, self._facts, kmsg=self._kmsg)
        lacking = self._kmsg and len(reports) < counter.unrecorded_kills and not counter.unrecorded_groups
        if self._unread_since_s is None or not lacking:
            return ready
        return max(ready, max(counter.since_s, self._unread_since_s) + UNREAD_WAIT_S)

    # ------------------------------------------------------------------------------------------------ what comes out

    def collect(self, now_s: float) -> Findings:
        """All that is ready by now: to be recorded by the caller in one transaction, then reported."""
        waiting = self._counters.increased()
        unread = self._unread_since_s is not None
        amended = self._follow_up.amend({counter.cgroup.path for counter in waiting}, now_s, unread=unread)
        increased = [each for each in self._counters.increased_containers() if each.unrecorded_kills > 0]
        kills: list[OomKill] = []
        for counter in waiting:
            if self._ready_s(counter) <= now_s:
                if counter.kind is CgroupKind.CONTAINER:
                    kills += self._of_container(counter, now_s, alone=increased == [counter])
                else:
                    kills += self._of_level(counter, now_s)
                self._counters.done(counter)
                self._changed.append(counter)
        changed, self._changed = baselines(self._changed), []
        forgotten = [each for each in self._removed if self._counters.forget(each)]
        self._removed = [each for each in self._removed if each not in forgotten]
        self._levels.forget((counter.cgroup.place for counter in forgotten), now_s)
        gone = tuple(counter.cgroup.inode for counter in forgotten)
        settled, completed = self._follow_up.settle(now_s)
        unnamed = (kill for kill in kills if kill.container_id is None and kill.container is None and not kill.sandbox)
        return Findings(
            kills=tuple(kills),
            amended=amended,
            settled=settled,
            completed=completed,
            baselines=tuple(baseline for baseline in changed if baseline.inode not in gone),
            gone_inodes=gone,
            unattributed=tuple(kill for kill in unnamed if self._counters.below_a_root(kill.cgroup_path)),
            unmatched_reports=len(self._reports.expire(now_s)),
        )

    def _of_container(self, counter: Counter, now_s: float, *, alone: bool) -> list[OomKill]:
        """Kills that a container's own counter shows. ``alone``: no other container has unrecorded kills."""
        self._levels.complete(counter, now_s)
        reports = self._reports.of(counter.cgroup.path)
        self._read_hits(counter, reports, now_s)
        if not reports and alone:
            reports = self._nameless_for(counter, now_s)
        if not reports and not counter.unrecorded_groups:
            self._counters.record(counter, self._second_counts.take(counter, counter.unrecorded_kills, now_s), 0)
        raw, groups = counter.unrecorded_kills, counter.unrecorded_groups
        shares = split_increase(raw, groups, reports)
        self._second_counts.note(counter, shares, now_s)
        return self._record(counter, raw, groups, shares, now_s)

    def _nameless_for(self, counter: Counter, now_s: float) -> list[OomReport]:
        """Reports that lost their cgroup's line, as far as they can only be of this container, the only one with unrecorded kills: not
        while a recorded kill may have them, nor if they are from while nobody looked. Those of the node's shortage are not where a
        limit was hit, nor while a kill may be outside of pods.
        """
        if self._follow_up.lacks_elsewhere(counter.cgroup.path, now_s):
            return []
        nameless = [report for report in self._reports.nameless() if report.at_us > self._back_us]
        if free_hits(counter):
            nameless = [report for report in nameless if not report.global_oom]
        if any(report.global_oom for report in nameless):
            node = self._counters.get(NODE)
            if node is not None:
                self._counters.read_level(node, now_s)
            if node is None or node.unexplained_kills:
                return []
        return nameless if len(nameless) <= counter.unrecorded_kills else []

    def _of_level(self, level: Counter, now_s: float) -> list[OomKill]:
        """Kills that a level shows beyond its children: of cgroups that were removed before they were read."""
        self._counters.read_level(level, now_s)
        for each in self._counters.increased_containers(level):
            if each.removed:
                self._levels.complete(each, now_s)
        if not level.unexplained_kills:
            return []
        reports = self._levels.reports_of_removed(level)
        if not reports and not level.unexplained_groups:
            self._counters.record(level, self._second_counts.take(level, level.unexplained_kills, now_s), 0)
        raw, groups = level.unexplained_kills, level.unexplained_groups
        if not raw:
            return []
        self._read_hits(level, reports, now_s)
        suspect = self._levels.only_suspect(level)
        theirs = {self._path_of(report, level) for report in reports}
        of_one = theirs == {suspect} or level.cgroup == NODE  # the node's has no suspects
        shares = split_increase(raw, groups, reports, of_one=of_one)
        return self._record(level, raw, groups, shares, now_s, None if reports else suspect)

    def _read_hits(self, counter: Counter, reports: Sequence[OomReport], now_s: float) -> None:
        """Where the reports don't say of each kill which limit was hit, the hits do."""
        reported = sum(by_report(report, counter.cgroup.path) is not None for report in reports)
        if reported < counter.unrecorded_kills and counter.counts_hits:
            self._counters.read_hits(counter, now_s)

    def _record(
        self, counter: Counter, raw: int, groups: int, shares: Iterable[Share], now_s: float, path: str | None = None
    ) -> list[OomKill]:
        """``path``: that of the container that all ``shares`` are of, where it is not the counter's; None: by the reports."""
        kills = []
        for share in shares:
            at = path or self._path_of(share.report, counter)
            there = self._counters.container_at(at)
            old = counter.since_s <= self._away_until_s
            kill = self._build(counter, share, at, kmsg=self._kmsg, still_there=there is not None, old=old)
            self._follow_up.follow(kill, (there or counter).cgroup, now_s, kmsg=self._kmsg, old=old)
            if share.report is not None:
                self._reports.take(share.report)
            kills.append(kill)
            group = min(groups, int(share.group))
            self._counters.record(
                counter, share.raw, group
            )  # before the next, which then is compared with the hits that are left
            raw, groups = raw - share.raw, groups - group
        self._counters.record(counter, raw, groups)
        return kills

    def _path_of(self, report: OomReport | None, counter: Counter) -> str:
        """Path of the cgroup that the kill was in: the counter's, or for a level above the container that the report names."""
        named = named_cgroup(report) if report is not None else None
        if named is None or counter.kind is CgroupKind.CONTAINER:
            return counter.cgroup.path
        return self._facts.container_path(named) or named
