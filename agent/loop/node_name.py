"""Is the node's name right? The API's list of this node's pods and the cgroups of pods that run here must have a pod in common."""

from __future__ import annotations

from collections.abc import Iterable

from agent.model import Cgroup, CgroupKind
from agent.pods.registry import Registry
from agent.wording.text import count, safe

ADVICE = (
    "give the node's name as in `kubectl get nodes`: --node-name, or NODE_NAME from the downward API (spec.nodeName)"
)


def wrong_node_name(node_name: str, registry: Registry, cgroups: Iterable[Cgroup]) -> str | None:
    """Why the name is wrong, and what to do; None: nothing says so, e.g. since no pod runs here, or the API has not answered yet.

    Pods that the API has on the node without a running container (they are finished, or wait) prove nothing.
    """
    here = {cgroup.place.pod_key: cgroup for cgroup in cgroups if cgroup.place.kind is CgroupKind.CONTAINER}
    if not registry.listed or not here or any(registry.pod_of(cgroup.place) is not None for cgroup in here.values()):
        return None
    listed = [pod for pod in registry.pods.values() if not registry.has_departed(pod.uid)]
    if listed and not any(container.running for pod in listed for container in pod.containers):
        return None
    theirs = f"{count(len(listed), 'pod')} there, none of which runs here" if listed else "no pod there"
    wrong = f"{safe(node_name)!r} is not this node's name: the API has {theirs}; running here: {count(len(here), 'other pod')}"
    return f"{wrong}; {ADVICE}"
