"""The lab itself, on a real systemd and containerd: what they and the runtimes do with memory.oom.group without an agent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel.conftest import FAMILY, Node
from tests.lab.crikubelet import CriKubelet
from tests.lab.spec import Container, Pod
from tests.systemd.conftest import DRIVERS, RUNTIMES, make_cri_node


@pytest.fixture(scope="module", params=DRIVERS)
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = make_cri_node(tmp_path_factory.mktemp("node"), request.param, backoff_factor=0.1)
    yield node
    node.close()


def pause(name: str) -> Container:
    return Container(name, ("pause",), 32)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_container_has_the_kubelets_1_at_its_first_instruction(node: Node, runtime: str) -> None:
    (main,) = node.kubelet.run_pod(Pod(f"first-{runtime}", (pause("main"),), runtime=runtime))
    assert node.kubelet.first_look(main) == "1"
    assert node.knob(main.path) == "1"


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_kernel_kills_the_whole_container_and_the_kubelet_starts_it_again(node: Node, runtime: str) -> None:
    pod = Pod(f"killed-{runtime}", (Container("main", FAMILY, 32),), runtime=runtime, restart_policy="Never")
    (main,) = node.kubelet.run_pod(pod)
    node.kubelet.wait_for(lambda: not main.running, 60)
    assert main.exit_code == 137
    assert main.events == {"oom_kill": 1}, "containerd says OOMKilled"
