"""``oomward explain POD``: each container's mode, why it applies, its cgroup, limits and kills.

Reads only; needs no running agent. Without the API a pod is found by its uid or a container id.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TextIO

from agent.cgroup.files import OOM_GROUP, V1_SIZES, V2_SIZES
from agent.commands import EXIT_OK
from agent.commands.diagnosing import diagnose_pod
from agent.commands.looking import (
    GoneError,
    LedgerFacts,
    NodePod,
    Reads,
    find,
    grouped_above,
    identity_of,
    is_sandbox,
    knobs,
    mode_of,
    read_ledger,
    say,
)
from agent.commands.output.cells import UNKNOWN
from agent.commands.output.containers import SHORT_ID
from agent.commands.output.explanation import (
    CgroupFacts,
    ContainerExplanation,
    FileNames,
    OomGroup,
    PodExplanation,
    show_explanation,
)
from agent.commands.output.table import Output
from agent.commands.survey import Survey, survey
from agent.commands.tolerances import tolerances, with_tolerance
from agent.model import (
    MODE_ANNOTATION_PREFIX,
    MODE_LABEL,
    AgentError,
    Cgroup,
    CgroupKind,
    ContainerKind,
    Decision,
    Identity,
    Mode,
    Pod,
    PodContainer,
    Source,
)
from agent.model.status import Phase
from agent.modes import bad_wishes, decide, disobeyed
from agent.settings import Settings
from agent.wording.kills import bytes_text
from agent.wording.notes import group_on_v1_note, mode_invalid_note
from agent.wording.times import rfc3339

Limit = tuple[str, int | None]  # a container's name and its limit
UNREADABLE = Decision(
    None, Source.NONE, "", "its limit cannot be read, so it cannot be distinguished from the pod's other containers"
)
DISOBEYED_KEY = "ignoreLabelsIn"
# Limits of these kinds are added up: init and ephemeral containers do not last.
SUMMED = (ContainerKind.REGULAR.value, ContainerKind.SIDECAR.value, None)
FILES = (
    FileNames("Mode", OOM_GROUP, "none: always single"),
    FileNames("Limit", V2_SIZES["limit"], V1_SIZES["limit"]),
    FileNames("Usage", V2_SIZES["usage"], V1_SIZES["usage"]),
    FileNames("Peak", V2_SIZES["peak"], V1_SIZES["peak"]),
    FileNames("OOM", "memory.events", "memory.oom_control"),
    FileNames("Own OOM", "memory.events.local", "memory.oom_control"),
)


def explain(settings: Settings, pod: str, output: Output, file: TextIO) -> int:
    """Print everything about one pod, given by name, namespace/name, uid, or 6 or more first characters of a container id.

    Raises AgentError if no pod on this node matches, or several do.
    """
    with survey(settings) as found:
        troubles = list(found.troubles)
        try:
            node_pod = find(found, pod)
        except AgentError:
            say(troubles)
            raise
        explanation = _explain(found, node_pod, read_ledger(settings, troubles), troubles)
    show_explanation(explanation, output, file)
    say(troubles)
    return EXIT_OK


def _explain(found: Survey, node_pod: NodePod, ledger: LedgerFacts, troubles: list[str]) -> PodExplanation:
    pod = node_pod.pod
    own = [cgroup for cgroup in found.containers() if cgroup.place.pod_key == node_pod.key]
    sandboxes = [cgroup for cgroup in own if is_sandbox(found, cgroup)]
    used = tolerances(found, troubles)
    running = [
        with_tolerance(_running(found, node_pod, one, ledger, troubles), used.get(one.inode))
        for one in own
        if one not in sandboxes
    ]
    names = {one.name for one in running}
    idle = (
        [_idle(found, pod, one, ledger) for one in pod.containers if one.name not in names] if pod is not None else []
    )
    containers = _in_order([*running, *idle], pod)
    at = _pod_cgroup(found, node_pod)
    cgroup, limits = _pod_facts(found, at, troubles), _limits(containers, pod)
    return PodExplanation(
        uid=node_pod.uid,
        namespace=node_pod.namespace,
        name=node_pod.name,
        phase=pod.status.phase if pod is not None else None,
        cgroup_version=found.hierarchy.version,
        mount=str(found.hierarchy.memory_mount),
        containers=containers,
        sandboxes=tuple(one.path for one in sandboxes),
        sandbox_name=_sandbox_name(pod),
        cgroup=cgroup,
        spec_limit_bytes=pod.status.limit_bytes if pod is not None else None,
        limits_sum_bytes=_sum(limits),
        limits=limits_sentence(cgroup, limits),
        grouped_above=grouped_above(found, own, troubles),
        notes=_notes(found, pod, containers),
        files=FILES,
        diagnoses=diagnose_pod(found, pod, troubles),
    )


# ------------------------------------------------------------------------------------------------------------ containers


def _running(
    found: Survey, node_pod: NodePod, cgroup: Cgroup, ledger: LedgerFacts, troubles: list[str]
) -> ContainerExplanation:
    """A container with a cgroup; without it if the cgroup is removed meanwhile."""
    identity, reads = identity_of(found, cgroup), Reads(troubles)
    name = identity.container
    spec = node_pod.pod.container(name) if node_pod.pod is not None and name is not None else None
    wish = reads.take("mode_wanted", lambda: found.wish(cgroup))
    decision = wish.decision if wish is not None else UNREADABLE
    stated = _stated(name, spec, cgroup.place.container_id, decision, ledger.killed_in(identity))
    try:
        values = reads.take(OOM_GROUP, lambda: knobs(found, cgroup))
        facts = _facts(found, cgroup, troubles)
    except GoneError:
        return stated
    on_v1 = found.hierarchy.version == "v1"
    shown = (
        ()
        if on_v1 or values is None
        else tuple(_oom_group(found, ledger, path, value) for path, value in values.items())
    )
    return replace(stated, mode_actual=mode_of(values), knobs=shown, cgroup=facts)


def _idle(found: Survey, pod: Pod, spec: PodContainer, ledger: LedgerFacts) -> ContainerExplanation:
    """A container of the pod without a cgroup: it has ended, or has not started."""
    identity = Identity(pod.namespace, pod.name, pod.uid, spec.name)
    decision = decide(pod, spec.name, found.settings.rules)
    return _stated(spec.name, spec, spec.container_id, decision, ledger.killed_in(identity))


def _stated(
    name: str | None, spec: PodContainer | None, container_id: str | None, decision: Decision, kills: int | None
) -> ContainerExplanation:
    """The facts that need no cgroup."""
    known = ContainerExplanation(name, None, container_id, decision.mode, decision.rule, decision.why, kills=kills)
    if spec is None:
        return known
    state, last = spec.status.state, spec.status.last
    return replace(
        known,
        kind=spec.kind.value,
        spec_limit_bytes=spec.limit_bytes,
        restarts=spec.status.restart_count,
        state="" if state.phase is Phase.NONE else state.phase.value,
        state_reason=state.reason or None,
        last_reason=last.reason or None,
        last_exit_code=last.exit_code,
        last_finished=None if last.finished_unix_s is None else rfc3339(last.finished_unix_s),
    )


def _oom_group(found: Survey, ledger: LedgerFacts, path: str, value: int) -> OomGroup:
    cgroup = found.tree.cgroups.get(path)
    original = ledger.originals.get(cgroup.inode) if cgroup is not None else None
    return OomGroup(path, value, original.value if original is not None else None)


def _in_order(containers: list[ContainerExplanation], pod: Pod | None) -> tuple[ContainerExplanation, ...]:
    """In the order of the pod's spec (init containers first); unnamed ones last."""
    names = [one.name for one in pod.containers] if pod is not None else []
    return tuple(sorted(containers, key=lambda one: names.index(one.name) if one.name in names else len(names)))


def _sandbox_name(pod: Pod | None) -> str:
    """A container that the kubelet has not reported yet looks like the sandbox."""
    starting = pod is not None and any(one.status.state.phase in (Phase.NONE, Phase.WAITING) for one in pod.containers)
    return "sandbox (pause), or a container that is starting" if starting else "sandbox (pause)"


# --------------------------------------------------------------------------------------------------------- cgroups, notes


def _facts(found: Survey, cgroup: Cgroup, troubles: list[str]) -> CgroupFacts:
    """Raises GoneError."""
    files, reads = found.files, Reads(troubles)
    limit = reads.take("limit_bytes", lambda: found.limit_bytes(cgroup))
    usage = reads.take("usage_bytes", lambda: files.usage_bytes(cgroup))
    peak = reads.take("peak_bytes", lambda: files.peak_bytes(cgroup))
    events = reads.take("oom_kill", lambda: files.memory_events(cgroup))
    facts = CgroupFacts(cgroup.path, limit, usage, peak, unread=tuple(sorted(reads.unread)))
    if events is None:
        return facts
    if found.hierarchy.version == "v1":
        return replace(facts, oom_kill=events.oom_kill)
    groups, own = events.oom_group_kill, events.local_oom
    return replace(facts, oom_kill=events.oom_kill, oom_group_kill=groups, oom=events.oom, local_oom=own)


def _pod_cgroup(found: Survey, node_pod: NodePod) -> Cgroup | None:
    ours = (c for c in found.tree.cgroups.values() if c.place.pod_key == node_pod.key)
    return next((c for c in ours if c.place.kind is CgroupKind.POD), None)


def _pod_facts(found: Survey, cgroup: Cgroup | None, troubles: list[str]) -> CgroupFacts | None:
    try:
        return None if cgroup is None else _facts(found, cgroup, troubles)
    except GoneError:
        return None


def _notes(found: Survey, pod: Pod | None, containers: Iterable[ContainerExplanation]) -> tuple[str, ...]:
    """Why a desired mode is not in force."""
    notes = []
    if found.hierarchy.version == "v1":
        notes += [group_on_v1_note(one.name or UNKNOWN) for one in containers if one.mode_wanted is Mode.GROUP]
    if pod is None:
        return tuple(notes)
    rules = found.settings.rules
    notes += [mode_invalid_note(bad) for bad in bad_wishes(pod, rules)]
    asks = MODE_LABEL in pod.labels or any(key.startswith(MODE_ANNOTATION_PREFIX) for key in pod.annotations)
    if asks and disobeyed(pod, rules):
        notes.append(
            f"labels and annotations are ignored in namespace {pod.namespace} ({DISOBEYED_KEY}): only rules apply"
        )
    return tuple(notes)


# ----------------------------------------------------------------------------------------------------------------- limits


def _limits(containers: Iterable[ContainerExplanation], pod: Pod | None) -> list[Limit] | None:
    """Limits of the containers that add to the pod's: of the cgroup, or of the spec if it does not run. None: not readable.

    Init and ephemeral containers add nothing. Without the API a cgroup without a limit may be the sandbox and is left out.
    """
    limits = []
    for one in containers:
        if one.kind not in SUMMED:
            continue
        if one.cgroup is not None and "limit_bytes" in one.cgroup.unread:
            return None
        limit = one.spec_limit_bytes if one.cgroup is None else one.cgroup.limit_bytes
        if pod is not None or limit is not None:
            limits.append((one.name or (one.container_id or UNKNOWN)[:SHORT_ID], limit))
    return limits


def _sum(limits: Sequence[Limit] | None) -> int | None:
    sizes = [limit for _, limit in limits or () if limit is not None]
    return sum(sizes) if limits and len(sizes) == len(limits) else None


def limits_sentence(pod: CgroupFacts | None, limits: Sequence[Limit] | None) -> str:
    """How the pod's limit compares with its containers' (measured: see docs/architecture.md)."""
    if pod is None:
        return "the pod has no cgroup here, so it has no limit"
    if limits is None or "limit_bytes" in pod.unread:
        return "some limits could not be read"
    bare = [name for name, limit in limits if limit is None]
    total, whole = _sum(limits), pod.limit_bytes
    if total is None:
        return _without(whole, bare)
    terms = " + ".join(bytes_text(limit) for _, limit in limits if limit is not None)
    added = f"the containers' limits add up to {terms}" + (f" = {bytes_text(total)}" if len(limits) > 1 else "")
    return f"{added}{_compared(whole, total, len(limits))}"


def _compared(whole: int | None, total: int, number: int) -> str:
    if whole is None:
        return "; the pod has no limit of its own"
    if abs(whole - total) <= mmap.PAGESIZE * number:  # the kernel rounds each down to a page
        return "; the pod's limit is the same" + (
            ", and the kernel log names the pod's cgroup when it is hit" * (number == 1)
        )
    if whole < total:
        return f"; the pod's limit is {bytes_text(total - whole)} less, so it is hit before all of them are used up"
    return f"; the pod's limit is {bytes_text(whole - total)} more (init containers, or the RuntimeClass overhead)"


def _without(whole: int | None, bare: Sequence[str]) -> str:
    who = ", ".join(bare) if bare else "the containers"
    have = "have" if len(bare) != 1 else "has"
    if whole is None:
        return f"{who} {have} no limit, and the pod has none: only the node's memory limits them"
    return f"{who} {have} no limit: all containers of the pod together hit the pod's limit first"
