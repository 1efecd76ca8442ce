"""What the API knows: on which node is which agent, which nodes have none, on which node is a pod, and oomward's Events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from urllib.parse import quote

from agent.fleet import FleetError
from agent.fleet.api import FORBIDDEN, METADATA, NOT_FOUND, Api, ApiError, Json, text
from agent.model import AGENT_CONTROLLER, RECOVER_CONTROLLER
from agent.wording.text import safe, some

LABEL = "app.kubernetes.io/name=oomward"  # as the manifests and the chart set it
CONTAINER = "agent"
USUAL_NAMESPACE = "oomward"
NO_AGENT, NO_NODE = "no agent", "no such node"
# The DaemonSet's own conditions: a node of these has no agent, and none is missed.
OS_LABEL = "kubernetes.io/os"
VIRTUAL = (("eks.amazonaws.com/compute-type", "fargate"), ("type", "virtual-kubelet"))


@dataclass(frozen=True, slots=True)
class Agent:
    """A running agent: ``namespace`` and ``pod`` are its own."""

    node: str
    namespace: str
    pod: str


@dataclass(frozen=True, slots=True)
class Nodes:
    """``without``: why a node can't be asked, by its name. ``names``: of all nodes; None: they may not be listed.

    ``troubles``: what else is not known.
    """

    agents: tuple[Agent, ...]
    without: dict[str, str]
    troubles: tuple[str, ...] = ()
    names: frozenset[str] | None = None

    def only(self, names: Iterable[str]) -> Nodes:
        """Only these nodes; one that the cluster does not have can't be asked."""
        wanted = set(names)
        agents = tuple(agent for agent in self.agents if agent.node in wanted)
        missing = sorted(wanted - {agent.node for agent in agents})
        return replace(
            self, agents=agents, without={name: self.without.get(name) or self._why(name) for name in missing}
        )

    def _why(self, name: str) -> str:
        return NO_AGENT if self.names is None or name in self.names else NO_NODE


@dataclass(frozen=True, slots=True)
class PodPlace:
    """``node`` "": it has none yet. ``document``: the pod itself, as the API has it."""

    namespace: str
    name: str
    node: str
    document: Json


def nodes(api: Api, agent_namespace: str | None) -> Nodes:
    """All nodes. Raises FleetError if the agents can't be listed, if there is none, or if it is not clear which pods are the agents."""
    troubles: list[str] = []
    found: dict[str, tuple[bool, Agent]] = {}
    without: dict[str, str] = {}
    for pod in _of_one_namespace(list(_agent_pods(api, agent_namespace)), troubles):
        node, state = text(pod, "spec", "nodeName"), _state(pod)
        if not node:
            continue
        if state is None:
            agent = Agent(node, text(pod, "metadata", "namespace"), text(pod, "metadata", "name"))
            ready = _is_ready(pod)
            if node not in found or ready > found[node][0]:  # two at once: while one is replaced
                found[node] = ready, agent
        else:
            without[node] = state
    every = _nodes(api, troubles)
    for name, should_have_one in (every or {}).items():
        if should_have_one:
            without.setdefault(name, NO_AGENT)
    if not found and not without:
        where = f"namespace {safe(agent_namespace, 63)}" if agent_namespace else "this cluster"
        raise FleetError(f"no agent of oomward is in {where}: pods with the label {LABEL} are looked for")
    return Nodes(
        tuple(agent for _, (_, agent) in sorted(found.items())),
        {name: why for name, why in sorted(without.items()) if name not in found},
        tuple(troubles),
        None if every is None else frozenset(every),
    )


def _of_one_namespace(found: list[Json], troubles: list[str]) -> list[Json]:
    """A tenant's pod that looks like an agent must not answer for a node: the agents are in one namespace. Raises FleetError."""
    namespaces = sorted({text(pod, "metadata", "namespace") for pod in found})
    if len(namespaces) < 2:
        return found
    listed = some([safe(name, 63) for name in namespaces])
    if USUAL_NAMESPACE not in namespaces:
        raise FleetError(
            f"pods like oomward's agents are in the namespaces {listed}: give the agents' as --agent-namespace"
        )
    troubles.append(
        f"pods like oomward's agents are in the namespaces {listed}; only those in {USUAL_NAMESPACE} are asked"
    )
    return [pod for pod in found if text(pod, "metadata", "namespace") == USUAL_NAMESPACE]


def _agent_pods(api: Api, namespace: str | None) -> Iterator[Json]:
    """Whoever may not list the pods of all namespaces may list those of the agents' own."""
    query = {"labelSelector": LABEL}
    if namespace is not None:
        pods = list(api.list(_pods_path(namespace), query))
    else:
        try:
            pods = list(api.list(_pods_path(None), query))
        except ApiError as error:
            if error.code != FORBIDDEN:
                raise
            pods = _usual(api, query, error)
    return (pod for pod in pods if _has_agent(pod))


def _usual(api: Api, query: dict[str, str], first: ApiError) -> list[Json]:
    try:
        return list(api.list(_pods_path(USUAL_NAMESPACE), query))
    except ApiError:
        todo = "name the agents' namespace with --agent-namespace, if you may list its pods"
        raise FleetError(f"the agents can't be listed: {first}; {todo}") from None


def _has_agent(pod: Json) -> bool:
    spec = pod.get("spec")
    containers = spec.get("containers") if isinstance(spec, dict) else None
    return isinstance(containers, list) and any(text(one, "name") == CONTAINER for one in containers)


def _state(pod: Json) -> str | None:
    """Why an agent can't be asked; None: it runs."""
    if text(pod, "metadata", "deletionTimestamp"):
        return "its agent is being deleted"
    phase = text(pod, "status", "phase")
    for status in _statuses(pod):
        state = status.get("state")
        if isinstance(state, dict) and "running" in state:
            return None
        waiting = text(state, "waiting", "reason") or text(state, "terminated", "reason")
        if waiting:
            return f"its agent does not run: {safe(waiting)}"
    return f"its agent does not run: {safe(phase or 'unknown')}"


def _is_ready(pod: Json) -> bool:
    return any(status.get("ready") is True for status in _statuses(pod))


def _statuses(pod: Json) -> Iterator[Json]:
    status = pod.get("status")
    found = status.get("containerStatuses") if isinstance(status, dict) else None
    for one in found if isinstance(found, list) else ():
        if text(one, "name") == CONTAINER:
            yield one


def _nodes(api: Api, troubles: list[str]) -> dict[str, bool] | None:
    """By name, whether it should have an agent. None: they may not be listed."""
    try:
        found = list(api.list("/api/v1/nodes", accept=METADATA))
    except ApiError as error:
        troubles.append(f"nodes without an agent are not known: {error}")
        return None
    every = {}
    for node in found:
        metadata = node.get("metadata")
        labels = metadata.get("labels") if isinstance(metadata, dict) else None
        labels = labels if isinstance(labels, dict) else {}
        virtual = any(labels.get(key) == value for key, value in VIRTUAL)
        every[text(node, "metadata", "name")] = labels.get(OS_LABEL, "linux") == "linux" and not virtual
    return every


def pods(api: Api, namespace: str | None, labels: str | None, *, without_node: bool = False) -> list[PodPlace]:
    """Of a namespace (None: of all), with these labels; or only those that have no node. Raises FleetError."""
    query = {"labelSelector": labels} if labels else {}
    query |= {"fieldSelector": "spec.nodeName="} if without_node else {}
    return [_place(pod) for pod in api.list(_pods_path(namespace), query)]


def pod(api: Api, namespace: str, name: str) -> PodPlace:
    """Raises FleetError if it is not there."""
    try:
        return _place(api.get(f"{_pods_path(namespace)}/{quote(name, safe='')}"))
    except ApiError as error:
        if error.code != NOT_FOUND:
            raise
        todo = "`kubectl oomward history` lists the OOM kills of deleted pods, too"
        raise FleetError(f"no pod {safe(name, 253)} in namespace {safe(namespace, 63)}: {todo}") from None


def _place(obj: Json) -> PodPlace:
    return PodPlace(
        text(obj, "metadata", "namespace"), text(obj, "metadata", "name"), text(obj, "spec", "nodeName"), obj
    )


def events(api: Api, namespace: str | None) -> list[Json]:
    """Of the agents and of recover, in no order. Raises FleetError."""
    of = "" if namespace is None else f"/namespaces/{quote(namespace, safe='')}"
    where = f"/apis/events.k8s.io/v1{of}/events"
    return [
        event
        for controller in (AGENT_CONTROLLER, RECOVER_CONTROLLER)
        for event in api.list(where, {"fieldSelector": f"reportingController={controller}"})
    ]


def _pods_path(namespace: str | None) -> str:
    return "/api/v1/pods" if namespace is None else f"/api/v1/namespaces/{quote(namespace, safe='')}/pods"
