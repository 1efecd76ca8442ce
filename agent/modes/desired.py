"""What memory.oom.group of each container should be, and on which of its cgroups: policy applied to what the node has.

Takes a container's cgroup, gives the mode wanted and where it goes. Pure but for asking the registry.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from agent.model import Cgroup, Decision, KeptDecision, Mode, Pod, Rules, Source, Tolerance
from agent.modes import candidates, decide, decide_unnamed, tolerance_of
from agent.pods.registry import Registry

LEAVE = Decision(None, Source.NONE, "", "the API has not told of this pod yet")


@dataclass(frozen=True, slots=True)
class Wish:
    """``container`` None: the id is not named yet, and every container that it may be wants the same.

    ``tolerance`` None: any number of kills, or not known as long as the name isn't.
    """

    decision: Decision
    pod_uid: str | None
    container: str | None
    tolerance: Tolerance | None = None


def wish_for(
    cgroup: Cgroup,
    registry: Registry,
    rules: Rules,
    limit_bytes: Callable[[], int | None],
    runs: Callable[[str], bool],
) -> Wish:
    """The mode that this container's cgroup should have. ``limit_bytes`` reads its limit, None: none. ``runs`` says of another id
    of its pod whether there are processes in it: the API names a container as running for up to seconds after its end,
    when its successor has been started long since. Both are asked only if need be.

    While its id has no name, ``single`` is desired if all candidates agree on it: the kubelet writes 1 to containers
    only, so a 0 does a pause sandbox no harm. ``group`` waits for the name: a 1 on a sandbox would kill it too.
    """
    pod = registry.pod_of(cgroup.place)
    if pod is None:
        return _remembered_wish(cgroup, registry)
    named = registry.identity(cgroup.place)
    name = named.container if named is not None and named.pod_uid == pod.uid else None
    if name is not None:
        return Wish(decide(pod, name, rules), pod.uid, name, tolerance_of(pod, name, rules))
    live = frozenset(filter(runs, registry.live_ids(pod)))
    return Wish(_unnamed(pod, live, rules, limit_bytes), pod.uid, None)


def _unnamed(pod: Pod, live: Collection[str], rules: Rules, limit_bytes: Callable[[], int | None]) -> Decision:
    decision = decide_unnamed(pod, candidates(pod, live, None), rules)
    if decision is None:
        decision = decide_unnamed(pod, candidates(pod, live, limit_bytes()), rules)
    if decision is None:
        return Decision(
            None, Source.NONE, "", "its name is not known yet, and the pod's containers request different modes"
        )
    if decision.mode is Mode.GROUP:
        return Decision(
            None, Source.NONE, decision.rule, "its name is not known yet, and group is never written to a sandbox"
        )
    return decision


def _remembered_wish(cgroup: Cgroup, registry: Registry) -> Wish:
    """Without the API: what was last decided for this very container, or for all of the pod's if they agreed."""
    remembered = registry.remembered(cgroup.place)
    for decision in remembered:
        if decision.container_id is not None and decision.container_id == cgroup.place.container_id:
            return Wish(_again(decision), decision.pod_uid, decision.container, decision.tolerance)
    modes = {decision.mode for decision in remembered}
    if modes == {Mode.SINGLE}:
        return Wish(_again(remembered[0]), remembered[0].pod_uid, None)
    return Wish(LEAVE, None, None)


def _again(decision: KeptDecision) -> Decision:
    return Decision(
        decision.mode, Source.NONE, decision.rule, "the last decision: the API has not been reachable since the start"
    )


def knobs_of(container: Cgroup, runtime_child: Cgroup | None, mode: Mode) -> dict[Cgroup, int]:
    """Which cgroups carry the mode. crun under systemd puts processes and the file that counts into ``<scope>/container``.

    ``single`` needs 0 at both levels, since the kernel takes the highest ancestor with the flag set
    (mem_cgroup_get_oom_group); ``group`` is written where the processes are.
    """
    inner = runtime_child or container
    if mode is Mode.GROUP:
        return {inner: 1}
    return {container: 0, inner: 0}
