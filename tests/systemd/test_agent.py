"""The agent beside a real systemd and containerd, without NRI: values at the first instruction, and after what rewrites them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kernel.conftest import MODE, Node
from tests.lab.spec import Container, Instance, Pod
from tests.lab.systemd import in_tree
from tests.systemd.conftest import DRIVERS, RUNTIMES, make_cri_node


@pytest.fixture(scope="module", params=DRIVERS)
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = make_cri_node(tmp_path_factory.mktemp("node"), request.param)
    node.real_time = True
    node.start_agent("--mode-applied-events", "false")
    yield node
    node.close()


def pod(name: str, runtime: str, **labels: str) -> Pod:
    return Pod(
        f"{name}-{runtime}", tuple(Container(c, ("pause",), 32) for c in ("one", "two")), labels=labels, runtime=runtime
    )


def values(node: Node, started: list[Instance]) -> list[str]:
    return [node.knob(instance.path) for instance in started]


def wait_for(node: Node, started: list[Instance], value: str) -> None:
    node.agent.wait_for(lambda: set(values(node, started)) == {value}, 30, f"{value} in {[i.path for i in started]}")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_containers_have_the_mode_they_ask_for_at_their_first_instruction(node: Node, runtime: str) -> None:
    single = node.kubelet.run_pod(pod("single", runtime, **{MODE: "single"}))
    plain = node.kubelet.run_pod(pod("plain", runtime))
    assert [node.kubelet.first_look(i) for i in (*single, *plain)] == ["0", "0", "1", "1"]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_resize_leaves_the_mode_in_force(node: Node, runtime: str) -> None:
    resized = pod("resized", runtime, **{MODE: "single"})
    started = node.kubelet.run_pod(resized)
    node.kubelet.resize(resized, "one", 48)
    wait_for(node, started, "0")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_group_is_in_force_again_after_daemon_reload_and_a_siblings_end(node: Node, runtime: str) -> None:
    asked = pod("group", runtime, **{MODE: "group"})
    one, two = node.kubelet.run_pod(asked)
    in_tree("systemctl", "daemon-reload")
    node.kubelet.kill(two)
    node.kubelet.wait_for(lambda: node.kubelet.instances[-1].restart == 1, 30)
    wait_for(node, [one, node.kubelet.instances[-1]], "1")
