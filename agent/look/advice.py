"""What ``advise`` shows: for each workload with pods here and each container, the limit, the peak, the kills, and a next limit.

From the pods, the ledger and the cgroups of this node. A kernel's peak lasts as long as its cgroup: one instance of a container.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field

from agent.diagnose.case import OVER
from agent.diagnose.memory import full_limit, in_manifest
from agent.ledger import LedgerReader
from agent.look.looking import Reads
from agent.look.next_limits import NextLimit, of_container, of_pod, of_removed
from agent.look.patches import Patch, Raise, patch_for, reason_text
from agent.look.survey import Survey
from agent.look.view import Column, Listing, plain, size, styled
from agent.look.which import ANY, Which
from agent.look.workloads import Workload, workload_by_name, workload_of
from agent.model import AgentError, ContainerKind, Filled, KillSum, Pod, Scope
from agent.wording.filled import all_volumes
from agent.wording.text import safe
from agent.wording.view import Cell, Shown

DAY_S = 86400.0
MOST_SUMS = 5000
WITHOUT = "so the OOM kills are not known, and there is no next limit"
GUARANTEED = "Guaranteed"


@dataclass(frozen=True, slots=True)
class Advice:
    """One container of a workload, or with ``container`` None the limit that its pods' containers share. Field names are JSON keys.

    ``pod_count``: of this node, with this container; 0: all were deleted. ``spec_limit_bytes`` is that of the newest pod, None for
    none; if no pod is known, or the newest has no such container, that at its newest kill. ``peak_bytes`` the highest of the running
    containers' peaks, each since its own start (the first: ``peak_since_unix_s``), and of the kills; ``survived_count``: kills that
    the container survived. ``next_limit_bytes`` None: no kill is a reason for one, or the newest pod has no such container;
    ``next_limit_quantity`` is the same as a manifest has it.
    """

    namespace: str
    workload_kind: str
    workload: str
    container: str | None
    pod_count: int
    spec_limit_bytes: int | None
    peak_bytes: int | None
    peak_since_unix_s: float | None
    kill_count: int
    processes_killed: int
    survived_count: int
    last_kill_unix_s: float | None
    filled_by: Filled | None
    next_limit_bytes: int | None
    next_limit_quantity: str | None
    why: str


@dataclass(slots=True)
class _Found:
    """What is known of one container of a workload, or of its pods' limits."""

    sums: list[KillSum] = field(default_factory=list)
    peak_bytes: int | None = None
    since_unix_s: float | None = None


def advise(found: Survey, since_unix_s: float | None, which: Which = ANY) -> Shown:
    """By namespace and workload, or as asked for. ``since_unix_s``: since when kills count; None: as far as they are kept.

    Raises AgentError if the API is not reachable.
    """
    if not found.registry.listed:
        raise AgentError("the API is not reachable, and advice needs the pods' owners and limits: see `oomward check`")
    since_unix_s = max(since_unix_s or 0.0, time.time() - found.settings.kill_retention_days * DAY_S)
    pods = _by_workload(filter(which.pod, found.registry.pods.values()))
    known = _known(found, pods, since_unix_s)
    asked = (one for one in known if which.of_namespace(one.namespace) and (one in pods or which.selector is None))
    rows = [row for one in asked for row in _rows(one, pods.get(one, []), known[one])]
    rows.sort(key=lambda row: (row.namespace, row.workload, row.workload_kind, row.container is None))
    rows = ADVICE.ordered(rows, which.sort_by)
    document = {
        **ADVICE.document(rows),
        "node": found.settings.node_name,
        "kills_since_unix_s": round(since_unix_s, 3),
        "patches": [asdict(one) for one in _patches(rows, pods)],
    }
    return Shown(document, ADVICE.view(rows, which.where), found.troubles)


def _by_workload(pods: Iterable[Pod]) -> dict[Workload, list[Pod]]:
    """The newest pod first: it has the limits that the workload gives out now."""
    found: dict[Workload, list[Pod]] = {}
    for pod in sorted(pods, key=lambda pod: pod.status.created_unix_s or 0.0, reverse=True):
        found.setdefault(workload_of(pod), []).append(pod)
    return found


def _known(
    found: Survey, pods: dict[Workload, list[Pod]], since_unix_s: float
) -> dict[Workload, dict[str | None, _Found]]:
    """By workload and container, in the order of the newest pod's spec; None: the pods' own limits."""
    known: dict[Workload, dict[str | None, _Found]] = {}
    for workload, its in pods.items():
        known[workload] = {one.name: _Found() for one in its[0].containers if one.kind is not ContainerKind.EPHEMERAL}
    by_pod = {pod.uid: workload for workload, its in pods.items() for pod in its}
    _add_peaks(found, known, by_pod)
    for one in _sums(found, since_unix_s):
        kill = one.last
        if kill.pod_uid is None or kill.pod is None or kill.namespace is None:
            continue
        workload = by_pod.get(kill.pod_uid) or workload_by_name(kill.namespace, kill.pod, pods)
        its_containers = known.setdefault(workload, {})
        its_containers.setdefault(kill.container, _Found()).sums.append(one)
        if kill.scope is Scope.POD:
            its_containers.setdefault(None, _Found()).sums.append(one)
    return known


def _sums(found: Survey, since_unix_s: float) -> list[KillSum]:
    def read(reader: LedgerReader) -> list[KillSum]:
        sums = reader.sums(since_unix_s, MOST_SUMS)
        if reader.bad_rows:
            found.trouble("left out kills that cannot be read in the ledger (written by a newer oomward?)")
        return sums

    return found.recorded(read, [], WITHOUT)


def _add_peaks(found: Survey, known: dict[Workload, dict[str | None, _Found]], by_pod: dict[str, Workload]) -> None:
    for cgroup in found.containers():
        pod, name = found.registry.pod_of(cgroup.place), found.identity(cgroup).container
        workload = by_pod.get(pod.uid) if pod is not None else None
        its = known[workload].get(name) if workload is not None and name is not None else None
        if pod is None or its is None or name is None:
            continue
        peak = Reads(found, cgroup).take("peak_bytes", found.files.peak_bytes)
        container = pod.container(name)
        if peak is not None and container is not None:
            its.peak_bytes = max(peak, its.peak_bytes or 0)
            starts = (container.status.state.started_unix_s, its.since_unix_s)
            its.since_unix_s = min((at for at in starts if at is not None), default=None)


def _rows(workload: Workload, pods: list[Pod], known: dict[str | None, _Found]) -> Iterator[Advice]:
    for name, its in known.items():
        if name is None:
            now = full_limit(pods[0]) if pods else _last_limit(its.sums)
            yield _row(workload, None, pods, its, now, of_pod(now, its.sums, all_volumes(pods[0]) if pods else ()))
            continue
        container = pods[0].container(name) if pods else None
        having = [pod for pod in pods if pod.container(name) is not None]
        if pods and container is None:
            limit = _last_limit(its.sums)
            yield _row(workload, name, having, its, limit, of_removed(limit, its.sums))
            continue
        limit = container.limit_bytes if container is not None else _last_limit(its.sums)
        volumes = container.memory_volumes if container is not None else ()
        peaks = [
            its.peak_bytes,
            *(one.last.usage_bytes for one in its.sums if one.last.scope in (Scope.CONTAINER, None)),
        ]
        its.peak_bytes = max((peak for peak in peaks if peak is not None), default=None)
        yield _row(workload, name, having, its, limit, of_container(limit, its.sums, its.peak_bytes, volumes))


def _last_limit(sums: Iterable[KillSum]) -> int | None:
    """Of a container that no pod has any more: the limit at its newest kill."""
    own = [one.last for one in sums if one.last.scope in (Scope.CONTAINER, Scope.POD)]
    return max(own, key=lambda kill: kill.at_unix_s).limit_bytes if own else None


def _row(
    workload: Workload, container: str | None, pods: list[Pod], its: _Found, limit: int | None, verdict: NextLimit
) -> Advice:
    last = max((one.last.at_unix_s for one in its.sums), default=None)
    return Advice(
        namespace=safe(workload.namespace, 253),
        workload_kind=safe(workload.kind, 253),
        workload=safe(workload.name, 253),
        container=safe(container, 253) if container is not None else None,
        pod_count=len(pods),
        spec_limit_bytes=limit,
        peak_bytes=its.peak_bytes,
        peak_since_unix_s=its.since_unix_s,
        kill_count=sum(one.kills for one in its.sums),
        processes_killed=sum(one.processes for one in its.sums),
        survived_count=sum(one.survived for one in its.sums),
        last_kill_unix_s=last,
        filled_by=verdict.filled_by,
        next_limit_bytes=verdict.next_bytes,
        next_limit_quantity=in_manifest(verdict.next_bytes) if verdict.next_bytes is not None else None,
        why=verdict.reason,
    )


# ---------------------------------------------------------------------------------------------------------------- patches


def _patches(rows: Iterable[Advice], pods: dict[Workload, list[Pod]]) -> Iterator[Patch]:
    """One for each workload with a next limit."""
    wanted: dict[Workload, list[Advice]] = {}
    for row in rows:
        if row.next_limit_quantity is not None and row.pod_count:
            wanted.setdefault(Workload(row.namespace, row.workload_kind, row.workload), []).append(row)
    for workload, its in wanted.items():
        pod = pods[workload][0]
        limits = [one for row in its if (one := _raise(pod, row)) is not None]
        over = workload.kind == "Pod" and pod.status.phase in OVER
        reasons = [reason_text(row.container, row.next_limit_quantity or "", row.why) for row in its]
        yield patch_for(workload, limits, reasons, by_command=not over)


def _raise(pod: Pod, row: Advice) -> Raise | None:
    """None: a limit that is only the sum of the containers' limits."""
    container = pod.container(row.container) if row.container is not None else None
    if row.next_limit_quantity is None or (container is None and pod.status.limit_bytes is None):
        return None
    kind = container.kind if container is not None else ContainerKind.REGULAR
    return Raise(row.container, kind, row.next_limit_quantity, pod.status.qos == GUARANTEED)


# ------------------------------------------------------------------------------------------------------------------ table


def _next(row: Advice) -> Cell:
    return styled(row.next_limit_quantity or "-", "bold" if row.next_limit_quantity is not None else "")


ADVICE: Listing[Advice] = Listing(
    "workloads",
    (
        Column("WORKLOAD", lambda r: plain(f"{r.namespace}/{r.workload}"), sort=lambda r: (r.namespace, r.workload)),
        Column("KIND", lambda row: plain(row.workload_kind), spare=4, sort=lambda row: row.workload_kind),
        Column(
            "CONTAINER", lambda r: plain("(pod)" if r.container is None else r.container), sort=lambda r: r.container
        ),
        Column("PODS", lambda row: styled(str(row.pod_count)), spare=5, right=True, sort=lambda row: row.pod_count),
        Column("LIMIT", lambda r: size(r.spec_limit_bytes, "none"), right=True, sort=lambda r: r.spec_limit_bytes),
        Column("PEAK", lambda row: size(row.peak_bytes), spare=2, right=True, sort=lambda row: row.peak_bytes),
        Column("KILLS", lambda row: styled(str(row.kill_count)), right=True, sort=lambda row: row.kill_count),
        Column("FILLED BY", lambda row: styled(row.filled_by or "-"), spare=3),
        Column("RAISE TO", _next, right=True, sort=lambda row: row.next_limit_bytes),
        Column("REASON", lambda row: styled(row.why), spare=1, prose=True),
        Column("SURVIVED", lambda row: styled(str(row.survived_count)), right=True, wide=True),
    ),
    asdict,
    "No containers of pods on this node.",
)
