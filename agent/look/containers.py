"""What ``ps`` shows: every running container of this node, its desired and actual mode, its memory and its kills.

What has no name is shown by pod uid and container id. Pause sandboxes are left out if the API has listed the pods.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from agent.look.looking import SHORT_ID, Reads, Recorded, Tolerated, mode_of, recorded
from agent.look.survey import Survey
from agent.look.view import UNKNOWN, Column, Listing, plain, size, styled
from agent.look.which import ANY, Which, labels_at, without_labels
from agent.model import Cgroup, Mode, OomPolicy
from agent.wording.text import duration_text, safe
from agent.wording.view import Cell, Shown


@dataclass(frozen=True, slots=True)
class ContainerRow:
    """One running container. ``mode_desired`` None: no mode is requested. ``limit_bytes`` None: no limit.

    Names that are None are unknown. ``peak_bytes`` None: not available (before 5.19). ``processes_killed``: as far back
    as the ledger reaches; without a ledger, since the container's start. ``tolerance`` None: any number of kills. ``oom_policy``
    of its systemd scope, None: it has none, or none that is visible. ``unread``
    names the fields that could not be read. Field names are JSON keys.
    """

    namespace: str | None
    pod: str | None
    container: str | None
    mode_desired: Mode | None = None
    mode_actual: Mode | None = None
    limit_bytes: int | None = None
    usage_bytes: int | None = None
    peak_bytes: int | None = None
    processes_killed: int | None = None
    tolerance: Tolerated | None = None
    pod_uid: str | None = None
    container_id: str | None = None
    cgroup_path: str | None = None
    oom_policy: OomPolicy | None = None
    unread: tuple[str, ...] = ()


def containers(found: Survey, which: Which = ANY) -> Shown:
    """By namespace, pod and container, or as asked for."""
    known, unlabelled = recorded(found), 0
    rows: list[ContainerRow] = []
    for cgroup in found.containers():
        labels = labels_at(found, cgroup.place) if which.selector is not None else None
        unlabelled += which.selector is not None and labels is None
        if which.of_labels(labels) and (row := _row(found, cgroup, known)) is not None:
            rows.append(row)
    if unlabelled:
        found.trouble(without_labels(unlabelled))
    rows = sorted((row for row in rows if which.of_namespace(row.namespace)), key=_by_name)
    return CONTAINERS.shown(CONTAINERS.ordered(rows, which.sort_by), found.troubles, which.where)


def _by_name(row: ContainerRow) -> tuple[str, ...]:
    return row.namespace or "", row.pod or row.pod_uid or "", row.container or row.container_id or ""


def _row(found: Survey, cgroup: Cgroup, known: Recorded) -> ContainerRow | None:
    """None: a pause sandbox, or removed meanwhile."""
    if found.is_sandbox(cgroup):
        return None
    identity, reads = found.identity(cgroup), Reads(found, cgroup)
    desired = reads.take("mode_desired", found.desired)
    values = reads.take("mode_actual", found.oom_groups)
    limit, usage, peak = reads.sizes()
    kills = known.killed_in(identity)
    if kills is None and (events := reads.take("processes_killed", found.files.memory_events)) is not None:
        # A group kill counts its first victim twice (measured, 6.1 and 6.12).
        kills = events.oom_kill - (events.oom_group_kill or 0)
    if reads.removed:
        return None
    scope = found.scope_policy(cgroup)
    return ContainerRow(
        identity.namespace,
        identity.pod,
        identity.container,
        known.effective(cgroup, desired.decision.mode if desired is not None else None),
        mode_of(values),
        limit,
        usage,
        peak,
        kills,
        known.tolerated.get(cgroup.inode),
        identity.pod_uid,
        cgroup.place.container_id,
        cgroup.path,
        None if scope is None else scope.policy,
        tuple(sorted(reads.unread)),
    )


def _pod(row: ContainerRow) -> Cell:
    return plain(f"{row.namespace or UNKNOWN}/{row.pod}" if row.pod is not None else row.pod_uid)


def _container(row: ContainerRow) -> Cell:
    return plain((row.container_id or UNKNOWN)[:SHORT_ID] if row.container is None else row.container)


def _desired(row: ContainerRow) -> Cell:
    return styled(UNKNOWN if "mode_desired" in row.unread else row.mode_desired or "-")


def _actual(row: ContainerRow) -> Cell:
    if "mode_actual" in row.unread:
        return styled(UNKNOWN)
    drifted = row.mode_desired is not None and row.mode_desired is not row.mode_actual
    return styled(row.mode_actual or "-", style="bold red" if drifted else "")


def _kills(row: ContainerRow) -> Cell:
    """``7``, ``7 (2/5 in 10m)`` with a tolerance, ``7 (armed)`` once it is exceeded."""
    kills, limit = UNKNOWN if row.processes_killed is None else str(row.processes_killed), row.tolerance
    if limit is None:
        return styled(kills)
    if limit.exceeded:
        return styled(f"{kills} (armed)", style="bold yellow")
    return styled(f"{kills} ({limit.killed_in_window}/{limit.processes_allowed} in {duration_text(limit.window_s)})")


def _limit(row: ContainerRow) -> Cell:
    return size(row.limit_bytes, UNKNOWN if "limit_bytes" in row.unread else "none")


COLUMNS: tuple[Column[ContainerRow], ...] = (
    Column("POD", _pod, sort=_by_name),
    Column("CONTAINER", _container, sort=lambda row: row.container),
    Column("DESIRED", _desired, sort=lambda row: row.mode_desired),
    Column("ACTUAL", _actual, sort=lambda row: row.mode_actual),
    Column("LIMIT", _limit, spare=1, right=True, sort=lambda row: row.limit_bytes),
    Column("USAGE", lambda row: size(row.usage_bytes), spare=2, right=True, sort=lambda row: row.usage_bytes),
    Column("PEAK", lambda row: size(row.peak_bytes), spare=3, right=True, sort=lambda row: row.peak_bytes),
    Column("KILLS", _kills, right=True, sort=lambda row: row.processes_killed),
    Column("CONTAINER ID", lambda row: plain((row.container_id or UNKNOWN)[:SHORT_ID]), wide=True),
    Column("OOMPOLICY", lambda row: styled(row.oom_policy or "-"), wide=True),
    Column("CGROUP", lambda row: styled(safe(row.cgroup_path or UNKNOWN, 2000)), wide=True),
)
CONTAINERS = Listing("containers", COLUMNS, asdict, "No containers of pods.")
