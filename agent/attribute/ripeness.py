"""When enough is known to record a kill: how long a counter's rise and an open report of the log are to be waited on.

Pure but for what it asks of Facts. The kernel's order is that of mm/oom_kill.c, oom_kill_process: the first victim is counted and
printed; then, in a group kill, that it is one; then the others, one by one. It may be interrupted between any two of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agent.attribute.accounts import Account
from agent.attribute.facts import Facts
from agent.attribute.limits import by_hits
from agent.attribute.partition import is_group, raw_of
from agent.model import CgroupKind, Mode, OomReport

WITNESS_WAIT_S = 0.030  # the log's lines follow the counter within a millisecond, their reader some later; longer: lost
# A kill by the node's shortage is in the log always, and a short node may keep its reader waiting. A busy one took 0.13 s to print a report
# (6.1).
NO_HIT_WAIT_S = 0.5
GROUP_WAIT_S = 0.080  # a group kill counts its victims one by one, and its report ends when the log is quiet
BUSY_GROUP_WAIT_S = 0.300  # with more to come
LEFT_GROUP_WAIT_S = 2.0  # with a process left in it: on a busy node the kernel was interrupted for 0.47 s (7.2)
SINGLE_QUIET_S = 0.005  # the counters say that it was no group kill: nothing more will come
GROUP_QUIET_S = 0.030  # a group kill's lines may come that far apart on a slow console
HIERARCHY_WAIT_S = 0.5  # a parent's rise is told before all its children's have been read
NAME_WAIT_S = 5.0  # the kubelet reports a container's id up to seconds after its start


@dataclass(slots=True)
class Rise:
    """A rise that waits: for its witnesses, for the kernel to finish with a group, or for the container's name."""

    since_s: float
    last_s: float


def ripe_s(account: Account, rise: Rise, reports: Sequence[OomReport], facts: Facts, *, kmsg: bool) -> float:
    """Monotonic time at which the account's open kills may be recorded. ``reports`` are its own; ``kmsg`` False: none will come."""
    names = facts.names_at(account.cgroup.path)
    if account.cgroup.place.kind is not CgroupKind.CONTAINER:
        unnamed = account.cgroup.place.kind is CgroupKind.POD and names.pod is None
        return rise.since_s + (NAME_WAIT_S if unnamed else HIERARCHY_WAIT_S)
    if _is_group(account, reports):
        told = sum(raw_of(report) for report in reports) >= account.open_kills
        goes_on = facts.populated(account.cgroup)
        ripe = rise.since_s if told and not goes_on else rise.last_s + (LEFT_GROUP_WAIT_S if goes_on else GROUP_WAIT_S)
    elif _only_begun(account, facts):
        ripe = rise.last_s + BUSY_GROUP_WAIT_S
    else:
        told = len(reports) >= account.open_kills
        ripe = rise.since_s + (0.0 if told or not kmsg else _report_wait_s(account))
    return max(ripe, rise.since_s + NAME_WAIT_S) if names.container is None else ripe


def _report_wait_s(account: Account) -> float:
    """How long the report of a kill may be yet to come, in seconds. Without a hit (v1 counts none) only the log says what was short."""
    if by_hits(account) is None:
        return NO_HIT_WAIT_S
    may_be_group = account.open_groups is None  # then the report is held open for longer (log_quiet_s)
    return WITNESS_WAIT_S + (GROUP_QUIET_S if may_be_group else 0.0)


def log_quiet_s(rising: Iterable[Account], facts: Facts, *, told_group: bool) -> float:
    """How long the log must be quiet until its open report is over, in seconds. ``told_group``: it is of a group kill.

    As long as a process of a group is left there may be more to come; and while no container's counter has risen, the report's own
    kill is yet to come.
    """
    containers = [account for account in rising if account.cgroup.place.kind is CgroupKind.CONTAINER]
    groups = [account for account in containers if account.open_groups]
    goes_on = any(facts.populated(a.cgroup) for a in groups) or any(_only_begun(a, facts) for a in containers)
    if goes_on or (told_group and not groups) or not containers:
        return BUSY_GROUP_WAIT_S
    may_be_group = bool(groups) or any(account.open_groups is None for account in containers)
    return GROUP_QUIET_S if may_be_group else SINGLE_QUIET_S


def may_grow(account: Account, reports: Sequence[OomReport], facts: Facts) -> bool:
    """Whether the account's open kills are of a group kill, or may be: then its last reading may be short of some victims."""
    return _is_group(account, reports) or _only_begun(account, facts)


def _is_group(account: Account, reports: Sequence[OomReport]) -> bool:
    return bool(account.open_groups) or any(is_group(report) for report in reports)


def _only_begun(account: Account, facts: Facts) -> bool:
    """Of a container whose processes die together a first one is counted, and not yet that they do."""
    return not account.open_groups and facts.mode(account.cgroup) is Mode.GROUP
