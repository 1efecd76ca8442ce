"""The main job on a real kernel: with the label one process dies, without it the whole container does, and all is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel.conftest import Node, end_node, make_node
from tests.lab.apiserver import ApiServer
from tests.lab.kubelet import MOUNT, memory_events
from tests.lab.spec import Container, Pod

MODE = "oomward.dev/mode"
FAMILY = ("family", "2", "0", "5")  # PID 1, two quiet helpers, and one worker that eats


@pytest.fixture
def any_node(api: ApiServer, work: Path, combination: tuple[str, str]) -> Iterator[tuple[Node, str]]:
    """A node of each driver, with the name of each runtime."""
    driver, runtime = combination
    node = make_node(api, work, driver)
    yield node, runtime
    end_node(node)


def processes(path: str) -> int:
    return len((MOUNT / path / "cgroup.procs").read_text().split())


def test_a_labelled_container_loses_one_process_and_an_unlabelled_one_all(any_node: tuple[Node, str]) -> None:
    node, runtime = any_node
    agent = node.agent()
    single = Pod("labelled", (Container("main", FAMILY),), labels={MODE: "single"}, runtime=runtime)
    plain = Pod("plain", (Container("main", FAMILY),), runtime=runtime)
    (labelled,) = node.kubelet.run_pod(single)
    (unlabelled,) = node.kubelet.run_pod(plain)

    node.kubelet.wait_for(lambda: memory_events(labelled.path)["oom_kill"] == 1, 60)
    node.kubelet.wait_for(lambda: not unlabelled.running, 60)

    assert node.kubelet.first_look(labelled) == "0", "the mode was in force before the first instruction"
    assert node.kubelet.first_look(unlabelled) == "1", "a container that didn't ask is left as the kubelet made it"
    assert labelled.running
    assert processes(labelled.path) == 3, "PID 1 and its helpers go on"
    assert unlabelled.events["oom_group_kill"] == 1
    assert unlabelled.exit_code == 137

    agent.wait_for(lambda: agent.total("oomward_oom_kills_total", pod="labelled") == 1, 20, "counted")
    agent.wait_for(lambda: agent.total("oomward_oom_kills_total", pod="plain", mode="group") >= 1, 20, "counted")
    agent.wait_for(lambda: node.events("ProcessOOMKilled", "labelled"), 20, "told of the process")
    agent.wait_for(lambda: node.events("ContainerOOMKilled", "plain"), 20, "told of the container")
    assert len(agent.log_lines(event="oom_kill", pod="labelled")) == 1
    (event,) = node.events("ProcessOOMKilled", "labelled")
    assert "(worker, " in str(event["note"])
    assert "The container kept running (mode single)" in str(event["note"])
    assert agent.total("oomward_unattributed_oom_kills_total") == 0
    assert agent.total("oomward_resync_repairs_total") == 0


def test_pods_that_ran_before_the_agent_come_right_too(any_node: tuple[Node, str]) -> None:
    node, runtime = any_node
    quiet = ("pause",)
    pod = Pod("early", (Container("main", quiet),), labels={MODE: "single"}, runtime=runtime)
    (early,) = node.kubelet.run_pod(pod)
    assert node.knob(early.path) == "1"
    agent = node.agent()
    agent.wait_for(lambda: node.knob(early.path) == "0", 10, "held")
