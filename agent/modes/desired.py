"""The desired mode of each container's cgroup, and which cgroups carry it: policy applied to the pods of the registry."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from agent.model import Cgroup, Decision, KeptDecision, Mode, Pod, Rules, Source, Tolerance
from agent.modes.policy import candidates, decide, decide_unnamed
from agent.modes.tolerance import tolerance_of
from agent.pods.registry import Registry


@dataclass(frozen=True, slots=True)
class DesiredMode:
    """``pod_uid`` None: the pod is not known. ``container`` None: no name yet. ``tolerance`` None: any number, or no name yet."""

    decision: Decision
    pod_uid: str | None
    container: str | None
    tolerance: Tolerance | None = None


def desired_mode(
    cgroup: Cgroup,
    registry: Registry,
    rules: Rules,
    limit_bytes: Callable[[], int | None],
    runs: Callable[[str], bool],
) -> DesiredMode:
    """The desired mode of this container's cgroup. ``limit_bytes`` reads its limit, None: none. ``runs`` says of another id of its
    pod whether there are processes in it: the API names a container as running for up to seconds after its end, when its
    successor has started already. Both are called only if needed.

    While its id has no name, ``single`` is desired if all candidates agree on it: the kubelet writes 1 to containers
    only, so a 0 does a pause sandbox no harm. ``group`` waits for the name: a 1 on a sandbox would kill it too.
    """
    if registry.runtime.is_sandbox(cgroup.place):
        return DesiredMode(_leave("it is the pod's sandbox"), None, None)
    pod = registry.pod_of(cgroup.place)
    if pod is None:
        return _remembered(cgroup, registry) or _by_runtime(cgroup, registry, rules)
    named = registry.identity(cgroup.place)
    name = named.container if named is not None and named.pod_uid == pod.uid else None
    if name is not None:
        return DesiredMode(decide(pod, name, rules), pod.uid, name, tolerance_of(pod, name, rules))
    live = frozenset(filter(runs, registry.live_ids(pod)))
    return DesiredMode(_unnamed(pod, live, rules, limit_bytes), pod.uid, None)


def _unnamed(pod: Pod, live: Collection[str], rules: Rules, limit_bytes: Callable[[], int | None]) -> Decision:
    decision = decide_unnamed(pod, candidates(pod, live, None), rules)
    decision = decision or decide_unnamed(pod, candidates(pod, live, limit_bytes()), rules)
    if decision is None:
        return _leave("its name is not known yet, and the pod's containers request different modes")
    if decision.mode is Mode.GROUP:
        return _leave("its name is not known yet, and group is never written to a sandbox", decision.rule)
    return decision


def _remembered(cgroup: Cgroup, registry: Registry) -> DesiredMode | None:
    """Without the API: the last decision for this very container, or for its name; if it has no name, the one for all of the pod's."""
    remembered = registry.remembered(cgroup.place)
    named = registry.runtime.identity(cgroup.place, None)
    for kept in remembered:
        if kept.container_id is not None and kept.container_id == cgroup.place.container_id:
            return DesiredMode(_again(kept), kept.pod_uid, kept.container, kept.tolerance)
    for kept in remembered:
        if named is not None and kept.container == named.container:
            return DesiredMode(_again(kept), kept.pod_uid, kept.container, kept.tolerance)
    if named is None and {kept.mode for kept in remembered} == {Mode.SINGLE}:
        return DesiredMode(_again(remembered[0]), remembered[0].pod_uid, None)
    return None


def _by_runtime(cgroup: Cgroup, registry: Registry, rules: Rules) -> DesiredMode:
    """Without the API: what the pod asked for when its sandbox was created. A label that was removed since is not known to be."""
    pod, named = registry.runtime.pod(cgroup.place), registry.runtime.identity(cgroup.place, None)
    if pod is None or named is None or named.container is None:
        return DesiredMode(_leave("the API server has not reported this pod yet"), None, None)
    decision = decide(pod, named.container, rules)
    uid = pod.uid if decision.mode is not None else None  # None: what was enforced before stays
    return DesiredMode(decision, uid, named.container, tolerance_of(pod, named.container, rules))


def _again(kept: KeptDecision) -> Decision:
    why = "the last decision: the API has not been reachable since the start"
    return Decision(kept.mode, Source.NONE, kept.rule, why)


def _leave(why: str, rule: str = "") -> Decision:
    return Decision(None, Source.NONE, rule, why)


def oom_group_values(container: Cgroup, runtime_child: Cgroup | None, mode: Mode) -> dict[Cgroup, int]:
    """The cgroups that carry the mode. crun under systemd puts processes and the file that counts into ``<scope>/container``.

    ``single`` needs 0 at both levels, since the kernel takes the highest ancestor with the flag set
    (mem_cgroup_get_oom_group); ``group`` is written where the processes are.
    """
    inner = runtime_child or container
    if mode is Mode.GROUP:
        return {inner: 1}
    return {container: 0, inner: 0}
