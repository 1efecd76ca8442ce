"""Output of ``explain`` for one pod: sections of named lines, or JSON. Names of fields are JSON keys."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from agent.look.diagnoses import diagnosis_sections
from agent.look.looking import Tolerated
from agent.look.view import NAME_LIMIT, UNKNOWN, Line, Sections, document, sections_view, styled
from agent.model import ContainerKind, Filled, Mode, OomPolicy, ScopePolicy
from agent.model.diagnosis import Diagnosis
from agent.wording.kill_record import MemoryRecord
from agent.wording.notes import oom_policy_text
from agent.wording.text import bytes_text, count, duration_text, safe
from agent.wording.times import rfc3339
from agent.wording.view import Cell, Shown

PATH_LIMIT = 2000


@dataclass(frozen=True, slots=True)
class CgroupFacts:
    """One cgroup's memory. ``limit_bytes`` None: no limit. ``unread`` names the fields that could not be read.

    Counters of memory.events since the cgroup was created; None where the kernel lacks one. On v1 only ``oom_kill``.
    """

    cgroup_path: str
    limit_bytes: int | None = None
    usage_bytes: int | None = None
    peak_bytes: int | None = None
    oom_kill: int | None = None
    oom_group_kill: int | None = None
    oom: int | None = None
    local_oom: int | None = None
    unread: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OomGroup:
    """memory.oom.group of one cgroup: 0 or 1. ``oom_group_original``: its value before oomward's first write in this boot."""

    cgroup_path: str
    oom_group: int
    oom_group_original: int | None = None


@dataclass(frozen=True, slots=True)
class SystemdScope:
    """The systemd scope that a container runs in. ``stops_survivors``: systemd stops it after the OOM kill of a single process.

    ``oom_policy_after_reload`` None: the same. ``decided_by``: the deciding file, "" if none sets it. ``systemd_version`` None: not
    known. ``says``: all of it as a sentence.
    """

    unit: str
    oom_policy: OomPolicy
    oom_policy_after_reload: OomPolicy | None
    decided_by: str
    systemd_version: int | None
    stops_survivors: bool
    says: str

    @classmethod
    def of(cls, one: ScopePolicy) -> SystemdScope:
        says, stops = oom_policy_text(one), one.stops_survivors
        return cls(one.scope, one.policy, one.after_reload, one.decided_by, one.systemd, stops, says)


@dataclass(frozen=True, slots=True)
class ContainerExplanation:
    """``container`` None: unknown. ``cgroup`` None: it does not run. ``mode_actual`` None: it does not run, or could not be read.

    ``mode_rule`` is the annotation, label or configured rule that decided, or "". Facts from the API (``kind``, ``container_state`` and
    others) are None without it. ``systemd`` None: it has no scope, or none that is visible. ``processes_killed``: as far back as the
    ledger reaches; None without a ledger. ``last_kill_unix_s``: its time; ``memory`` below the limit that was hit then, a sentence
    (``memory_text``) and ``filled_by``, None where they are not known. ``last_process``: the process of the last kill and its parents,
    safe to print; None: not known.
    """

    container: str | None
    kind: ContainerKind | None
    container_id: str | None
    mode_desired: Mode | None
    mode_rule: str
    mode_why: str
    mode_actual: Mode | None = None
    oom_groups: tuple[OomGroup, ...] = ()
    cgroup: CgroupFacts | None = None
    spec_limit_bytes: int | None = None
    processes_killed: int | None = None
    last_kill_unix_s: float | None = None
    memory: MemoryRecord | None = None
    memory_text: str | None = None
    filled_by: Filled | None = None
    last_process: str | None = None
    restarts: int | None = None
    container_state: str | None = None
    container_state_reason: str | None = None
    last_reason: str | None = None
    last_exit_code: int | None = None
    last_finished_unix_s: float | None = None
    tolerance: Tolerated | None = None
    systemd: SystemdScope | None = None


@dataclass(frozen=True, slots=True)
class PodExplanation:
    """``namespace``, ``pod`` and ``phase`` None: unknown to the API. ``cgroup`` None: the pod has none here (any more).

    ``limits`` compares the pod's limit with its containers', ``limits_sum_bytes`` is their sum, None if one has no limit.
    ``sandboxes``: paths of cgroups without a container name. ``grouped_above``: cgroups above the containers with
    memory.oom.group 1. ``notes``: sentences, e.g. about invalid labels. ``files``: a value's file (``what``) on both versions.
    """

    pod_uid: str
    namespace: str | None
    pod: str | None
    phase: str | None
    cgroup_version: str
    mount: str
    containers: tuple[ContainerExplanation, ...]
    sandboxes: tuple[str, ...]
    sandbox_name: str
    cgroup: CgroupFacts | None
    spec_limit_bytes: int | None
    limits_sum_bytes: int | None
    limits: str
    grouped_above: tuple[str, ...]
    notes: tuple[str, ...]
    files: tuple[dict[str, str], ...]
    diagnoses: tuple[Diagnosis, ...] = ()


def shown(pod: PodExplanation, troubles: list[str]) -> Shown:
    return Shown(document("pods", [asdict(pod)]), sections_view(_sections(pod)), troubles)


def _sections(pod: PodExplanation) -> Sections:
    named = f"{pod.namespace or UNKNOWN}/{pod.pod}" if pod.pod is not None else "of unknown name"
    yield f"Pod {safe(named, NAME_LIMIT)}", _pod(pod)
    for container in pod.containers:
        kind = f" ({container.kind})" if container.kind else ""
        name = "of unknown name" if container.container is None else safe(container.container)
        yield f"Container {name}{kind}", _container(container)
    yield from diagnosis_sections(pod.diagnoses)
    for path in pod.sandboxes:
        yield pod.sandbox_name[0].upper() + pod.sandbox_name[1:], iter([("Cgroup", styled(safe(path, PATH_LIMIT)))])
    yield f"Files below {safe(pod.mount, PATH_LIMIT)}/<cgroup>", _files(pod)


def _files(pod: PodExplanation) -> Iterator[Line]:
    v2, v1 = (f"{version} (here)" if version == pod.cgroup_version else version for version in ("v2", "v1"))
    yield "", styled(f"{v2:24}{v1}")
    for one in pod.files:
        yield one["what"], styled(f"{one['v2']:24}{one['v1']}")


def _pod(pod: PodExplanation) -> Iterator[Line]:
    yield "Uid", styled(safe(pod.pod_uid))
    yield "Phase", styled(safe(pod.phase or UNKNOWN))
    if pod.cgroup is None:
        yield "Cgroup", styled("none")
    else:
        yield from _cgroup(pod.cgroup, pod.spec_limit_bytes)
    yield "Limits", styled(safe(pod.limits, PATH_LIMIT))
    for path in pod.grouped_above:
        where = f"memory.oom.group is 1 at {safe(path, PATH_LIMIT)}: if this level or one above it reaches its limit"
        effect = "an OOM kill ends everything below, regardless of the container's mode"
        yield "Above", styled(f"{where}, {effect}", style="bold red")
    for note in pod.notes:
        yield "Note", styled(safe(note, PATH_LIMIT), style="yellow")


def _container(one: ContainerExplanation) -> Iterator[Line]:
    why = one.mode_why if not one.mode_rule or one.mode_rule in one.mode_why else f"{one.mode_why} ({one.mode_rule})"
    yield "Desired", styled(f"{one.mode_desired or 'no mode'}: {safe(why, NAME_LIMIT)}")
    if one.cgroup is not None:
        yield "Actual", _actual(one)
    if one.systemd is not None:
        broken = one.systemd.stops_survivors and one.mode_desired is Mode.SINGLE
        yield "Systemd", styled(one.systemd.says, style="bold red" if broken else "")
    yield "Id", styled(safe(one.container_id or "none yet", 80))
    if one.cgroup is None:
        yield "Cgroup", styled("none: the container does not run")
        if one.spec_limit_bytes is not None:
            yield "Limit", styled(f"{bytes_text(one.spec_limit_bytes)} in the spec")
    else:
        yield from _cgroup(one.cgroup, one.spec_limit_bytes)
    if one.processes_killed is not None:
        last = "" if one.last_kill_unix_s is None else f", the last {rfc3339(one.last_kill_unix_s)}"
        yield "Kills", styled(f"{count(one.processes_killed, 'process')} in the ledger{last}")
    if one.memory_text is not None:
        yield "At kill", styled(one.memory_text)
    if one.last_process is not None:
        yield "Killed", styled(one.last_process)
    if one.tolerance is not None:
        yield "Allows", _tolerated(one.tolerance)
    if one.container_state is not None:
        yield "State", styled(_state(one))


def _tolerated(limit: Tolerated) -> Cell:
    time, by = duration_text(limit.window_s), safe(limit.said_by, NAME_LIMIT)
    text = f"{count(limit.processes_allowed, 'killed process')} in {time}, {limit.killed_in_window} used up now ({by})"
    if not limit.exceeded:
        return styled(text)
    return styled(f"{text}; exceeded: the next OOM kill ends the whole container", style="bold yellow")


def _actual(one: ContainerExplanation) -> Cell:
    if one.mode_actual is None:
        return styled(UNKNOWN)
    if not one.oom_groups:
        return styled(f"{one.mode_actual}: cgroup v1 has no memory.oom.group, and each OOM kill ends one process")
    values: list[str] = []
    for group in one.oom_groups:
        before = (
            "" if group.oom_group_original is None else f" ({group.oom_group_original} before oomward's first write)"
        )
        where = (
            f" at {safe(group.cgroup_path.rpartition('/')[2])} below, crun's cgroup of the processes" if values else ""
        )
        values.append(f"{group.oom_group}{where}{before}")
    drifted = one.mode_desired is not None and one.mode_desired is not one.mode_actual
    text = f"{one.mode_actual}: memory.oom.group is {' and '.join(values)}"
    return styled(text, style="bold red" if drifted else "")


def _state(one: ContainerExplanation) -> str:
    state = safe(one.container_state or "not reported yet")
    state += f" ({safe(one.container_state_reason)})" if one.container_state_reason else ""
    state += f", {count(one.restarts, 'restart')}" if one.restarts else ""
    if one.last_reason is None and one.last_exit_code is None:
        return state
    code = f", exit code {one.last_exit_code}" if one.last_exit_code is not None else ""
    when = "" if one.last_finished_unix_s is None else f", at {rfc3339(one.last_finished_unix_s)}"
    return f"{state}; the previous instance ended: {safe(one.last_reason or UNKNOWN)}{code}{when}"


def _cgroup(facts: CgroupFacts, spec_limit_bytes: int | None) -> Iterator[Line]:
    yield "Cgroup", styled(safe(facts.cgroup_path, PATH_LIMIT))
    limit = _size(facts, "limit_bytes", "none")
    if spec_limit_bytes is not None and spec_limit_bytes - (facts.limit_bytes or 0) not in range(1 << 16):
        limit += f" ({bytes_text(spec_limit_bytes)} in the spec)"  # the kernel rounds down to pages of at most 64 KiB
    yield "Limit", styled(limit)
    share = ""
    if facts.limit_bytes and facts.usage_bytes is not None:
        share = f", {100 * facts.usage_bytes // facts.limit_bytes} % of the limit"
    peak = _size(facts, "peak_bytes", "not available")
    yield "Usage", styled(f"{_size(facts, 'usage_bytes', UNKNOWN)}{share}; peak {peak}")
    yield "OOM", styled(_counters(facts))


def _size(facts: CgroupFacts, name: str, without: str) -> str:
    size: int | None = getattr(facts, name)
    if size is not None:
        return bytes_text(size)
    return UNKNOWN if name in facts.unread else without


def _counters(facts: CgroupFacts) -> str:
    if "oom_kill" in facts.unread:
        return UNKNOWN
    names = ("oom_kill", "oom_group_kill", "oom")
    shown = [f"{name} {value}" for name in names if (value := getattr(facts, name)) is not None]
    own = "" if facts.local_oom is None else f" (this cgroup's own limit: {facts.local_oom})"
    return ", ".join(shown) + own
