"""On cgroup v1 the agent sees to mode group itself where it is told to, and to tolerance by ending the container."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kernel.conftest import DRIVERS, MODE, RUNTIMES, Node, make_node
from tests.kernel.test_tolerance import CONTAINERS, RESTART, TOLERATE, feed, next_instance, overfeed
from tests.lab.kubelet import memory_events
from tests.lab.spec import Instance, Pod


@pytest.fixture(scope="module", params=DRIVERS)
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = make_node(tmp_path_factory.mktemp("node"), request.param, status_delay_s=0.2)
    node.start_agent("--mode-applied-events", "false", "--emulate-group-on-v1", "true")
    yield node
    node.close()


def start(node: Node, name: str, runtime: str, mode: str, **annotations: str) -> tuple[Instance, Instance]:
    pod = Pod(name, CONTAINERS, labels={MODE: mode}, annotations=annotations, runtime=runtime)
    main, other = node.kubelet.run_pod(pod)
    node.agent.wait_for(
        lambda: (
            node.agent.total("oomward_container_oom_group_desired", pod=name) == 2 * (mode == "group")
            and sum(
                ("pod", name) in labels
                for name_, labels in node.agent.metrics()
                if name_ == "oomward_container_oom_group_desired"
            )
            == 2
        ),
        60,
        "named",
    )
    return main, other


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_mode_group_takes_all_of_the_container_and_only_that(node: Node, runtime: str) -> None:
    main, other = start(node, f"together-{runtime}", runtime, "group")
    for _ in range(3):
        node.kubelet.execute(main, "eat", "1", "bystander", "0")
    overfeed(node, main)
    again = next_instance(node, main)
    assert main.exit_code == 137
    node.agent.wait_for(lambda: node.events("OOMContainerRestarted", main.pod.name), 60, "told")
    assert again.running
    assert other.running
    assert memory_events(other.path).get("oom_kill", 0) == 0
    assert node.events("OOMModeFailed", main.pod.name) == [], "group is to be had now"


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_mode_single_is_as_ever(node: Node, runtime: str) -> None:
    main, _ = start(node, f"apart-{runtime}", runtime, "single")
    for _ in range(3):
        feed(node, main)
    assert main.running


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_container_that_exceeds_what_it_tolerates_is_ended_process_by_process(node: Node, runtime: str) -> None:
    """v1 can't say whose limit it was without the log's report; here the log is read, so it is known."""
    main, other = start(node, f"ended-{runtime}", runtime, "single", **{TOLERATE: "1/10m"}, **RESTART)
    feed(node, main)
    assert main.running
    feed(node, main)
    again = next_instance(node, main)
    assert main.exit_code == 137
    assert again.running
    assert other.running
