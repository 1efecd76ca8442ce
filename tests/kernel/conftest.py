"""Fixtures of the tests on a real kernel: the node, its API, the agent. They fail, and never skip, on another kernel."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab.agent_process import AgentProcess
from tests.lab.apiserver import ApiServer
from tests.lab.drivers import Driver
from tests.lab.kubelet import MOUNT, Kubelet

NODE = "lab-node"
COMBINATIONS = [(driver, runtime) for driver in ("cgroupfs", "systemd") for runtime in ("runc", "crun")]


@pytest.fixture(scope="session", autouse=True)
def real_kernel() -> None:
    """These tests need root on a cgroup-v2 kernel with the memory controller."""
    controllers = MOUNT / "cgroup.controllers"
    if os.geteuid() != 0 or not controllers.exists() or "memory" not in controllers.read_text().split():
        pytest.fail(
            "this is no kernel for these tests: run them by `make kernel` (python -m tests.lab test)", pytrace=False
        )


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def api() -> Iterator[ApiServer]:
    server = ApiServer()
    server.start()
    yield server
    server.close()


@dataclass
class Node:
    """A node of the lab: its kubelet, and its API."""

    kubelet: Kubelet
    api: ApiServer
    work: Path
    agents: list[AgentProcess]

    def agent(self, *extra: str, ready: bool = True) -> AgentProcess:
        """Start the agent; it finds what an agent before it left in the state directory."""
        kubeconfig = self.work / "kubeconfig"
        self.api.write_kubeconfig(kubeconfig)
        agent = AgentProcess(self.work, kubeconfig, node_name=NODE, extra=extra)
        self.agents.append(agent)
        if ready:
            agent.wait_ready()
        return agent

    def knob(self, path: str) -> str:
        """memory.oom.group of a cgroup."""
        return (MOUNT / path / "memory.oom.group").read_text().strip()

    def events(self, reason: str | None = None, pod: str | None = None) -> list[dict[str, object]]:
        """The API's Events, by reason and pod."""
        return [
            e
            for e in self.api.events
            if (reason is None or e["reason"] == reason) and (pod is None or e["regarding"]["name"] == pod)  # type: ignore[index]
        ]


def make_node(api: ApiServer, work: Path, driver: str, **options: object) -> Node:
    """A node whose kubelet publishes to this API."""
    kubelet = Kubelet(
        NODE,
        Driver(driver),
        publish=api.put_pod,
        remove=lambda pod: api.delete_pod(pod["metadata"]["namespace"], pod["metadata"]["name"]),  # type: ignore[index]
        **options,  # type: ignore[arg-type]
    )
    return Node(kubelet, api, work, [])


def end_node(node: Node) -> None:
    """Stop agents and pods."""
    for agent in node.agents:
        agent.stop()
    node.kubelet.close()


@pytest.fixture(params=COMBINATIONS, ids=["-".join(c) for c in COMBINATIONS])
def combination(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Both drivers' layouts with both runtimes."""
    driver, runtime = request.param
    return driver, runtime


@pytest.fixture
def node(api: ApiServer, work: Path) -> Iterator[Node]:
    """A node with the cgroupfs layout."""
    node = make_node(api, work, "cgroupfs")
    yield node
    end_node(node)
