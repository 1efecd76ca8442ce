"""Fixtures of the tests on a real kernel: the node, its API, the agent. They fail, and never skip, on another kernel."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.lab import post_mortem
from tests.lab.agent_process import AgentProcess
from tests.lab.apiserver import ApiServer
from tests.lab.drivers import Driver
from tests.lab.kubelet import MOUNT, Kubelet

pytest_runtest_makereport = post_mortem.pytest_runtest_makereport

NODE = "lab-node"
MODE = "oomward.dev/mode"
FAMILY = ("family", "2", "0", "2")  # PID 1, two quiet helpers, and one worker that eats
DRIVERS = ("cgroupfs", "systemd")
RUNTIMES = ("runc", "crun")


@pytest.fixture(scope="session", autouse=True)
def real_kernel() -> None:
    """These tests need root on a cgroup-v2 kernel with the memory controller."""
    controllers = MOUNT / "cgroup.controllers"
    if os.geteuid() != 0 or not controllers.exists() or "memory" not in controllers.read_text().split():
        pytest.fail(
            "this is no kernel for these tests: run them by `make kernel` (python -m tests.lab test)", pytrace=False
        )


@dataclass
class Node:
    """A node of the lab: its kubelet, its API, and the agents started on it, one after the other.

    ``real_time``: they have this priority from their beginning on, and whatever they use of the processor. For tests of what is in force
    at a container's first instruction: a kernel in a machine takes the time that a busy host steals for time that its process used, and a
    nice value doesn't help an agent that seems to have had its share. What the agent does for its own priority is test_busy_node.py's.
    """

    kubelet: Kubelet
    api: ApiServer
    work: Path
    real_time: bool = False
    agents: list[AgentProcess] = field(default_factory=list)

    def start_agent(self, *extra: str) -> AgentProcess:
        """Start the agent and wait until it is ready; it finds what one before it left in the state directory."""
        self.api.write_kubeconfig(self.work / "kubeconfig")
        self.begin_agent(*extra)
        self.agent.wait_ready()
        return self.agent

    def begin_agent(self, *extra: str) -> None:
        """Start it, and don't wait."""
        kubeconfig = self.work / "kubeconfig"
        self.agents.append(AgentProcess(self.work, kubeconfig, node_name=NODE, extra=extra, real_time=self.real_time))

    @property
    def agent(self) -> AgentProcess:
        """The one that runs."""
        return self.agents[-1]

    def oomward(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of oomward's on this node, as somebody beside the agent would."""
        where = (
            "--node-name",
            NODE,
            "--kubeconfig",
            str(self.work / "kubeconfig"),
            "--state-dir",
            str(self.work / "state"),
        )
        command = [sys.executable, "-m", "agent", *arguments, *where]
        environment = os.environ | {"COLUMNS": "130"}
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)

    def wait_for_a_full_look(self) -> None:
        """Until the agent has looked at everything once more."""
        before = self.agent.total("oomward_resyncs_total")
        self.agent.wait_for(lambda: self.agent.total("oomward_resyncs_total") > before, 60, "looked at all once more")

    def knob(self, path: str) -> str:
        """memory.oom.group of a cgroup."""
        return (MOUNT / path / "memory.oom.group").read_text().strip()

    def events(self, reason: str, pod: str) -> list[dict[str, Any]]:
        """The API's Events of a pod with this reason."""
        return [e for e in self.api.events if e["reason"] == reason and e["regarding"]["name"] == pod]

    def close(self) -> None:
        for agent in self.agents:
            agent.stop()
        self.kubelet.close()
        self.api.close()


def make_node(work: Path, driver: str, *, real_time: bool = False, **options: Any) -> Node:
    """A node whose kubelet publishes to an API of its own. ``options`` are the kubelet's."""
    api = ApiServer()
    api.start()
    kubelet = Kubelet(
        NODE,
        Driver(driver),
        publish=api.put_pod,
        remove=lambda pod: api.delete_pod(pod["metadata"]["namespace"], pod["metadata"]["name"]),  # type: ignore[index]
        **options,
    )
    return Node(kubelet, api, work, real_time)


@pytest.fixture(scope="module", params=DRIVERS)
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node with each driver's layout; the module's tests share it and its agent."""
    node = make_node(tmp_path_factory.mktemp("node"), request.param, real_time=True)
    yield node
    node.close()
