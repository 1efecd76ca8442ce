"""The lab itself, on a real systemd and containerd: what they and the runtimes do with memory.oom.group without an agent."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kernel.conftest import FAMILY, Node
from tests.lab.crikubelet import CriKubelet
from tests.lab.kubelet import MOUNT, memory_events
from tests.lab.spec import MIB, Container, Instance, Pod
from tests.lab.systemd import in_tree
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
    pod = Pod(f"killed-{runtime}", (Container("main", FAMILY, 32), pause("beside")), runtime=runtime)
    first, _ = node.kubelet.run_pod(pod)
    node.kubelet.wait_for(lambda: not first.running, 60)
    assert first.exit_code == 137
    node.kubelet.wait_for(lambda: any(i.restart == 1 for i in node.kubelet.instances if i.pod.uid == pod.uid), 60)
    events = memory_events(node.kubelet.driver.pod_path(pod))
    assert events["oom_group_kill"] >= 1
    node.kubelet.delete_pod(pod)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_resize_sets_the_limit_and_1_again(node: Node, runtime: str) -> None:
    pod = Pod(f"resized-{runtime}", (pause("main"),), runtime=runtime)
    (main,) = node.kubelet.run_pod(pod)
    set_knob(main, "0")
    node.kubelet.resize(pod, "main", 48)
    assert (MOUNT / main.path / "memory.oom.group").read_text() == "1\n"
    assert limit(node, main) == 48 * MIB


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_restart_of_containerd_changes_no_value(node: Node, runtime: str) -> None:
    (main,) = node.kubelet.run_pod(Pod(f"lives-on-{runtime}", (pause("main"),), runtime=runtime))
    set_knob(main, "0")
    kubelet(node).containerd.restart()
    assert (main.running, node.knob(main.path)) == (True, "0")
    assert kubelet(node).run_in(main, "/hog", "end", "3")[0] == 3


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_after_daemon_reload_a_siblings_restart_resets_the_value_under_systemd_and_runc(
    node: Node, runtime: str
) -> None:
    """systemd 262 does it at the reload already, 257 when a sibling ends. It doesn't know of crun's cgroup below the scope."""
    pod = Pod(f"siblings-{runtime}", (pause("main"), pause("other")), runtime=runtime)
    main, other = node.kubelet.run_pod(pod)
    in_tree("systemctl", "daemon-reload")
    node.kubelet.kill(other)
    node.kubelet.wait_for(lambda: starts(node, pod, "other") == 2, 60)
    assert node.knob(main.path) == ("0" if (node.kubelet.driver.name, runtime) == ("systemd", "runc") else "1")
    assert node.knob(node.kubelet.running(pod, "other").path) == "1"


def starts(node: Node, pod: Pod, name: str) -> int:
    return sum((i.pod.uid, i.container) == (pod.uid, name) for i in node.kubelet.instances)


def kubelet(node: Node) -> CriKubelet:
    assert isinstance(node.kubelet, CriKubelet)
    return node.kubelet


def set_knob(instance: Instance, value: str) -> None:
    (MOUNT / instance.path / "memory.oom.group").write_text(value)


def limit(node: Node, instance: Instance) -> int:
    """Of the container's cgroup, which is above crun's."""
    path = node.kubelet.driver.container_path(instance.pod, instance.container_id)
    return int((MOUNT / path / "memory.max").read_text())
