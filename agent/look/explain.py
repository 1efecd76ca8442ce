"""What ``explain POD`` shows: each container's mode, why it applies, its cgroup, limits and kills.

Without the API a pod is found by its uid or a container id.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from agent.cgroup.files import OOM_GROUP, V1_SIZES, V2_SIZES
from agent.look.diagnoses import diagnose_pod
from agent.look.explanation import (
    CgroupFacts,
    ContainerExplanation,
    OomGroup,
    PodExplanation,
    SystemdScope,
    shown,
)
from agent.look.finding import NodePod, find
from agent.look.limits import limits_of, limits_sentence, sum_of
from agent.look.looking import Reads, Recorded, grouped_above, mode_of, recorded
from agent.look.survey import Survey
from agent.look.view import UNKNOWN
from agent.model import (
    MODE_ANNOTATION_PREFIX,
    MODE_LABEL,
    Cgroup,
    CgroupKind,
    Decision,
    Identity,
    Mode,
    OomKill,
    Pod,
    Source,
)
from agent.model.status import Phase
from agent.modes.policy import decide, invalid_modes, labels_ignored
from agent.modes.stalls import invalid_stalls
from agent.modes.tolerance import invalid_tolerances
from agent.wording.filled import containers_sentence, filled_by, memory_sentence
from agent.wording.kill_record import memory_record
from agent.wording.notes import group_on_v1_note, mode_invalid_note
from agent.wording.processes import seen_text
from agent.wording.view import Shown

MOST_KILLS = 200
UNREADABLE = Decision(
    None, Source.NONE, "", "its limit cannot be read, so it cannot be distinguished from the pod's other containers"
)
FILES = (
    {"what": "Mode", "v2": OOM_GROUP, "v1": "none: always single"},
    {"what": "Limit", "v2": V2_SIZES["limit"], "v1": V1_SIZES["limit"]},
    {"what": "Usage", "v2": V2_SIZES["usage"], "v1": V1_SIZES["usage"]},
    {"what": "Peak", "v2": V2_SIZES["peak"], "v1": V1_SIZES["peak"]},
    {"what": "OOM", "v2": "memory.events", "v1": "memory.oom_control"},
    {"what": "Own OOM", "v2": "memory.events.local", "v1": "memory.oom_control"},
)


def explain(found: Survey, pod: str, namespace: str | None = None) -> Shown:
    """One pod, given by name, namespace/name, uid, or 6 or more first characters of a container id; None: of any namespace.

    Raises AgentError if no pod on this node matches, or several do.
    """
    return shown(_explain(found, find(found, pod, namespace)), found.troubles)


def _explain(found: Survey, node_pod: NodePod) -> PodExplanation:
    known = recorded(found)
    pod = node_pod.pod
    own = [cgroup for cgroup in found.containers() if cgroup.place.pod_key == node_pod.key]
    sandboxes = [cgroup for cgroup in own if found.is_sandbox(cgroup)]
    containers = [_running(found, pod, one, known) for one in own if one not in sandboxes]
    last = _last_kills(found, node_pod.uid)
    if pod is not None:
        names = {one.container for one in containers}
        for one in pod.containers:
            if one.name not in names:  # it has ended, or has not started
                identity = Identity(pod.namespace, pod.name, pod.uid, one.name)
                decision = decide(pod, one.name, found.settings.rules)
                containers.append(_stated(pod, identity, one.container_id, decision, known))
        order = [one.name for one in pod.containers]  # init containers first; unnamed ones last
        containers.sort(key=lambda one: order.index(one.container) if one.container in order else len(order))
    containers = [_with_kill(one, last.get(one.container)) for one in containers]
    pods = (one for one in found.cgroups.values() if one.place.kind is CgroupKind.POD)
    at = next((one for one in pods if one.place.pod_key == node_pod.key), None)
    cgroup, limits = None if at is None else _facts(found, at), limits_of(containers, pod)
    return PodExplanation(
        pod_uid=node_pod.uid,
        namespace=node_pod.namespace,
        pod=node_pod.name,
        phase=pod.status.phase if pod is not None else None,
        cgroup_version=found.hierarchy.version,
        mount=str(found.hierarchy.memory_mount),
        containers=tuple(containers),
        sandboxes=tuple(one.path for one in sandboxes),
        sandbox_name=_sandbox_name(pod),
        cgroup=cgroup,
        spec_limit_bytes=pod.status.limit_bytes if pod is not None else None,
        limits_sum_bytes=sum_of(limits),
        limits=limits_sentence(cgroup, limits),
        grouped_above=grouped_above(found, own),
        notes=tuple(_notes(found, pod, containers)),
        files=FILES,
        diagnoses=tuple(diagnose_pod(found, pod)),
    )


def _running(found: Survey, pod: Pod | None, cgroup: Cgroup, known: Recorded) -> ContainerExplanation:
    """A container with a cgroup; without it if the cgroup is removed meanwhile."""
    identity, reads = found.identity(cgroup), Reads(found, cgroup)
    desired = reads.take("mode_desired", found.desired)
    decision = desired.decision if desired is not None else UNREADABLE
    stated = replace(
        _stated(pod, identity, cgroup.place.container_id, decision, known),
        mode_desired=known.effective(cgroup, decision.mode),
        tolerance=known.tolerated.get(cgroup.inode),
    )
    values = reads.take(OOM_GROUP, found.oom_groups)
    facts = _facts(found, cgroup)
    if reads.removed or facts is None:
        return stated
    groups = () if found.hierarchy.version == "v1" or values is None else _oom_groups(found, values)
    scope = found.scope_policy(cgroup)
    systemd = None if scope is None else SystemdScope.of(scope)
    return replace(stated, mode_actual=mode_of(values), oom_groups=groups, cgroup=facts, systemd=systemd)


def _stated(
    pod: Pod | None, identity: Identity, container_id: str | None, decision: Decision, known: Recorded
) -> ContainerExplanation:
    """The facts that need no cgroup."""
    name, kills = identity.container, known.killed_in(identity)
    stated = ContainerExplanation(
        name, None, container_id, decision.mode, decision.rule, decision.why, processes_killed=kills
    )
    spec = pod.container(name) if pod is not None and name is not None else None
    if spec is None:
        return stated
    state, last = spec.status.state, spec.status.last
    return replace(
        stated,
        kind=spec.kind,
        spec_limit_bytes=spec.limit_bytes,
        restarts=spec.status.restart_count,
        container_state="" if state.phase is Phase.NONE else state.phase.value,
        container_state_reason=state.reason or None,
        last_reason=last.reason or None,
        last_exit_code=last.exit_code,
        last_finished_unix_s=last.finished_unix_s,
    )


def _last_kills(found: Survey, uid: str) -> dict[str | None, OomKill]:
    """The newest kill of each container, of the pod's newest MOST_KILLS."""
    kills = found.recorded(lambda reader: reader.kills_of_pod(uid, 0.0, MOST_KILLS), [])
    return {kill.container: kill for kill in reversed(kills)}


def _with_kill(one: ContainerExplanation, kill: OomKill | None) -> ContainerExplanation:
    if kill is None or one.container is None:
        return one
    text = " ".join(filter(None, (memory_sentence(kill), containers_sentence(kill)))) or None
    memory = None if kill.use is None else memory_record(kill.use)
    filled, process = filled_by(kill), seen_text(kill) or None
    one = replace(one, last_kill_unix_s=kill.at_unix_s, last_process=process)
    return replace(one, memory=memory, memory_text=text, filled_by=filled)


def _oom_groups(found: Survey, values: Mapping[str, int]) -> tuple[OomGroup, ...]:
    originals = found.originals()
    kept = {path: originals.get(found.cgroups[path].inode) for path in values}
    return tuple(OomGroup(path, value, one.value if (one := kept[path]) else None) for path, value in values.items())


def _sandbox_name(pod: Pod | None) -> str:
    """A container that the kubelet has not reported yet looks like the sandbox."""
    starting = pod is not None and any(one.status.state.phase in (Phase.NONE, Phase.WAITING) for one in pod.containers)
    return "sandbox (pause), or a container that is starting" if starting else "sandbox (pause)"


def _facts(found: Survey, cgroup: Cgroup) -> CgroupFacts | None:
    """None: removed meanwhile."""
    reads = Reads(found, cgroup)
    limit, usage, peak = reads.sizes()
    events = reads.take("oom_kill", found.files.memory_events)
    facts = CgroupFacts(cgroup.path, limit, usage, peak, unread=tuple(sorted(reads.unread)))
    if events is None or reads.removed:
        return None if reads.removed else facts
    if found.hierarchy.version == "v1":
        return replace(facts, oom_kill=events.oom_kill)
    groups, own = events.oom_group_kill, events.local_oom
    return replace(facts, oom_kill=events.oom_kill, oom_group_kill=groups, oom=events.oom, local_oom=own)


def _notes(found: Survey, pod: Pod | None, containers: Iterable[ContainerExplanation]) -> list[str]:
    """Why a desired mode is not in force, and which labels and annotations have no effect."""
    notes = []
    if found.hierarchy.version == "v1":
        notes += [group_on_v1_note(one.container or UNKNOWN) for one in containers if one.mode_desired is Mode.GROUP]
    if pod is None:
        return notes
    rules = found.settings.rules
    invalid = (*invalid_modes(pod, rules), *invalid_tolerances(pod, rules), *invalid_stalls(pod, rules))
    notes += map(mode_invalid_note, invalid)
    asks = MODE_LABEL in pod.labels or any(key.startswith(MODE_ANNOTATION_PREFIX) for key in pod.annotations)
    if asks and labels_ignored(pod, rules):
        where = f"in namespace {pod.namespace} (ignoreLabelsIn)"
        notes.append(f"labels and annotations are ignored {where}: only rules apply")
    return notes
