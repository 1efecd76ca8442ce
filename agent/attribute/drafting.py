"""One share of a counter's rise, and its report if there is one, become an OomKill: scope, limit, victims, largest.

Pure but for what it asks of Facts; decides nothing about when.
"""

from __future__ import annotations

from dataclasses import replace

from agent.attribute.accounts import Account, line_of
from agent.attribute.facts import Facts
from agent.attribute.partition import Share
from agent.attribute.witness import below
from agent.model import CgroupKind, Mode, OomKill, OomReport, Outcome, Scope, TaskRow

LARGEST = 3


def draft(account: Account, share: Share, path: str, facts: Facts, *, boot_id: str, node: str) -> OomKill:
    """The kill that ``share`` stands for, of the cgroup at ``path``, named after ``account``'s cgroup and next ordinal.

    ``path`` differs from the account's when a parent's counter speaks for a child that vanished unread.
    """
    account.ordinal += 1
    names = facts.names_at(path)
    # Where counters are not hierarchical (v1, memory_localevents) only the node's own tells of a container that vanished.
    in_pods = account.cgroup.place.kind in _SCOPES or names.container_id is not None
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
        outcome=_outcome_by_itself(account, share, path, facts) if in_pods else None,
        sources=frozenset({"counters"} if own else {"hierarchy"}),
        details_missing=share.report is None,
        scope=_as_users_say(scope_by_counters(account), path, facts) if in_pods else None,
    )
    kill = kill if share.report is None else with_details(kill, share.report, facts)
    return kill if kill.limit_bytes is not None else replace(kill, limit_bytes=_limit(account, kill.scope, facts))


def with_details(kill: OomKill, report: OomReport, facts: Facts) -> OomKill:
    """The kill with what the kernel's log says of it. A late report may find out that the named cgroup lies in a parent's."""
    largest = sorted(report.tasks, key=lambda task: -task.rss_bytes)[:LARGEST]
    return replace(
        kill,
        at_unix_s=facts.report_unix_s(report.at_us),
        victims=report.victims,
        scope=scope_by_report(report, kill.cgroup_path, facts) or kill.scope,
        limit_bytes=report.limit_bytes,
        usage_bytes=report.usage_bytes,
        largest=tuple(TaskRow(t.pid, t.comm, t.rss_bytes, t.uid, t.oom_score_adj) for t in largest),
        group_kill=kill.group_kill or report.group_memcg is not None,
        sources=kill.sources | {"kmsg"},
        details_missing=report.task_memcg is None or len(report.victims) < kill.processes,
        report_sequence=report.first_sequence,
    )


def scope_by_report(report: OomReport, path: str, facts: Facts) -> Scope | None:
    """Whose limit was hit, by the OOM domain that the report names; None when that line was lost.

    A pod with one container carries the container's limit at both levels, and the kernel then names the pod (measured):
    to a user that is the container's limit.
    """
    if report.global_oom:
        return Scope.NODE
    domain = report.oom_memcg
    if domain is None:
        return None
    if below(domain, path):
        return Scope.CONTAINER
    pod = path.rpartition("/")[0]
    if domain == pod:
        return _as_users_say(Scope.POD, path, facts)
    return Scope.KUBEPODS if below(pod, domain) else None


def _as_users_say(scope: Scope | None, path: str, facts: Facts) -> Scope | None:
    limit = facts.limit_bytes(path)
    same = limit is not None and limit == facts.limit_bytes(path.rpartition("/")[0])
    return Scope.CONTAINER if scope is Scope.POD and same else scope


def scope_by_counters(account: Account) -> Scope | None:
    """Whose limit was hit, by whose ``oom`` rose with the kill: the lowest level that tells; none of them: the node's.

    Of a container that vanished unread its pod's account tells: a hit below the pod and not the pod's own was the container's.
    """
    told = False
    for level in line_of(account):
        if level.reading.local_oom is None:
            continue
        kind, told = level.cgroup.place.kind, True
        if kind is CgroupKind.CONTAINER and level.oom_rose:
            return Scope.CONTAINER
        if level.own_oom_rose:
            return _SCOPES.get(kind)
        if level is account and level.oom_rose:
            return Scope.CONTAINER
    return Scope.NODE if told else None


_SCOPES = {CgroupKind.CONTAINER: Scope.CONTAINER, CgroupKind.POD: Scope.POD, CgroupKind.KUBEPODS: Scope.KUBEPODS}


def _limit(account: Account, scope: Scope | None, facts: Facts) -> int | None:
    for level in line_of(account):
        if scope is not None and _SCOPES.get(level.cgroup.place.kind) is scope:
            return facts.limit_bytes(level.cgroup.path)
    return None


def _mode_then(share: Share, knob: Mode | None) -> Mode | None:
    return Mode.GROUP if share.group else knob


def _outcome_by_itself(account: Account, share: Share, path: str, facts: Facts) -> Outcome | None:
    """DIED where that needs no second look: the whole container was killed, or its PID 1, or its cgroup is gone."""
    whole = share.group and (share.report is None or below(path, share.report.group_memcg or path))
    if whole or path != account.cgroup.path or account.gone:
        return Outcome.DIED
    init = facts.init_pid(account.cgroup)
    killed = {victim.pid for victim in share.report.victims} if share.report is not None else set()
    return Outcome.DIED if init is not None and init in killed else None
