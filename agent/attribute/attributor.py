"""The attributor: when a rise of a counter is a kill, whose it was, and what came of it.

Owns the books (accounts.py), what has risen in them (rising.py), the waiting reports (witness.py) and the word of the levels
above on what is gone (hierarchy.py); records a kill when enough is known of it (ripeness.py). Everything it must look up it asks
of Facts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from agent.attribute.accounts import Account, Books, baselines
from agent.attribute.drafting import draft, with_details
from agent.attribute.facts import Facts, Findings
from agent.attribute.hierarchy import Hierarchy
from agent.attribute.limits import by_hits, by_report, counts_hits
from agent.attribute.partition import Share, partition
from agent.attribute.ripeness import log_quiet_s, ripe_s
from agent.attribute.rising import Rising
from agent.attribute.second_count import SecondCounts
from agent.attribute.witness import Witnesses, below, named_cgroup
from agent.model import (
    Baseline,
    Cgroup,
    CgroupKind,
    CgroupPlace,
    MemoryEvents,
    OomKill,
    OomReport,
    Outcome,
)

OUTCOME_S = 0.5  # a container whose PID 1 died is empty within milliseconds; this also sees an init that gives up after
LATE_S = 5.0  # a report later than that amends nothing

NODE = Cgroup(CgroupPlace(path="", kind=CgroupKind.OTHER), inode=0)  # stands for /proc/vmstat in the books


@dataclass(frozen=True, slots=True)
class _Following:
    """A recorded kill that is not done with: ``until_s`` is when its outcome is looked at, or its report given up."""

    kill: OomKill
    cgroup: Cgroup
    until_s: float


class Attributor:
    """See the module. ``kept`` and ``seen_this_boot`` as in Books; ``kmsg`` False: there is no log to wait for."""

    def __init__(
        self, boot_id: str, node: str, facts: Facts, kept: Mapping[int, Baseline], *, seen_this_boot: bool, kmsg: bool
    ) -> None:
        self._boot_id = boot_id
        self._node = node
        self._facts = facts
        self._kmsg = kmsg
        self._first_of_boot = not seen_this_boot
        self._books = Books(kept, seen_this_boot=seen_this_boot)
        self._witnesses = Witnesses(facts.localize)
        self._rising = Rising(self._books, facts)
        self._hierarchy = Hierarchy(self._rising, facts)
        self._gone: set[int] = set()  # inodes of accounts that wait for their last rise's record
        self._second_counts = SecondCounts()
        self._unsettled: list[_Following] = []
        self._undetailed: list[_Following] = []
        self._new_baselines: dict[int, Baseline] = {}

    # ------------------------------------------------------------------------------------------------- what comes in

    def appeared(self, cgroup: Cgroup, first: MemoryEvents, now_s: float, *, newborn: bool) -> None:
        """A cgroup that keeps counters of its own, parents first. ``newborn``: made while we watched, so it counts from 0."""
        account = self._books.open(cgroup, first, now_s, newborn=newborn)
        self._new_baselines[cgroup.inode] = account.baseline()
        self._rising.note(account, now_s)

    def absorb(self) -> None:
        """After the first scan of a boot's first agent: what parents show beyond their children was before our time."""
        if not self._first_of_boot:
            return
        self._first_of_boot = False
        for account in self._books:
            account.closed_kills += max(0, account.unexplained())
            account.closed_groups += max(0, account.unexplained_groups() or 0)
            self._new_baselines[account.cgroup.inode] = account.baseline()

    def mourn(self) -> tuple[int, ...]:
        """After the first scan: inodes of what went while no agent ran; nothing of theirs need be kept.

        Kills that their parents show may be theirs, or of others that came and went meanwhile: only the log can tell.
        """
        self._hierarchy.unwitnessed(self._books)
        return tuple(kept.inode for kept in self._books.absent())

    def missed(self, place: CgroupPlace, now_s: float) -> None:
        """A container that came and went before anyone could look at it."""
        parent = self._books.at_path(place.path.rpartition("/")[0])
        if parent is not None:
            self._hierarchy.ended(place, parent, now_s)
        self._hierarchy.buried((place,), now_s)

    def counted(self, cgroup: Cgroup, reading: MemoryEvents, now_s: float) -> None:
        """A new reading of a cgroup's counters (NODE: of /proc/vmstat's)."""
        self._rising.counted(cgroup, reading, now_s)

    def counted_node(self, total: int, now_s: float) -> None:
        """``oom_kill`` of /proc/vmstat: every kill of the node, in pods or not (kernel 4.13)."""
        reading = MemoryEvents(oom_kill=total)
        if self._books.get(NODE) is None:
            self.appeared(NODE, reading, now_s, newborn=False)
        self.counted(NODE, reading, now_s)

    def gone(self, cgroup: Cgroup, now_s: float) -> None:
        """The cgroup was removed. What its last reading left open is still recorded, and its parents' counters remember."""
        account = self._books.get(cgroup)
        if account is None:
            return
        account.gone = True
        self._gone.add(cgroup.inode)
        parent = account.parent  # of other kinds they have too many children to look at
        if parent is not None and parent.cgroup.place.kind is CgroupKind.POD:
            self._hierarchy.ended(account.cgroup.place, parent, now_s)
        self._unsettled = [replace(f, until_s=now_s) if f.cgroup == cgroup else f for f in self._unsettled]

    def log_lost(self) -> None:
        """The kernel's log can't be read any more: no report is waited for, and the counters alone tell."""
        self._kmsg = False

    def reported(self, report: OomReport, now_s: float) -> None:
        """A report of the kernel's log; one without a victim tells of no kill."""
        if report.victims:
            self._witnesses.add(report, now_s)

    # -------------------------------------------------------------------------------------------- when to look again

    def due_s(self) -> float | None:
        """Monotonic time at which collect() has work even if nothing more comes in; None: nothing is pending."""
        times = [following.until_s for following in self._unsettled]
        times += [self._ripe_s(account) for account in self._rising.accounts()]
        return min(times, default=None)

    @property
    def oldest_waiting_sequence(self) -> int | None:
        """First kmsg record that a report still waiting needs; None: everything fed was used or given up."""
        return self._witnesses.oldest_sequence

    def log_quiet_s(self, told_group: bool) -> float:
        """How long the log must be quiet until its open report is over, in seconds. ``told_group``: it is of a group kill."""
        return log_quiet_s(self._rising.accounts(), self._facts, told_group=told_group)

    def _ripe_s(self, account: Account) -> float:
        reports = self._witnesses.of(account.cgroup.path)
        return ripe_s(account, self._rising.rise_of(account), reports, self._facts, kmsg=self._kmsg)

    # ------------------------------------------------------------------------------------------------ what comes out

    def collect(self, now_s: float) -> Findings:
        """All that is ripe by now: to be recorded by the caller in one transaction, then told."""
        amended = self._amend(now_s)
        kills: list[OomKill] = []
        settled: list[OomKill] = []
        touched: list[Account] = []
        open_containers = frozenset(a.cgroup.inode for a in self._rising.containers() if a.open_kills > 0)
        for account in sorted(self._rising.accounts(), key=lambda a: -len(a.cgroup.path)):
            if self._ripe_s(account) > now_s:
                continue
            if account.cgroup.place.kind is CgroupKind.CONTAINER:
                made = self._close_container(account, open_containers, now_s)
            else:
                made = self._audit(account, now_s)
            settled += self._follow(made, account.cgroup, now_s)
            self._rising.told(account)
            kills += made
            touched.append(account)
        settled += self._settle(now_s)
        ready = {**self._new_baselines, **{b.inode: b for b in baselines(touched)}}
        self._new_baselines = {}
        gone = self._bury(now_s)
        return Findings(
            kills=tuple(kills),
            amended=amended,
            settled=tuple(settled),
            baselines=tuple(b for b in ready.values() if b.inode not in gone),
            gone_inodes=gone,
            unattributed=tuple(k for k in kills if _nobodys(k) and self._below_roots(k.cgroup_path)),
            unmatched_reports=len(self._witnesses.expire(now_s)),
        )

    def _close_container(self, account: Account, open_containers: frozenset[int], now_s: float) -> list[OomKill]:
        self._hierarchy.complete(account, self._witnesses.of(account.cgroup.path), now_s)
        reports = self._witnesses.of(account.cgroup.path)
        self._look_for_hits(account, reports, now_s)
        reports = reports or self._nameless_for(account, open_containers, now_s)
        if not reports and not account.open_groups:
            self._close_second_counts(account, account.open_kills, now_s)
        raw, groups = account.open_kills, account.open_groups
        shares = partition(raw, groups, reports)
        self._second_counts.note(account, shares, now_s)
        return self._close(account, raw, groups, shares)

    def _close_second_counts(self, account: Account, raw: int, now_s: float) -> None:
        """Counts that belong to a group kill that was recorded before they came are no kills of their own."""
        self._books.close(account, self._second_counts.take(account, raw, now_s), 0)

    def _close(
        self, account: Account, raw: int, groups: int | None, shares: Iterable[Share], path: str | None = None
    ) -> list[OomKill]:
        kills = []
        for share in shares:
            named = named_cgroup(share.report) if share.report is not None else None
            at = path or self._path_of(named, account)
            living = self._living(at)
            names = {"boot_id": self._boot_id, "node": self._node}
            kill = draft(account, share, at, self._facts, kmsg=self._kmsg, goes_on=living is not None, **names)
            kills.append(kill)
            if share.report is not None:
                self._witnesses.take(share.report)
        self._books.close(account, raw, groups or 0)
        return kills

    def _living(self, path: str) -> Account | None:
        """The account of the container at this path, if it is there."""
        at = self._books.at_path(path)
        return at if at is not None and not at.gone and at.cgroup.place.kind is CgroupKind.CONTAINER else None

    def _look_for_hits(self, account: Account, reports: Sequence[OomReport], now_s: float) -> None:
        """Where the reports don't say of each kill which limit was hit, the hits tell."""
        said = sum(by_report(report, account.cgroup.path) is not None for report in reports)
        if said < account.open_kills and counts_hits(account):
            self._rising.look_for_hits(account, now_s)

    def _path_of(self, named: str | None, account: Account) -> str:
        """Whose kill it is: the account's own, or where a parent's counter speaks the container that the report names."""
        if named is None or account.cgroup.place.kind is CgroupKind.CONTAINER:
            return account.cgroup.path
        return self._facts.container_path(named) or named

    def _nameless_for(self, account: Account, open_containers: frozenset[int], now_s: float) -> list[OomReport]:
        """Reports that lost their cgroup's line can only be this container's if nobody else's counter is open.

        One of the node's shortage is none of its own where a limit was hit, and may be of a process outside of pods.
        """
        nameless = self._witnesses.nameless()
        if by_hits(account) is not None:
            nameless = [report for report in nameless if not report.global_oom]
        unambiguous = open_containers == {account.cgroup.inode} and len(nameless) <= account.open_kills
        if not unambiguous or (any(r.global_oom for r in nameless) and self._may_be_outside(now_s)):
            return []
        return nameless

    def _may_be_outside(self, now_s: float) -> bool:
        """Whether a process outside of pods was killed whose kill is not recorded yet, or nobody can tell."""
        node = self._books.get(NODE)
        if node is None:
            return True
        self._rising.refresh(node, now_s)
        return node.unexplained() > 0

    # ------------------------------------------------------------------------------------------- the hierarchy's word

    def _audit(self, account: Account, now_s: float) -> list[OomKill]:
        """What a parent's counter shows beyond its children's: kills of cgroups that vanished before they were read."""
        self._rising.refresh(account, now_s)
        for each in self._rising.containers_below(account):
            if each.gone:
                self._hierarchy.complete(each, self._witnesses.of(each.cgroup.path), now_s)
        reports = self._of_vanished(account)
        if not reports and not account.unexplained_groups():
            self._close_second_counts(account, max(0, account.unexplained()), now_s)
        raw, groups = account.unexplained(), account.unexplained_groups()
        if raw <= 0:
            return []
        self._look_for_hits(account, reports, now_s)
        grave = self._hierarchy.whose(account)
        known = max(0, groups) if groups is not None else None
        theirs = {self._path_of(named_cgroup(report), account) for report in reports}
        of_one = theirs == {grave} or account.cgroup == NODE  # which knows nobody below it
        shares = partition(raw, known, reports, of_one=of_one)
        return self._close(account, raw, known, shares, None if reports else grave)

    def _of_vanished(self, account: Account) -> list[OomReport]:
        """Reports of cgroups below that are gone, but for those that a book below will ask for itself.

        Where a container is not in its parents' counters (cgroup v1) it may be there, and a cgroup of its own gone with its count.
        """
        alive = [child for child in account.children.values() if not child.gone]
        apart = [
            child.cgroup.path
            for child in alive
            if child.cgroup.place.kind is CgroupKind.CONTAINER and account.cgroup == NODE
        ]
        spoken_for = self._spoken_for(account) | {
            report.first_sequence for path in apart for report in self._witnesses.of(path)[: self._undetailed_in(path)]
        }
        live = [child.cgroup.path for child in alive if child.cgroup.path not in apart]
        reports = self._witnesses.under_but_not_in(account.cgroup.path, live)
        return [report for report in reports if report.first_sequence not in spoken_for]

    def _undetailed_in(self, path: str) -> int:
        """How many recorded kills of this container a late report may still be of."""
        return sum(following.kill.cgroup_path == path for following in self._undetailed)

    def _spoken_for(self, account: Account) -> frozenset[int]:
        """First sequences of the reports that containers below will ask for: one that went may have been read in time, and its
        kill waits for a name. Given to a level above, its report would name it for a kill that was another's.
        """
        shares = [
            share
            for each in self._rising.containers_below(account)
            for share in partition(each.open_kills, each.open_groups, self._witnesses.of(each.cgroup.path))
        ]
        spoken = [share.report for share in shares if share.report is not None]
        return frozenset(sequence for report in spoken for sequence in (report.first_sequence, *report.joined))

    def _below_roots(self, path: str) -> bool:
        return any(below(path, root.cgroup.path) for root in self._books.kind(CgroupKind.KUBEPODS))

    # --------------------------------------------------------------------------------------------------- afterwards

    def _follow(self, kills: Iterable[OomKill], cgroup: Cgroup, now_s: float) -> list[OomKill]:
        """Gives those of which there is nothing to wait for."""
        settled = []
        for kill in kills:
            living = self._living(kill.cgroup_path)
            at = cgroup if living is None else living.cgroup
            nobodys = at.place.kind is not CgroupKind.CONTAINER and kill.container_id is None
            if nobodys or self._done(kill):
                settled.append(kill)
            else:
                self._unsettled.append(_Following(kill, at, now_s + OUTCOME_S))
            if not nobodys and not kill.victims:
                self._undetailed.append(_Following(kill, at, now_s + LATE_S))
        return settled

    def _done(self, kill: OomKill) -> bool:
        """Whether nothing more is to be learned of it by waiting: its outcome is known, and its victims as far as they will be."""
        return kill.outcome is not None and (bool(kill.victims) or not self._kmsg)

    def _settle(self, now_s: float) -> tuple[OomKill, ...]:
        due = [f for f in self._unsettled if f.until_s <= now_s]
        self._unsettled = [f for f in self._unsettled if f.until_s > now_s]
        return tuple(f.kill if f.kill.outcome is not None else self._with_outcome(f) for f in due)

    def _with_outcome(self, following: _Following) -> OomKill:
        return replace(
            following.kill, outcome=Outcome.SURVIVED if self._facts.lives(following.cgroup) else Outcome.DIED
        )

    def _amend(self, now_s: float) -> tuple[OomKill, ...]:
        """Reports that came after their kill was recorded without them."""
        amended = []
        rising = {account.cgroup.path for account in self._rising.accounts()}
        for following in list(self._undetailed):
            waits = not rising.isdisjoint((following.cgroup.path, following.kill.cgroup_path))
            late = [] if waits else self._witnesses.of(following.kill.cgroup_path)
            if late:
                self._witnesses.take(late[0])
                kill = with_details(following.kill, late[0], self._facts)
                amended.append(kill)
                self._undetailed.remove(following)
                self._unsettled = [
                    replace(f, kill=kill) if f.kill.kill_id == kill.kill_id else f for f in self._unsettled
                ]
        self._undetailed = [f for f in self._undetailed if f.until_s > now_s]
        return tuple(amended)

    def _bury(self, now_s: float) -> tuple[int, ...]:
        """Close the books of cgroups that are gone and have nothing open, nor anything below them."""
        done = []
        for account in sorted(self._books.of(self._gone - self._rising.inodes), key=lambda a: -len(a.cgroup.path)):
            if not account.children:
                self._gone.discard(account.cgroup.inode)
                self._books.drop(account)
                done.append(account)
        self._hierarchy.buried((account.cgroup.place for account in done), now_s)
        return tuple(account.cgroup.inode for account in done)


def _nobodys(kill: OomKill) -> bool:
    return kill.container_id is None and kill.container is None
