"""Pending reports of the kernel's log: each waits until the increase of a counter asks for it, is used once, or expires.

Never guesses: a report that lost the line with its cgroup is used only where one cgroup alone can be meant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from agent.model import OomReport, is_inside

KEEP_S = 10.0  # a report whose counter didn't move in that time belongs to no cgroup that we can see


class PendingReports:
    """``localize`` turns a path of the kernel's log into ours (they differ by a prefix in nested set-ups); None: not ours."""

    def __init__(self, localize: Callable[[str], str | None]) -> None:
        self._localize = localize
        self._pending: list[tuple[OomReport, float]] = []  # oldest first, with the time since when each waits

    def add(self, report: OomReport, now_s: float) -> None:
        """A new report; its paths are made ours here, once."""
        report = replace(
            report,
            oom_memcg=self._ours(report.oom_memcg),
            task_memcg=self._ours(report.task_memcg),
            group_memcg=self._ours(report.group_memcg),
        )
        self._pending.append((report, now_s))
        self._pending.sort(key=lambda pending: pending[0].first_sequence)

    def _ours(self, path: str | None) -> str | None:
        local = None if path is None else self._localize(path)
        return path.strip("/") if local is None and path is not None else local

    def of(self, path: str) -> list[OomReport]:
        """Reports of victims in this cgroup or below it, oldest first; those of one group kill are one."""
        named = ((report, named_cgroup(report)) for report, _ in self._pending)
        return joined(report for report, at in named if at is not None and is_inside(at, path))

    def nameless(self) -> list[OomReport]:
        """Reports that lost the line that names the cgroup (rate limit), oldest first."""
        return [report for report, _ in self._pending if named_cgroup(report) is None]

    def at_limit(self, path: str, *, below: bool = False) -> int:
        """How many kills they say were at the limit of the cgroup at this path, or of one ``below`` it."""
        domains = [report.oom_memcg for report, _ in self._pending if report.oom_memcg is not None]
        return sum(domain != path and is_inside(domain, path) if below else domain == path for domain in domains)

    def take(self, report: OomReport) -> None:
        """This report was used."""
        taken = {report.first_sequence, *report.joined}
        self._pending = [pending for pending in self._pending if pending[0].first_sequence not in taken]

    def expire(self, now_s: float) -> list[OomReport]:
        """Forget, and return, the reports that waited longer than KEEP_S."""
        old = [report for report, since_s in self._pending if now_s - since_s > KEEP_S]
        self._pending = [pending for pending in self._pending if now_s - pending[1] <= KEEP_S]
        return old

    @property
    def oldest_sequence(self) -> int | None:
        """First record of the oldest report still waiting, None when none waits."""
        return self._pending[0][0].first_sequence if self._pending else None


def joined(reports: Iterable[OomReport]) -> list[OomReport]:
    """Reports, oldest first, those that have kill lines only joined with that of the group kill of their cgroup before them.

    A kernel that is interrupted between two victims of a group kill prints the rest after the report was taken for complete.
    """
    found: list[OomReport] = []
    for report in reports:
        # With one of these it is a kill of its own.
        head = report.group_memcg is not None or report.oom_memcg is not None or report.global_oom
        named = named_cgroup(report) or ""
        groups = [i for i, r in enumerate(found) if r.group_memcg is not None and is_inside(named, r.group_memcg)]
        if head or not groups:
            found.append(report)
        else:
            found[groups[-1]] = with_victims_of(found[groups[-1]], report)
    return found


def with_victims_of(group: OomReport, rest: OomReport) -> OomReport:
    """One report, the first, with the victims of both."""
    pids = {victim.pid for victim in group.victims}  # the first one is printed twice
    victims = (*group.victims, *(victim for victim in rest.victims if victim.pid not in pids))
    together = (*group.joined, rest.first_sequence)
    return replace(group, victims=victims, last_sequence=rest.last_sequence, joined=together)


def named_cgroup(report: OomReport) -> str | None:
    """The cgroup that the report names its victim's by: the task's, else the one killed as a group; None: the line is lost."""
    return report.task_memcg if report.task_memcg is not None else report.group_memcg
