"""Finds the pod that a person names, for ``explain`` and ``diagnose``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from agent.look.survey import Survey
from agent.model import AgentError, CgroupPlace, Pod
from agent.wording.text import safe, some

MOST_NAMED = 10
AS_KUBECTL = "pod/"  # as `--output name` prints it
ID_PREFIX = re.compile(r"[0-9a-f]{6,64}\Z")


@dataclass(frozen=True, slots=True)
class NodePod:
    """A pod of this node. ``key`` is in the name of its cgroup. ``pod`` None: the API does not know it.

    Then ``uid`` may be a static pod's config hash, and the names None. ``ids``: of its containers, present and previous, and
    of its sandbox.
    """

    key: str
    uid: str
    namespace: str | None
    name: str | None
    pod: Pod | None
    ids: frozenset[str]

    @property
    def shown(self) -> str:
        return self.uid if self.name is None else f"{self.namespace}/{self.name}"


def find(found: Survey, asked: str, namespace: str | None = None) -> NodePod:
    """The pod with this name, namespace/name, uid, or at least the first six characters of a container id; None: of any namespace.

    Raises AgentError if there is none, or several, which it then names.
    """
    pods = [one for one in _node_pods(found) if namespace in (None, one.namespace)]
    text = asked.strip().lower()
    named = [one for one in pods if text in (one.name, one.shown)]
    if not named and text.startswith(AS_KUBECTL):
        text = text.removeprefix(AS_KUBECTL)
        named = [one for one in pods if text == one.name]
    named = named or [one for one in pods if text.replace("_", "-") in (one.uid, one.key)]
    if len(named) == 1:
        return named[0]
    if named:
        raise AgentError(
            f"several pods are named {safe(asked, 320)}: {_list(named)}. Give namespace/name, or -n NAMESPACE"
        )
    start = text.rpartition("://")[2]
    with_id = [one for one in pods if ID_PREFIX.match(start) and any(has.startswith(start) for has in one.ids)]
    if len(with_id) == 1:
        return with_id[0]
    if with_id:
        several = f"several pods have a container id that starts with {start}"
        raise AgentError(f"{several}: {_list(with_id)}. Give more of the id")
    if found.registry.listed:
        todo = "`oomward ps` lists the pods here, `kubectl get pods -A -o wide` the node of each pod"
    else:
        todo = "the API is not reachable, so give its uid or a container id, as `oomward ps` shows them"
    where = f"in namespace {safe(namespace)} " if namespace is not None else ""
    raise AgentError(f"no pod {safe(asked, 320)} {where}on node {safe(found.settings.node_name, 253)}: {todo}")


def _list(pods: list[NodePod]) -> str:
    return some(sorted(f"{safe(one.shown, 320)} (uid {safe(one.uid)})" for one in pods), MOST_NAMED)


def _node_pods(found: Survey) -> list[NodePod]:
    """Pods of the API, and those with a cgroup here."""
    places: dict[str, list[CgroupPlace]] = {}
    for cgroup in found.cgroups.values():
        if cgroup.place.pod_key is not None:
            places.setdefault(cgroup.place.pod_key, []).append(cgroup.place)
    ids = {key: frozenset(place.container_id for place in its if place.container_id) for key, its in places.items()}
    pods = []
    for pod in found.registry.pods.values():
        named = {one for c in pod.containers for one in (c.container_id, c.previous_id) if one is not None}
        own = ids.get(pod.cgroup_key, frozenset()) | named
        pods.append(NodePod(pod.cgroup_key, pod.uid, pod.namespace, pod.name, pod, own))
    for key in places.keys() - {one.key for one in pods}:
        seen = found.registry.remembered(places[key][0])
        uid, namespace, name = (seen[0].pod_uid, seen[0].namespace, seen[0].pod) if seen else (key, None, None)
        pods.append(NodePod(key, uid, namespace, name, None, ids[key]))
    return pods
