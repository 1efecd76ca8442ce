"""When enough is known to record a kill: how long to wait for the rest of a counter's increase and of an open report of the log.

The kernel's order (mm/oom_kill.c, oom_kill_process): the first victim is counted and printed; then, in a group kill, that it
is one; then the others, one by one. It may be interrupted between any two of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agent.kills.counter import Counter
from agent.kills.facts import Facts
from agent.kills.scope import free_hits
from agent.kills.split import is_group, raw_of
from agent.model import CgroupKind, Mode, OomReport

REPORT_WAIT_S = 0.030  # the log's lines follow the counter within a millisecond, their reader some later; longer: lost
# A kill by the node's shortage is in the log always, and a short node may keep its reader waiting. A busy one took 0.13 s to print a report
# (6.1).
NO_HIT_WAIT_S = 0.5
GROUP_WAIT_S = 0.080  # a group kill counts its victims one by one, and its report ends when the log is quiet
BUSY_GROUP_WAIT_S = 0.300  # with more to come
MOST_GROUP_WAIT_S = 5.0  # however many kills follow one another; less than pending_reports.KEEP_S
LEFT_GROUP_WAIT_S = 2.0  # with a process left in it: on a busy node the kernel was interrupted for 0.47 s (7.2)
SINGLE_QUIET_S = 0.005  # the counters say that it was no group kill: nothing more will come
GROUP_QUIET_S = 0.030  # a group kill's lines may come that far apart on a slow console
HIERARCHY_WAIT_S = 0.5  # a parent's increase is notified before all its children have been read
NAME_WAIT_S = 5.0  # the kubelet reports a container's id up to seconds after its start


def ready_s(counter: Counter, reports: Sequence[OomReport], facts: Facts, *, kmsg: bool) -> float:
    """Monotonic time at which the counter's unrecorded kills may be recorded. ``reports`` are its own; ``kmsg`` False: none will come."""
    since_s, names = counter.since_s, facts.names_at(counter.cgroup.path)
    if counter.kind is not CgroupKind.CONTAINER:
        unnamed = counter.kind is CgroupKind.POD and names.pod is None
        return since_s + (NAME_WAIT_S if unnamed else HIERARCHY_WAIT_S)
    if _is_group(counter, reports):
        reported = sum(raw_of(report) for report in reports) >= counter.unrecorded_kills
        goes_on = facts.populated(counter.cgroup)
        wait_s = LEFT_GROUP_WAIT_S if goes_on else GROUP_WAIT_S
        ready = since_s if reported and not goes_on else min(counter.increased_s + wait_s, since_s + MOST_GROUP_WAIT_S)
    elif _only_first(counter, facts):
        ready = min(counter.increased_s + BUSY_GROUP_WAIT_S, since_s + MOST_GROUP_WAIT_S)
    elif not kmsg or len(reports) >= counter.unrecorded_kills:
        ready = since_s
    elif not free_hits(counter):  # v1 counts none: only the log says what was short
        ready = since_s + NO_HIT_WAIT_S
    else:  # a report stays open for longer where group kills aren't counted
        ready = since_s + REPORT_WAIT_S + (0.0 if counter.counts_groups else GROUP_QUIET_S)
    return max(ready, since_s + NAME_WAIT_S) if names.container is None else ready


def log_quiet_s(increases: Iterable[Counter], facts: Facts, *, of_group: bool) -> float:
    """How long the log must be quiet until its open report is over, in seconds; long while a process of a group is left, or no
    container's counter has increased: then the report's own kill is yet to come. ``of_group``: it is of a group kill.
    """
    containers = [counter for counter in increases if counter.kind is CgroupKind.CONTAINER]
    if containers and not of_group and all(_is_single(each, facts) for each in containers):
        return 0.0
    groups = [counter for counter in containers if counter.unrecorded_groups]
    left = any(facts.populated(counter.cgroup) for counter in groups)
    goes_on = left or any(_only_first(counter, facts) for counter in containers)
    if goes_on or (of_group and not groups) or not containers:
        return BUSY_GROUP_WAIT_S
    return SINGLE_QUIET_S if not groups and all(counter.counts_groups for counter in containers) else GROUP_QUIET_S


def may_grow(counter: Counter, reports: Sequence[OomReport], facts: Facts) -> bool:
    """Whether the counter's unrecorded kills are of a group kill, or may be: then its last reading may be short of some victims."""
    return _is_group(counter, reports) or _only_first(counter, facts)


def _is_group(counter: Counter, reports: Sequence[OomReport]) -> bool:
    return bool(counter.unrecorded_groups) or any(is_group(report) for report in reports)


def _is_single(counter: Counter, facts: Facts) -> bool:
    """Whether its kills are of one process each: then nothing follows the line of the killed process."""
    single = facts.mode(counter.cgroup) is Mode.SINGLE
    return single and counter.counts_groups and not counter.unrecorded_groups


def _only_first(counter: Counter, facts: Facts) -> bool:
    """Of a container whose processes die together a first one is counted, and not yet that they do."""
    return not counter.unrecorded_groups and facts.mode(counter.cgroup) is Mode.GROUP
