"""After a kill was recorded: what became of its container, and the report that comes late."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from math import inf

from agent.cgroup.layout import classify
from agent.kills.builder import with_details, with_processes
from agent.kills.facts import Facts
from agent.kills.pending_reports import KEEP_S, PendingReports
from agent.model import Cgroup, CgroupKind, OomKill, OomReport, Outcome, parent_of
from agent.wording.shares import Owner, Shares

OUTCOME_S = 0.5  # a container whose PID 1 died is empty within milliseconds; this also sees an init that gives up after
LATE_S = 5.0  # a report later than that amends nothing
EARLIER_S = 60.0  # until the log has been read up to an agent's start, also after a storm
CLOCKS_DIFFER_S = 0.1  # the log's from the wall clock
MOST_LACKING = 1000
# Kills without a report, kept while the log can't be read, or not fast enough: with fewer, a report would be taken for another kill's.
MOST_UNDETAILED = 2000


@dataclass(slots=True, eq=False)
class _Followed:
    """``of_container`` False: it has no outcome. ``old``: that its container is dead says nothing. ``earlier``: an agent before this one
    recorded it, so its report was written before.

    Monotonic times: when it was recorded (by an agent before this one: when this one began), when it is settled, and when its report is
    given up.
    """

    kill: OomKill
    cgroup: Cgroup
    of_container: bool
    recorded_s: float
    settled_s: float
    report_s: float
    old: bool
    earlier: bool = False


class FollowUp:
    """Owns the recorded kills of which not all is known."""

    def __init__(self, facts: Facts, reports: PendingReports) -> None:
        self._facts = facts
        self._reports = reports
        self._unsettled: list[_Followed] = []
        self._undetailed: dict[str, _Followed] = {}  # by the kill's id
        self._shares = Shares[str, _Followed]("kills wait for their reports", _owner)
        # Paths of kills with less than a whole report, until when.
        self._lacking: deque[tuple[str, float]] = deque(maxlen=MOST_LACKING)

    def due_s(self) -> float | None:
        """Monotonic time of the next outcome; None: none is waited for."""
        return min((followed.settled_s for followed in self._unsettled), default=None)

    def follow(self, kill: OomKill, cgroup: Cgroup, now_s: float, *, kmsg: bool, old: bool) -> None:
        """``cgroup``: the container's where it is there, else that of the counter. ``kmsg``: a report may come. ``old``: as in build."""
        of_container = cgroup.place.kind is CgroupKind.CONTAINER or kill.container_id is not None
        known = not of_container or (kill.outcome is not None and (bool(kill.victims) or not kmsg))
        report_s = now_s + LATE_S if kmsg else inf
        settled_s = now_s if known else now_s + OUTCOME_S
        followed = _Followed(kill, cgroup, of_container, now_s, settled_s, report_s, old)
        self._unsettled.append(followed)
        if kill.details_missing:
            self._lacking.append((kill.cgroup_path, now_s + LATE_S + KEEP_S))
        if of_container and not kill.victims:
            self._undetailed[kill.kill_id] = followed
            self._shares.trim(self._undetailed, MOST_UNDETAILED)

    def resume(self, kills: Iterable[OomKill], now_s: float) -> None:
        """Kills of this boot that an agent before this one recorded without their reports, newest first: those may still be in the log.

        Else such a report would be taken for a later kill of the same pod, in another container.
        """
        waiting = [kill for kill in kills if kill.container_id is not None and not kill.victims]
        for kill in reversed(waiting[:MOST_UNDETAILED]):
            cgroup = Cgroup(classify(kill.cgroup_path), kill.cgroup_inode)
            followed = _Followed(kill, cgroup, True, now_s, now_s, now_s + EARLIER_S, True, earlier=True)
            self._undetailed[kill.kill_id] = followed

    def was_away(self) -> None:
        """Nobody looked for a while: what became of these containers meanwhile may have another reason."""
        for followed in self._unsettled:
            followed.old = True

    def expect_reports(self, until_s: float) -> None:
        """Of all that have none. The log can't be read: until inf. It is read again from where it was lost: they come now."""
        for followed in self._undetailed.values():
            followed.report_s = until_s

    def removed(self, cgroup: Cgroup, now_s: float) -> None:
        """Its outcome is known now."""
        for followed in self._unsettled:
            if followed.cgroup == cgroup:
                followed.settled_s = now_s

    def settle(self, now_s: float) -> tuple[tuple[OomKill, ...], tuple[OomKill, ...]]:
        """Kills with their outcome, each once, when it is due, and those of them whose processes were read after they were recorded."""
        due = [followed for followed in self._unsettled if followed.settled_s <= now_s]
        self._unsettled = [followed for followed in self._unsettled if followed.settled_s > now_s]
        completed = []
        for followed in due:
            if followed.of_container and followed.kill.outcome is None:
                followed.kill = replace(followed.kill, outcome=self._outcome(followed))
            if (found := with_processes(followed.kill, self._facts, followed.recorded_s)) is not None:
                followed.kill = found
                completed.append(found)
        return tuple(followed.kill for followed in due), tuple(completed)

    def _outcome(self, followed: _Followed) -> Outcome | None:
        """None: that it is dead may have another reason, or it can't be seen."""
        cgroup = followed.cgroup
        if cgroup.place.kind is not CgroupKind.CONTAINER:
            return None
        if self._facts.lives(cgroup) or self._facts.ended_by_agent(cgroup.inode):
            return Outcome.SURVIVED
        return None if followed.old or self._facts.deleted(cgroup.path) else Outcome.DIED

    def amend(self, increased: AbstractSet[str], now_s: float, *, unread: bool = False) -> tuple[OomKill, ...]:
        """Kills recorded without their reports, with those that came since. ``increased``: paths of counters that may ask for them.
        ``unread``: the log has more, so no report is too late.
        """
        amended = []
        named = self._reports.paths()
        for followed in [each for each in self._undetailed.values() if each.kill.cgroup_path in named]:
            late = self._late(followed, increased)
            if late:
                self._reports.take(late[0])
                followed.kill = with_details(followed.kill, late[0], self._facts, followed.recorded_s)
                amended.append(followed.kill)
                del self._undetailed[followed.kill.kill_id]
        if not unread:
            self._undetailed = {kill_id: each for kill_id, each in self._undetailed.items() if each.report_s > now_s}
        return tuple(amended)

    def _late(self, followed: _Followed, increased: AbstractSet[str]) -> list[OomReport]:
        path, kill = followed.kill.cgroup_path, followed.kill
        if followed.earlier:
            latest_unix_s = kill.at_unix_s + CLOCKS_DIFFER_S
            return [r for r in self._reports.of(path) if self._facts.report_unix_s(r.at_us) <= latest_unix_s]
        return [] if {path, followed.cgroup.path} & increased else self._reports.of(path)

    def undetailed(self, path: str) -> int:
        """Recorded kills of the container at this path of which a pending report may be."""
        return sum(followed.kill.cgroup_path == path for followed in self._undetailed.values())

    def lacks_elsewhere(self, path: str, now_s: float) -> bool:
        """Whether a report that names no cgroup may be of a kill that was recorded in another cgroup than that at this path."""
        while self._lacking and self._lacking[0][1] < now_s:
            self._lacking.popleft()
        return any(other != path for other, _ in self._lacking)


def _owner(_: str, followed: _Followed) -> Owner:
    kill = followed.kill
    return kill.namespace or "", kill.pod or parent_of(kill.cgroup_path)
