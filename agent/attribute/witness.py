"""The kernel's reports that wait for their counters: who died, kept until a rise of a counter asks for it.

Takes reports in, gives them to the cgroup they name, each once; forgets those that nobody asks for after a while.
Never guesses: a report that lost the line with its cgroup is given away only where one cgroup alone can be meant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from agent.model import OomReport

KEEP_S = 10.0  # a report whose counter didn't move in that time belongs to no cgroup that we can see


def normal(kernel_path: str) -> str:
    """A path of the kernel's log without the slash in front, as ours are written."""
    return kernel_path.strip("/")


def below(path: str, top: str) -> bool:
    """Whether ``path`` is ``top`` or lies below it; everything lies below the hierarchy's root, the empty path."""
    return not top or path == top or path.startswith(top + "/")


@dataclass(frozen=True, slots=True)
class Waiting:
    report: OomReport
    since_s: float


class Witnesses:
    """``localize`` turns a path of the kernel's log into ours (they differ by a prefix in nested set-ups); None: not ours."""

    def __init__(self, localize: Callable[[str], str | None]) -> None:
        self._localize = localize
        self._waiting: list[Waiting] = []

    def add(self, report: OomReport, now_s: float) -> None:
        """A new report; its paths are made ours here, once."""
        self._waiting.append(Waiting(self._ours(report), now_s))
        self._waiting.sort(key=lambda w: w.report.first_sequence)

    def _ours(self, report: OomReport) -> OomReport:
        def ours(path: str | None) -> str | None:
            if path is None:
                return None
            local = self._localize(path)
            return normal(path) if local is None else local

        return replace(
            report,
            oom_memcg=ours(report.oom_memcg),
            task_memcg=ours(report.task_memcg),
            group_memcg=ours(report.group_memcg),
        )

    def of(self, path: str) -> list[OomReport]:
        """Reports whose victim lived in this cgroup or below it, oldest first; those of one group kill are one."""
        return joined(
            w.report for w in self._waiting if (named := named_cgroup(w.report)) is not None and below(named, path)
        )

    def under_but_not_in(self, top: str, live: Iterable[str]) -> list[OomReport]:
        """Reports of cgroups below ``top`` that are none of the ``live`` ones: those that vanished unread."""
        living = tuple(live)
        return [r for r in self.of(top) if not any(below(named_cgroup(r) or "", path) for path in living)]

    def nameless(self) -> list[OomReport]:
        """Reports that lost the line that names the cgroup (rate limit), oldest first."""
        return [w.report for w in self._waiting if named_cgroup(w.report) is None]

    def elsewhere(self, tops: Iterable[str]) -> list[OomReport]:
        """Reports that name a cgroup outside all of ``tops``."""
        roots = tuple(tops)
        named = ((w.report, named_cgroup(w.report)) for w in self._waiting)
        return [report for report, path in named if path is not None and not any(below(path, top) for top in roots)]

    def take(self, report: OomReport) -> None:
        """This report has served; it is given to nobody else."""
        taken = {report.first_sequence, *report.joined}
        self._waiting = [w for w in self._waiting if w.report.first_sequence not in taken]

    def expire(self, now_s: float) -> list[OomReport]:
        """Forget, and return, the reports that waited longer than KEEP_S."""
        old = [w.report for w in self._waiting if now_s - w.since_s > KEEP_S]
        if old:
            self._waiting = [w for w in self._waiting if now_s - w.since_s <= KEEP_S]
        return old

    @property
    def oldest_sequence(self) -> int | None:
        """First record of the oldest report still waiting, None when none waits."""
        return min((w.report.first_sequence for w in self._waiting), default=None)

    def __len__(self) -> int:
        return len(self._waiting)


def joined(reports: Iterable[OomReport]) -> list[OomReport]:
    """Reports, oldest first, those that have kill lines only joined with that of the group kill of their cgroup before them.

    A kernel that is interrupted between two victims of a group kill prints the rest after the report was taken for complete.
    """
    found: list[OomReport] = []
    for report in reports:
        of_group = None if _has_head(report) else _group_of(report, found)
        if of_group is None:
            found.append(report)
        else:
            found[of_group] = _with_victims_of(found[of_group], report)
    return found


def _has_head(report: OomReport) -> bool:
    """Whether it has more than kill lines: which limit was hit, that a group is killed, or the node's shortage."""
    return report.group_memcg is not None or report.oom_memcg is not None or bool(report.global_oom)


def _group_of(report: OomReport, before: Sequence[OomReport]) -> int | None:
    named = named_cgroup(report) or ""
    groups = [i for i, each in enumerate(before) if each.group_memcg is not None and below(named, each.group_memcg)]
    return groups[-1] if groups else None


def _with_victims_of(group: OomReport, rest: OomReport) -> OomReport:
    pids = {victim.pid for victim in group.victims}  # the first one is printed twice
    victims = (*group.victims, *(victim for victim in rest.victims if victim.pid not in pids))
    return replace(
        group, victims=victims, last_sequence=rest.last_sequence, joined=(*group.joined, rest.first_sequence)
    )


def named_cgroup(report: OomReport) -> str | None:
    """The cgroup that the report names its victim's by: the task's, else the one killed as a group; None: the line is lost."""
    return report.task_memcg if report.task_memcg is not None else report.group_memcg
