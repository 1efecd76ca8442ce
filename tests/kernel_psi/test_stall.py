"""Real stalls: a container's heap and its executable text don't fit its limit together, the disk is slow, and the kernel kills nothing.

What is said of them is in agent/pressure/policy.py; this is the kernel that it is true of.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.pressure.lasting import WINDOW_S
from agent.pressure.policy import STALLED
from tests.kernel.conftest import Node, make_node
from tests.kernel_psi.slow import PATIENCE_S, asking, crowd, start_to_stall, wait_for_a_stall
from tests.lab.cgroups import MOUNT, memory_events
from tests.lab.spec import MIB, Container, Instance

LIMIT_MIB, HEAP_MIB, TEXT_KIB = 128, 66, 63000  # half a MiB too much, with what the kernel needs
LASTS_S = 15  # more than stall-after
STATES = re.compile(
    r"Before: stalled (\d+) % of the time, ([\d.]+) MiB in use\. After: stalled (\d+) % of the time, ([\d.]+) MiB in use\."
)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = make_node(tmp_path_factory.mktemp("node"), "cgroupfs", status_delay_s=0.2)
    node.start_agent("--mode-applied-events", "false")
    yield node
    node.close()


def comms(instance: Instance) -> list[str]:
    """The names of a container's processes."""
    pids = (MOUNT / instance.path / "cgroup.procs").read_text().split()
    return sorted(Path(f"/proc/{pid}/comm").read_text().strip() for pid in pids)


def left_alone(node: Node, instance: Instance) -> bool:
    """Nothing of it was ended by anybody, and nothing was said."""
    name = instance.pod.name
    assert memory_events(instance.path)["oom_kill"] == 0
    said = [*node.events("StallResolved", name), *node.events("OOMModeFailed", name)]
    return instance.running and comms(instance) == ["heap", "hog", "text"] and not said


def test_a_stalled_container_that_asks_for_nothing_is_left_alone(node: Node) -> None:
    instance = start_to_stall(node, asking("silent", "", crowd(HEAP_MIB, TEXT_KIB, LIMIT_MIB, 0)))
    wait_for_a_stall(instance, STALLED, int(WINDOW_S), LASTS_S)
    assert left_alone(node, instance)
    node.kubelet.delete_pod(instance.pod)


def test_the_largest_process_of_a_stalled_container_is_ended_and_the_container_lives_on(node: Node) -> None:
    instance = start_to_stall(node, asking("largest", "kill-largest", crowd(HEAP_MIB, TEXT_KIB, LIMIT_MIB, 64)))
    node.agent.wait_for(lambda: node.events("StallResolved", "largest"), PATIENCE_S, "resolved")
    (event,) = node.events("StallResolved", "largest")
    print(event["note"])
    assert "and the kernel killed nothing: the agent ended its largest process, heap (PID " in event["note"]
    states = STATES.search(event["note"])
    assert states is not None
    stalled, in_use_mib, stalled_after, in_use_mib_after = map(float, states.groups())
    assert stalled >= 100 * STALLED
    assert stalled_after <= 5
    assert in_use_mib >= 0.9 * LIMIT_MIB
    assert in_use_mib - in_use_mib_after >= HEAP_MIB - 2
    assert memory_events(instance.path)["oom_kill"] == 0
    assert instance.running
    assert comms(instance) == ["hog", "text"]
    assert node.agent.total("oomward_stalls_resolved_total", action="kill-largest") == 1
    node.kubelet.delete_pod(instance.pod)


def test_all_processes_of_a_stalled_container_are_ended_where_its_pod_asks_for_it_and_it_is_started_again(
    node: Node,
) -> None:
    """With a slower disk, for a longer time: the limit is not even reached once in 10 s then."""
    pod = asking("group", "group", crowd(HEAP_MIB, TEXT_KIB, LIMIT_MIB, 128), after="30s")
    instance = start_to_stall(node, pod, reads_per_s=50)
    node.kubelet.wait_for(lambda: not instance.running, PATIENCE_S)
    assert instance.events["oom_kill"] == 0
    assert instance.exit_code == 137
    node.kubelet.wait_for(
        lambda: any(i.pod is pod and i.restart == 1 and i.running for i in node.kubelet.instances), 60
    )
    node.agent.wait_for(lambda: node.events("StallResolved", "group"), PATIENCE_S, "resolved")
    (event,) = node.events("StallResolved", "group")
    print(event["note"])
    assert "the agent ended all its processes (on-stall group " in event["note"]
    assert event["note"].endswith("The container has ended.")
    assert node.agent.total("oomward_stalls_resolved_total", action="group") == 1
    node.kubelet.delete_pod(pod)


def test_a_container_that_stalls_at_the_limit_of_its_pod_is_left_alone(node: Node) -> None:
    """It is below its own limit, and would not stall without the other one."""
    own_mib, others_mib = 116, 17
    stalls = crowd(HEAP_MIB - others_mib, TEXT_KIB, own_mib, 192)
    other = Container("other", ("eat", str(others_mib), "other", "0"), others_mib + 4)
    instance = start_to_stall(node, asking("shared", "kill-largest", other, stalls, limit_mib=LIMIT_MIB))
    before = memory_events(instance.path)["max"]
    wait_for_a_stall(instance, STALLED, int(WINDOW_S), LASTS_S)
    in_use = int((MOUNT / instance.path / "memory.current").read_text())
    assert 0.9 * own_mib * MIB < in_use < own_mib * MIB
    assert memory_events(instance.path)["max"] == before
    assert left_alone(node, instance)
    node.kubelet.delete_pod(instance.pod)
