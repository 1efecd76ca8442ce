"""After a kill was recorded: what became of its container, and the report that comes late.

Owns the kills of which not all is known. Asks Facts whether a container is still running, and the pending reports for what is new.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from math import inf

from agent.kills.builder import with_details
from agent.kills.facts import Facts
from agent.kills.pending_reports import PendingReports
from agent.model import Cgroup, CgroupKind, OomKill, Outcome

OUTCOME_S = 0.5  # a container whose PID 1 died is empty within milliseconds; this also sees an init that gives up after
LATE_S = 5.0  # a report later than that amends nothing
MOST_UNDETAILED = 100  # kills without a report, kept while the log can't be read


@dataclass(frozen=True, slots=True)
class _Followed:
    """``until_s`` is when its outcome is looked at, or its report given up."""

    kill: OomKill
    cgroup: Cgroup
    until_s: float


class FollowUp:
    """See the module."""

    def __init__(self, facts: Facts, reports: PendingReports) -> None:
        self._facts = facts
        self._reports = reports
        self._unsettled: list[_Followed] = []
        self._undetailed: list[_Followed] = []

    def due_s(self) -> float | None:
        """Monotonic time of the next outcome; None: none is waited for."""
        return min((followed.until_s for followed in self._unsettled), default=None)

    def follow(self, kill: OomKill, cgroup: Cgroup, now_s: float, *, kmsg: bool) -> bool:
        """``cgroup``: the container's where it is there, else that of the counter. ``kmsg``: a report may come. False: all is known."""
        of_container = cgroup.place.kind is CgroupKind.CONTAINER or kill.container_id is not None
        if not of_container:
            return False
        if not kill.victims:
            self._undetailed.append(_Followed(kill, cgroup, now_s + LATE_S if kmsg else inf))
        if kill.outcome is not None and (kill.victims or not kmsg):
            return False
        self._unsettled.append(_Followed(kill, cgroup, now_s + OUTCOME_S))
        return True

    def wait_for_log(self) -> None:
        """The log can't be read: reports come when it can."""
        self._undetailed = [replace(f, until_s=inf) for f in self._undetailed]

    def log_found(self, now_s: float) -> None:
        """The log is read again, from where it was lost: reports of kills recorded meanwhile come now."""
        self._undetailed = [replace(f, until_s=now_s + LATE_S) for f in self._undetailed]

    def removed(self, cgroup: Cgroup, now_s: float) -> None:
        """Its outcome is known now."""
        self._unsettled = [replace(f, until_s=now_s) if f.cgroup == cgroup else f for f in self._unsettled]

    def settle(self, now_s: float) -> list[OomKill]:
        """Kills with their outcome, each once, when it is due."""
        due = [f for f in self._unsettled if f.until_s <= now_s]
        self._unsettled = [f for f in self._unsettled if f.until_s > now_s]
        return [f.kill if f.kill.outcome is not None else self._with_outcome(f) for f in due]

    def _with_outcome(self, followed: _Followed) -> OomKill:
        lives = self._facts.lives(followed.cgroup)
        return replace(followed.kill, outcome=Outcome.SURVIVED if lives else Outcome.DIED)

    def amend(self, increased: Collection[str], now_s: float) -> tuple[OomKill, ...]:
        """Kills that were recorded without their reports, with those that came since. ``increased``: paths of counters with unrecorded
        kills, of which a report may be.
        """
        amended = []
        for followed in list(self._undetailed):
            other = followed.cgroup.path in increased or followed.kill.cgroup_path in increased
            late = [] if other else self._reports.of(followed.kill.cgroup_path)
            if late:
                self._reports.take(late[0])
                kill = with_details(followed.kill, late[0], self._facts)
                amended.append(kill)
                self._undetailed.remove(followed)
                same = kill.kill_id
                self._unsettled = [replace(f, kill=kill) if f.kill.kill_id == same else f for f in self._unsettled]
        self._undetailed = [f for f in self._undetailed if f.until_s > now_s][-MOST_UNDETAILED:]
        return tuple(amended)

    def late_reports_of(self, paths: Iterable[str]) -> set[int]:
        """First sequences of pending reports that may be of recorded kills of the containers at these paths."""
        found = set()
        for path in paths:
            undetailed = sum(followed.kill.cgroup_path == path for followed in self._undetailed)
            found |= {report.first_sequence for report in self._reports.of(path)[:undetailed]}
        return found
