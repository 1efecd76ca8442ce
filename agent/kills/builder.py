"""One share of a counter's increase, and its report if there is one, become an OomKill: limit, victims, largest, outcome."""

from __future__ import annotations

from dataclasses import replace

from agent.cgroup.layout import RUNTIME_CHILD
from agent.kills.counter import Counter
from agent.kills.facts import Facts
from agent.kills.scope import (
    LEVELS,
    Claimed,
    as_users_say,
    by_hits,
    by_report,
    drop_hits,
    free_hits,
    level_of,
    node_was_short,
    own_pod,
    take_dropped,
    take_hit,
)
from agent.kills.split import Share
from agent.kills.use import with_use
from agent.model import CgroupKind, Mode, OomKill, OomReport, Outcome, Scope, TaskRow, Victim, is_inside, is_vm
from agent.wording.processes import victim_seen

LARGEST = 3
# oom_score_adj of a sandbox's processes: containerd (defaultSandboxOOMAdj), CRI-O and dockershim (PodInfraOOMAdj).
SANDBOX_ADJ = -998
VM_ADJ = -999  # a virtual machine may have its shim's


def build(
    counter: Counter,
    share: Share,
    path: str,
    facts: Facts,
    claimed: Claimed,
    *,
    boot_id: str,
    node: str,
    kmsg: bool,
    still_there: bool,
    old: bool,
) -> OomKill:
    """The kill that ``share`` stands for, of the cgroup at ``path``, named after ``counter``'s cgroup and next ordinal.

    ``path`` differs from the counter's when that is of a level above a container which was removed before it was read. ``kmsg``: the
    kernel's log is read. ``still_there``: the container at ``path`` is. ``old``: it may have happened long before it was
    counted, while no agent ran. ``claimed``: as in by_hits. The hit of a limit that led to the kill is taken in the counters.
    """
    names = facts.names_at(path)
    # Where counters are not hierarchical (v1) only the node's own has the kills of a container that was removed.
    in_pods = counter.kind in LEVELS or names.container_id is not None
    own = path == counter.cgroup.path and counter.kind is CgroupKind.CONTAINER
    kill = OomKill(
        boot_id=boot_id,
        cgroup_inode=counter.cgroup.inode,
        ordinal=counter.next_ordinal(),
        at_unix_s=facts.unix_s(),
        at_monotonic_s=facts.monotonic_s(),
        node=node,
        cgroup_path=path,
        processes=share.processes,
        namespace=names.namespace,
        pod=names.pod,
        pod_uid=names.pod_uid,
        container=names.container,
        container_id=names.container_id,
        sandbox=names.sandbox,
        mode=Mode.GROUP if share.group else (facts.mode(counter.cgroup) if own else None),
        group_kill=share.group,
        outcome=_outcome_by_itself(counter, share, path, facts, still_there=still_there, old=old) if in_pods else None,
        sources=frozenset({"counters"} if own else {"hierarchy"}),
        details_missing=share.report is None,
        scope=_scope(counter, share.report, path, facts, claimed, kmsg=kmsg) if in_pods else None,
    )
    kill = (
        replace(kill, seen=facts.seen(path, (), None))
        if share.report is None
        else with_details(kill, share.report, facts)
    )
    if kill.limit_bytes is None:
        kill = replace(kill, limit_bytes=_limit(counter, kill.scope, facts))
    return kill if old else with_use(kill, counter, facts)


def with_details(kill: OomKill, report: OomReport, facts: Facts, recorded_s: float | None = None) -> OomKill:
    """The kill with what the kernel's log says of it. A late report may find out that the named cgroup lies in a parent's.

    ``recorded_s``: as Facts.seen has it.
    """
    scope = _with_report(kill.scope, report, kill.cgroup_path, facts)
    of_pod = _in_pods_own(report)
    outcome = Outcome.DIED if of_pod and any(_runs_vm(victim) for victim in report.victims) else kill.outcome
    return replace(
        kill,
        container=None if of_pod else kill.container,
        outcome=outcome,
        at_unix_s=facts.report_unix_s(report.at_us),
        at_monotonic_s=report.at_us / 1e6,
        victims=report.victims,
        scope=scope,
        limit_bytes=kill.limit_bytes if report.limit_bytes is None and scope is kill.scope else report.limit_bytes,
        usage_bytes=report.usage_bytes,
        use=report.use or (kill.use if scope is kill.scope else None),
        containers=kill.containers if scope is kill.scope else (),
        largest=_largest(report, kill.cgroup_path, scope),
        seen=facts.seen(kill.cgroup_path, report.victims, recorded_s) or kill.seen,
        group_kill=kill.group_kill or report.group_memcg is not None,
        sources=kill.sources | {"kmsg"},
        details_missing=report.task_memcg is None or len(report.victims) < kill.processes,
        report_sequence=report.first_sequence,
        sandbox=of_pod or kill.sandbox or (_unnamed(kill) and any(map(_of_sandbox, report.victims))),
    )


def with_processes(kill: OomKill, facts: Facts, recorded_s: float) -> OomKill | None:
    """The kill with processes of its container that were read since it was recorded; None: they tell no more than it has.

    ``recorded_s``: as Facts.seen has it.
    """
    if victim_seen(kill) is not None:
        return None
    found = replace(kill, seen=facts.seen(kill.cgroup_path, kill.victims, recorded_s))
    return found if found.seen and (not kill.seen or victim_seen(found) is not None) else None


def _in_pods_own(report: OomReport) -> bool:
    """Whether the victims were in the pod's own cgroup, where runtimes put only what runs the whole pod: a virtual machine.

    In other cgroups below the pod's, which may be a conmon's, their names decide.
    """
    path = report.task_memcg
    if path is None or own_pod(path) is None:
        return False
    return own_pod(path) == path or any(is_vm(victim.comm) for victim in report.victims)


def _of_sandbox(victim: Victim) -> bool:
    return victim.oom_score_adj == SANDBOX_ADJ or (victim.oom_score_adj == VM_ADJ and is_vm(victim.comm))


def _runs_vm(victim: Victim) -> bool:
    return is_vm(victim.comm) and not victim.comm.startswith("virtiofsd")


def _unnamed(kill: OomKill) -> bool:
    return kill.container is None and kill.container_id is not None


def _largest(report: OomReport, path: str, scope: Scope | None) -> tuple[TaskRow, ...]:
    """Of the tasks that the kernel lists, which are those below the limit that was hit. Of a container whose limit is its pod's too the
    kernel lists the sandbox as well.
    """
    of_pod = scope is Scope.CONTAINER and report.oom_memcg is not None and not is_inside(report.oom_memcg, path)
    tasks = (task for task in report.tasks if not (of_pod and task.oom_score_adj == SANDBOX_ADJ))
    return tuple(sorted(tasks, key=lambda task: -task.rss_bytes)[:LARGEST])


def _scope(
    counter: Counter, report: OomReport | None, path: str, facts: Facts, claimed: Claimed, *, kmsg: bool
) -> Scope | None:
    """By the report, else by the counters. Without a log that would say so they may also exclude every limit but the node's."""
    level = by_report(report, path) if report is not None else None
    if level is None:
        level = by_hits(counter, claimed)
        if level is None and (hits := free_hits(counter, claimed)):
            drop_hits(counter, hits)
            return None
        if level is None:
            take_dropped(counter)
    if level is None and not kmsg and node_was_short(counter, facts):
        level = Scope.NODE
    take_hit(counter, level)
    return as_users_say(level, path, facts)


def _with_report(scope: Scope | None, report: OomReport, path: str, facts: Facts) -> Scope | None:
    """What the report says, else what was known before; a line that names the victim alone distinguishes a limit's kill from the node's."""
    reported = as_users_say(by_report(report, path), path, facts)
    if reported is None and report.global_oom is False and scope is Scope.NODE:
        return None
    return reported or scope


def _limit(counter: Counter, scope: Scope | None, facts: Facts) -> int | None:
    hit = level_of(counter, scope)
    return None if hit is None else facts.limit_bytes(hit.cgroup.path)


def _outcome_by_itself(
    counter: Counter, share: Share, path: str, facts: Facts, *, still_there: bool, old: bool
) -> Outcome | None:
    """DIED where that needs no second look: the whole container was killed, or its PID 1; or its cgroup was removed right after.

    A container that was removed long after, or because its pod was deleted, may have survived; one that the agent ended has.
    """
    elsewhere = path != counter.cgroup.path
    removed = counter.removed or (elsewhere and not still_there)
    report = share.report
    if share.group and _took_all(path, report, emptied=removed or not facts.populated(counter.cgroup)):
        return Outcome.DIED
    killed = {victim.pid for victim in report.victims} if report is not None else set()
    if not elsewhere and facts.init_pid(counter.cgroup) in killed:
        return Outcome.DIED
    if not elsewhere and facts.ended_by_agent(counter.cgroup.inode):
        return Outcome.SURVIVED
    return Outcome.DIED if removed and not old and not facts.deleted(path) else None


def _took_all(path: str, report: OomReport | None, *, emptied: bool) -> bool:
    """Whether a group kill took all of the container at ``path``. ``emptied``: no process is left in it.

    crun puts all processes into a child of the container's cgroup; with another runtime a child of that name is the container's own.
    """
    group = None if report is None else report.group_memcg
    if group is None or group == f"{path}/{RUNTIME_CHILD}":
        return emptied
    return is_inside(path, group)
