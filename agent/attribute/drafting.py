"""One share of a counter's rise, and its report if there is one, become an OomKill: limit, victims, largest, outcome.

Pure but for what it asks of Facts; decides nothing about when.
"""

from __future__ import annotations

from dataclasses import replace

from agent.attribute.accounts import Account, line_of
from agent.attribute.facts import Facts
from agent.attribute.limits import LEVELS, as_users_say, by_hits, by_report, node_was_short, take_hit
from agent.attribute.partition import Share
from agent.attribute.witness import below
from agent.model import CgroupKind, Mode, OomKill, OomReport, Outcome, Scope, TaskRow

LARGEST = 3


def draft(
    account: Account, share: Share, path: str, facts: Facts, *, boot_id: str, node: str, kmsg: bool, goes_on: bool
) -> OomKill:
    """The kill that ``share`` stands for, of the cgroup at ``path``, named after ``account``'s cgroup and next ordinal.

    ``path`` differs from the account's when a parent's counter speaks for a child that vanished unread. ``kmsg``: the kernel's log is
    read. ``goes_on``: the container at ``path`` is still there. The hit of the limit that it takes is taken in the books.
    """
    account.ordinal += 1
    names = facts.names_at(path)
    # Where counters are not hierarchical (v1, memory_localevents) only the node's own tells of a container that vanished.
    in_pods = account.cgroup.place.kind in LEVELS or names.container_id is not None
    own = path == account.cgroup.path and account.cgroup.place.kind is CgroupKind.CONTAINER
    kill = OomKill(
        kill_id=f"{boot_id}-{account.cgroup.inode}-{account.ordinal}",
        at_unix_s=facts.unix_s(),
        node=node,
        cgroup_path=path,
        processes=share.processes,
        namespace=names.namespace,
        pod=names.pod,
        pod_uid=names.pod_uid,
        container=names.container,
        container_id=names.container_id,
        mode=_mode_then(share, facts.mode(account.cgroup) if own else None),
        group_kill=share.group,
        outcome=_outcome_by_itself(account, share, path, facts, goes_on=goes_on) if in_pods else None,
        sources=frozenset({"counters"} if own else {"hierarchy"}),
        details_missing=share.report is None,
        scope=_scope(account, share.report, path, facts, kmsg=kmsg) if in_pods else None,
    )
    kill = kill if share.report is None else with_details(kill, share.report, facts)
    return kill if kill.limit_bytes is not None else replace(kill, limit_bytes=_limit(account, kill.scope, facts))


def with_details(kill: OomKill, report: OomReport, facts: Facts) -> OomKill:
    """The kill with what the kernel's log says of it. A late report may find out that the named cgroup lies in a parent's."""
    largest = sorted(report.tasks, key=lambda task: -task.rss_bytes)[:LARGEST]
    scope = _with_report(kill.scope, report, kill.cgroup_path, facts)
    return replace(
        kill,
        at_unix_s=facts.report_unix_s(report.at_us),
        victims=report.victims,
        scope=scope,
        limit_bytes=kill.limit_bytes if report.limit_bytes is None and scope is kill.scope else report.limit_bytes,
        usage_bytes=report.usage_bytes,
        largest=tuple(TaskRow(t.pid, t.comm, t.rss_bytes, t.uid, t.oom_score_adj) for t in largest),
        group_kill=kill.group_kill or report.group_memcg is not None,
        sources=kill.sources | {"kmsg"},
        details_missing=report.task_memcg is None or len(report.victims) < kill.processes,
        report_sequence=report.first_sequence,
    )


def _scope(account: Account, report: OomReport | None, path: str, facts: Facts, *, kmsg: bool) -> Scope | None:
    """By the report, else by the counters. Without a log that would tell of it they may also exclude every limit but the node's."""
    level = by_report(report, path) if report is not None else None
    if level is None:
        level = by_hits(account)
    if level is None and not kmsg and node_was_short(account, facts):
        level = Scope.NODE
    take_hit(account, level)
    return as_users_say(level, path, facts)


def _with_report(scope: Scope | None, report: OomReport, path: str, facts: Facts) -> Scope | None:
    """What the report says, else what was known before; the line that names the victim alone tells a limit's kill from the node's."""
    told = as_users_say(by_report(report, path), path, facts)
    if told is None and report.global_oom is False and scope is Scope.NODE:
        return None
    return told or scope


def _limit(account: Account, scope: Scope | None, facts: Facts) -> int | None:
    for level in line_of(account):
        if scope is not None and LEVELS.get(level.cgroup.place.kind) is scope:
            return facts.limit_bytes(level.cgroup.path)
    return None


def _mode_then(share: Share, knob: Mode | None) -> Mode | None:
    return Mode.GROUP if share.group else knob


def _outcome_by_itself(account: Account, share: Share, path: str, facts: Facts, *, goes_on: bool) -> Outcome | None:
    """DIED where that needs no second look: the whole container was killed, or its PID 1, or its cgroup is gone."""
    whole = share.group and (share.report is None or below(path, share.report.group_memcg or path))
    elsewhere = path != account.cgroup.path
    if whole or account.gone or (elsewhere and not goes_on):
        return Outcome.DIED
    if elsewhere:
        return None  # a cgroup in it is gone (v1)
    init = facts.init_pid(account.cgroup)
    killed = {victim.pid for victim in share.report.victims} if share.report is not None else set()
    return Outcome.DIED if init is not None and init in killed else None
