"""A kill as the JSON log and the commands' JSON have it. Names of fields are JSON keys (docs/reference/json.md)."""

from __future__ import annotations

from dataclasses import dataclass

from agent.model import Filled, MemoryUse, Mode, OomKill, Outcome, Scope, SeenProcess, TaskRow, Victim, plain
from agent.wording.filled import filled_by


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """A process in the kernel's report. ``rss_bytes`` and ``uid`` None: the line was lost or lacks it."""

    pid: int
    comm: str
    uid: int | None
    rss_bytes: int | None


@dataclass(frozen=True, slots=True)
class MemoryRecord:
    """model/memory.py's MemoryUse, with the unit in the names."""

    anon_bytes: int | None
    file_bytes: int | None
    dirty_bytes: int | None
    shmem_bytes: int | None
    kernel_bytes: int | None
    slab_reclaimable_bytes: int | None
    sock_bytes: int | None
    swap_bytes: int | None
    by_report: bool


@dataclass(frozen=True, slots=True)
class ContainerUsage:
    """The memory of one container of the pod at a kill at the pod's limit; ``container`` None: the sandbox, or not known."""

    container: str | None
    usage_bytes: int


@dataclass(frozen=True, slots=True)
class KillRecord:
    """model/kills.py's OomKill says what the values mean, and None. Text is as it was found: JSON escapes it."""

    kill_id: str
    at_unix_s: float
    node: str
    namespace: str | None
    pod: str | None
    pod_uid: str | None
    container: str | None
    container_id: str | None
    sandbox: bool
    cgroup_path: str
    processes_killed: int
    victims: tuple[ProcessRecord, ...]
    group_kill: bool
    mode: Mode | None
    scope: Scope | None
    outcome: Outcome | None
    limit_bytes: int | None
    usage_bytes: int | None
    memory: MemoryRecord | None
    filled_by: Filled | None
    container_usage: tuple[ContainerUsage, ...]
    largest: tuple[ProcessRecord, ...]
    seen: tuple[SeenProcess, ...]
    sources: tuple[str, ...]
    details_missing: bool
    report_sequence: int | None


def kill_record(kill: OomKill) -> KillRecord:
    """All fields of a kill but those that ``kill_id`` is made of."""
    return KillRecord(
        kill_id=kill.kill_id,
        at_unix_s=round(kill.at_unix_s, 6),
        node=kill.node,
        namespace=kill.namespace,
        pod=kill.pod,
        pod_uid=kill.pod_uid,
        container=kill.container,
        container_id=kill.container_id,
        sandbox=kill.sandbox,
        cgroup_path=kill.cgroup_path,
        processes_killed=kill.processes,
        victims=tuple(map(_process, kill.victims)),
        group_kill=kill.group_kill,
        mode=kill.mode,
        scope=kill.scope,
        outcome=kill.outcome,
        limit_bytes=kill.limit_bytes,
        usage_bytes=kill.usage_bytes,
        memory=None if kill.use is None else memory_record(kill.use),
        filled_by=filled_by(kill),
        container_usage=tuple(ContainerUsage(one.name, one.usage_bytes) for one in kill.containers),
        largest=tuple(map(_process, kill.largest)),
        seen=kill.seen,
        sources=tuple(sorted(kill.sources)),
        details_missing=kill.details_missing,
        report_sequence=kill.report_sequence,
    )


def kill_fields(kill: OomKill, event: str = "oom_kill") -> dict[str, object]:
    """For the JSON log line. ``event``: see docs/reference/log.md."""
    return {"event": event, **plain(kill_record(kill))}


def _process(one: Victim | TaskRow) -> ProcessRecord:
    rss_bytes = one.resident_bytes if isinstance(one, Victim) else one.rss_bytes
    return ProcessRecord(one.pid, one.comm, one.uid, rss_bytes)


def memory_record(use: MemoryUse) -> MemoryRecord:
    sizes = (use.anon, use.file, use.dirty, use.shmem, use.kernel, use.slab_reclaimable, use.sock, use.swap)
    return MemoryRecord(*sizes, use.by_report)
