"""A cluster of simulated agents behind the API's stand-in: nodes, the agents' and tenants' pods, what `oomward …` prints on each node.

The documents are made as the agents make them: from the same dataclasses. A test changes a node's answer with ``answer``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from agent.look.advice import ADVICE, Advice
from agent.look.containers import CONTAINERS, ContainerRow
from agent.look.kills import KILLS
from agent.look.patches import Raise, patch_for, reason_text
from agent.look.workloads import Workload
from agent.model import ContainerKind, Mode, OomKill, Outcome, Scope, Victim
from agent.model.diagnosis import Answer, Category, Diagnosis, NextStep, Will
from tests.lab.apiexec import Ran
from tests.lab.apiserver import ApiServer

MIB = 1 << 20
LABELS = {"app.kubernetes.io/name": "oomward", "oomward.dev/mode": "single"}
Json = dict[str, Any]


@dataclass
class Node:
    """``pods`` of tenants, as (namespace, name). ``fixed``: instead of what a command would answer, by the command's name."""

    name: str
    pods: list[tuple[str, str]] = field(default_factory=list)
    fixed: dict[str, Ran] = field(default_factory=dict)
    asked: list[list[str]] = field(default_factory=list)

    def command(self, words: Sequence[str]) -> Ran:
        self.asked.append(list(words))
        name, pods = words[1], self.pods
        documents: dict[str, Callable[[], Json]] = {
            "ps": lambda: CONTAINERS.document([row(self.name, *pod) for pod in pods]),
            "history": lambda: KILLS.document([kill(pod, at) for at, pod in enumerate(pods)]),
            "diagnose": lambda: {"oomward": 1, "diagnoses": [asdict(diagnosis(*pod)) for pod in pods]},
            "advise": lambda: advised(*(advice(*pod) for pod in pods)),
            "check": lambda: {"oomward": 1, "checks": [passed("kernel"), passed("ledger")]},
            "explain": lambda: {"oomward": 1, "pods": [{"pod": words[2]}]},
        }
        if name in self.fixed:
            return self.fixed[name]
        if name not in documents:
            return Ran(stderr=b"oomward: error: argument COMMAND: invalid choice\n", exit_code=2)
        if words[-1] == "table":
            return Ran(stdout=f"Pod {words[2]}\n  Phase    Running\n".encode())
        return printed(documents[name]())


class Cluster:
    """Nodes named node-1 … with their agents; ``kubectl`` reaches ``server``."""

    def __init__(self, nodes: int = 3, pods_per_node: int = 2) -> None:
        self.server = ApiServer()
        self.nodes: dict[str, Node] = {}
        for number in range(1, nodes + 1):
            self.add_node(f"node-{number}")
            for at in range(pods_per_node):
                self.put_pod("shop" if at % 2 == 0 else "lab", f"web-{number}-{at}", f"node-{number}")

    def add_node(self, name: str) -> None:
        """With an agent."""
        self.nodes[name] = Node(name)
        self.server.store.put_node(node_json(name))
        self.put_agent(name)

    def put_agent(self, node: str, name: str | None = None, namespace: str = "oomward", **status: Any) -> None:
        """``status`` replaces parts of the container's."""
        name = name or f"oomward-{node}"
        running = {"name": "agent", "ready": True, "state": {"running": {}}} | status
        pod = pod_json(namespace, name, node, LABELS)
        pod["spec"]["containers"] = [{"name": "agent"}]
        pod["status"] = {"phase": "Running", "containerStatuses": [running]}
        self.server.put_pod(pod)
        if node in self.nodes:
            self.server.commands[namespace, name] = self.nodes[node].command

    def put_pod(self, namespace: str, name: str, node: str, labels: dict[str, str] | None = None) -> None:
        self.server.put_pod(pod_json(namespace, name, node, labels or {"app": name.partition("-")[0]}))
        if node:
            self.nodes[node].pods.append((namespace, name))

    def answer(self, node: str, command: str, ran: Ran) -> None:
        """From now on."""
        self.nodes[node].fixed[command] = ran


def printed(document: Json, **more: Any) -> Ran:
    """As ``print_json`` prints it."""
    return Ran(stdout=(json.dumps(document, indent=2) + "\n").encode(), **more)


def node_json(name: str, **labels: str) -> Json:
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/os": "linux"} | labels},
        "spec": {},
        "status": {"images": []},
    }


def pod_json(namespace: str, name: str, node: str, labels: dict[str, str]) -> Json:
    metadata = {"namespace": namespace, "name": name, "uid": f"uid-{namespace}-{name}", "labels": labels}
    spec: Json = {"containers": [{"name": "main"}]} | ({"nodeName": node} if node else {})
    return {"metadata": metadata, "spec": spec, "status": {"phase": "Running" if node else "Pending"}}


def row(node: str, namespace: str, name: str, *, usage: int = 100, limit: int | None = 256) -> ContainerRow:
    return ContainerRow(
        namespace,
        name,
        "main",
        Mode.SINGLE,
        Mode.SINGLE,
        None if limit is None else limit * MIB,
        usage * MIB,
        (usage + 10) * MIB,
        1,
        pod_uid=f"uid-{name}",
        container_id="ab" * 32,
        cgroup_path=f"kubepods.slice/{node}/{name}",
    )


def kill(pod: tuple[str, str], at: int) -> OomKill:
    return OomKill(
        boot_id="boot",
        cgroup_inode=at,
        ordinal=1,
        node="",
        cgroup_path="kubepods.slice/x",
        at_unix_s=1_790_000_000.0 + at,
        processes=1,
        namespace=pod[0],
        pod=pod[1],
        container="main",
        scope=Scope.CONTAINER,
        mode=Mode.SINGLE,
        outcome=Outcome.SURVIVED,
        victims=(Victim(4312, "python3", uid=1000, anon_bytes=180 * MIB, file_bytes=0, shmem_bytes=0),),
        limit_bytes=256 * MIB,
    )


def diagnosis(namespace: str, pod: str) -> Diagnosis:
    return Diagnosis(
        namespace=namespace,
        pod=pod,
        pod_uid=f"uid-{pod}",
        container="main",
        kind=ContainerKind.REGULAR,
        category=Category.OOM_CONTAINER,
        rule="ended-oom",
        transient=Answer.NO,
        retry_helps=Answer.PERHAPS,
        next_step=NextStep(Will.RESTART, "the kubelet restarts it"),
        what="it was OOM-killed",
        advice="raise the limit",
        message="",
    )


def advice(namespace: str, pod: str) -> Advice:
    """Of the workload web, whichever pod it is."""
    return Advice(
        namespace=namespace,
        workload_kind="Deployment",
        workload=pod.partition("-")[0],
        container="main",
        pod_count=1,
        spec_limit_bytes=256 * MIB,
        peak_bytes=250 * MIB,
        peak_since_unix_s=None,
        kill_count=2,
        processes_killed=2,
        survived_count=1,
        last_kill_unix_s=1_790_000_000.0,
        filled_by=None,
        next_limit_bytes=320 * MIB,
        next_limit_quantity="320Mi",
        why="2 OOM kills at the limit of 256Mi",
    )


def advised(*found: Advice) -> Json:
    """What an agent answers: each row has a patch for its own container only."""
    patches = []
    for one in found:
        limits = [Raise(one.container, ContainerKind.REGULAR, one.next_limit_quantity or "", guaranteed=False)]
        reason = reason_text(one.container, one.next_limit_quantity or "", one.why)
        patches.append(patch_for(Workload(one.namespace, one.workload_kind, one.workload), limits, [reason]))
    document: Json = ADVICE.document(found)
    return {**document, "patches": [asdict(one) for one in patches]}


def passed(name: str) -> Json:
    return {"name": name, "status": "pass", "found": f"{name} is as it should be", "advice": ""}


def failed(name: str) -> Json:
    return {"name": name, "status": "fail", "found": f"{name} is missing", "advice": "Mount it."}


def event_json(namespace: str, name: str, **changes: Any) -> Json:
    body = {
        "metadata": {"name": name, "namespace": namespace},
        "eventTime": "2026-11-21T22:50:40.000000Z",
        "reportingController": "oomward.dev/agent",
        "reportingInstance": "node-1",
        "action": "OOMKill",
        "reason": "ProcessOOMKilled",
        "regarding": {"kind": "Pod", "namespace": namespace, "name": "web-1-0"},
        "note": "OOM-killed python3",
        "type": "Warning",
    }
    return body | changes
