"""cgroup2 mounted with memory_localevents: each counter is of one cgroup only, and the kills are the same."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel.conftest import MODE, RUNTIMES, Node, make_node
from tests.lab.cgroups import memory_events
from tests.lab.spec import Container, Pod

FAMILY = ("family", "2", "0", "2")


def remount(option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", "/sys/fs/cgroup"], check=True)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """The option holds for the whole kernel. A remount without it takes it away on 6.1, and leaves it on 7.2."""
    remount("memory_localevents")
    node = make_node(tmp_path_factory.mktemp("node"), "systemd", status_delay_s=0.5)
    node.start_agent("--resync-interval", "5s")
    yield node
    node.close()
    remount("rw")


def kills(node: Node, pod: str, **labels: str) -> float:
    return node.agent.total("oomward_oom_kills_total", pod=pod, **labels)


def test_the_kernel_counts_each_cgroup_alone(node: Node) -> None:
    assert "memory_localevents" in Path("/proc/self/mountinfo").read_text()
    (instance,) = node.kubelet.run_pod(Pod("alone", (Container("main", FAMILY),), labels={MODE: "single"}))
    node.kubelet.wait_for(lambda: memory_events(instance.path).get("oom_kill") == 1, 60)
    assert memory_events(node.kubelet.driver.root)["oom_kill"] == 0
    node.agent.wait_for(lambda: kills(node, "alone", container="main") == 1, 60, "counted")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_kill_is_counted_on_its_container_all_the_same(node: Node, runtime: str) -> None:
    name = f"family-{runtime}"
    node.kubelet.run_pod(Pod(name, (Container("main", FAMILY),), labels={MODE: "single"}, runtime=runtime))
    node.agent.wait_for(lambda: node.events("ProcessOOMKilled", name), 60, "told")
    assert kills(node, name, mode="single", scope="container") == 1


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_kill_in_a_nested_cgroup_is_the_containers(node: Node, runtime: str) -> None:
    name = f"nested-{runtime}"
    node.kubelet.run_pod(Pod(name, (Container("main", ("nest", "0", "2")),), labels={MODE: "single"}, runtime=runtime))
    node.agent.wait_for(lambda: node.events("ProcessOOMKilled", name), 60, "told")
    assert kills(node, name, container="main") == 1


def test_a_container_that_died_of_a_group_kill_is_counted_though_nothing_above_it_remembers(node: Node) -> None:
    pod = Pod("dying", (Container("main", FAMILY),), labels={MODE: "group"}, restart_policy="Never")
    (instance,) = node.kubelet.run_pod(pod)
    node.kubelet.wait_for(lambda: not instance.running, 60)
    node.agent.wait_for(lambda: node.events("ContainerOOMKilled", "dying"), 60, "told")
    raw, groups = instance.events["oom_kill"], instance.events["oom_group_kill"]
    assert raw - groups <= kills(node, "dying", mode="group") <= raw


def test_in_the_end_nothing_is_unexplained(node: Node) -> None:
    node.wait_for_a_full_look()
    assert node.agent.total("oomward_unattributed_oom_kills_total") == 0
    assert node.agent.total("oomward_host_oom_kills_total") == 0
    assert node.agent.total("oomward_resync_repairs_total") == 0
