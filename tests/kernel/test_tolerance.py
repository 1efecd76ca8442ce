"""So many killed processes are tolerated; one more arms the container, or ends it, and its next instance starts afresh."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.kernel.conftest import DRIVERS, MODE, RUNTIMES, Node, make_node
from tests.lab.kubelet import MOUNT, memory_events
from tests.lab.spec import Container, Instance, Pod

TOLERATE = "oomward.dev/tolerate"
RESTART = {"oomward.dev/on-exceeded": "restart"}
CONTAINERS = (Container("main", ("pause",)), Container("other", ("pause",)))


@pytest.fixture(scope="module", params=DRIVERS)
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = make_node(tmp_path_factory.mktemp("node"), request.param, status_delay_s=0.2)
    node.start_agent("--mode-applied-events", "false")
    yield node
    node.close()


def start(node: Node, name: str, runtime: str, tolerate: str = "2/10m", **more: str) -> tuple[Instance, Instance]:
    """Main, held single, and the other of its pod."""
    pod = Pod(name, CONTAINERS, labels={MODE: "single"}, annotations={TOLERATE: tolerate} | more, runtime=runtime)
    main, other = node.kubelet.run_pod(pod)
    node.kubelet.wait_for(lambda: node.knob(main.path) == node.knob(other.path) == "0", 60)
    return main, other


def feed(node: Node, instance: Instance) -> None:
    """One process more in the container, which eats until it is killed; and the agent has counted it."""
    before = node.agent.total("oomward_oom_kills_total", pod=instance.pod.name)
    overfeed(node, instance)
    node.agent.wait_for(
        lambda: node.agent.total("oomward_oom_kills_total", pod=instance.pod.name) > before, 60, "counted"
    )


def overfeed(node: Node, instance: Instance) -> None:
    """Likewise, whether an agent runs or not."""
    before = memory_events(instance.path).get("oom_kill", 0)
    node.kubelet.execute(instance, "eat", "0", "glutton", "0")
    node.kubelet.wait_for(lambda: not instance.running or memory_events(instance.path).get("oom_kill", 0) > before, 60)


def next_instance(node: Node, before: Instance) -> Instance:
    """The one that the kubelet starts in its place."""
    node.kubelet.wait_for(lambda: not before.running, 60)
    node.kubelet.wait_for(lambda: newest(node, before) is not before, 60)
    return newest(node, before)


def newest(node: Node, like: Instance) -> Instance:
    same = [i for i in node.kubelet.instances if (i.pod, i.container) == (like.pod, like.container)]
    return max(same, key=lambda i: i.restart)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_one_too_many_arms_the_container_its_next_kill_takes_all_of_it_and_the_next_instance_is_single(
    node: Node, runtime: str
) -> None:
    main, other = start(node, f"armed-{runtime}", runtime)
    for _ in range(2):
        feed(node, main)
    assert node.knob(main.path) == "0"
    assert node.events("OOMToleranceExceeded", main.pod.name) == []
    feed(node, main)
    node.agent.wait_for(lambda: node.knob(main.path) == "1", 60, "armed")
    assert main.running
    node.agent.wait_for(lambda: node.events("OOMToleranceExceeded", main.pod.name), 60, "told")
    (event,) = node.events("OOMToleranceExceeded", main.pod.name)
    assert "More than 2 processes of container main were OOM-killed within 10m" in event["note"]
    overfeed(node, main)
    again = next_instance(node, main)
    assert main.exit_code == 137
    node.kubelet.wait_for(lambda: node.knob(again.path) == "0", 60)
    feed(node, again)
    assert (again.running, node.knob(again.path)) == (True, "0"), "it tolerates two again"
    assert other.running
    assert node.knob(other.path) == "0", "the other container has done nothing"


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_restart_ends_all_of_the_container_at_once_and_nothing_else(node: Node, runtime: str) -> None:
    main, other = start(node, f"ended-{runtime}", runtime, **RESTART)
    node.kubelet.execute(main, "eat", "1", "bystander", "0")
    for _ in range(2):
        feed(node, main)
    assert main.running
    feed(node, main)
    again = next_instance(node, main)
    assert main.exit_code == 137
    assert not (MOUNT / main.path).exists(), "nobody is left in it"
    node.agent.wait_for(lambda: node.events("OOMContainerRestarted", main.pod.name), 60, "told")
    node.kubelet.wait_for(lambda: node.knob(again.path) == "0", 60)
    assert again.running
    assert other.running
    assert len(node.events("OOMContainerRestarted", main.pod.name)) == 1


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_agents_death_forgets_nothing_that_happened_before_it_and_while_it_was_away(
    node: Node, runtime: str
) -> None:
    armed, _ = start(node, f"death-armed-{runtime}", runtime)
    ended, bystander = start(node, f"death-ended-{runtime}", runtime, **RESTART)
    for instance in (armed, ended):
        feed(node, instance)
    node.agent.stop(signal.SIGKILL)
    overfeed(node, armed)
    for _ in range(2):
        overfeed(node, ended)
    node.start_agent("--mode-applied-events", "false")
    assert node.knob(armed.path) == "0", "one before, one meanwhile: two, which are tolerated"
    again = next_instance(node, ended)
    feed(node, armed)
    node.agent.wait_for(lambda: node.knob(armed.path) == "1", 60, "armed")
    node.agent.stop(signal.SIGKILL)
    assert node.knob(armed.path) == "1"
    node.start_agent("--mode-applied-events", "false")
    node.kubelet.wait_for(lambda: node.knob(again.path) == "0", 60)
    assert node.knob(armed.path) == "1", "and the second agent knows as well"
    node.agent.wait_for(lambda: node.events("OOMToleranceExceeded", armed.pod.name), 60, "told")
    for instance in (armed, ended):
        assert len(node.events("OOMToleranceExceeded", instance.pod.name)) == 1
    assert bystander.running


def test_a_bad_word_is_told_and_any_number_is_tolerated(node: Node) -> None:
    main, _ = start(node, "confused", "crun", tolerate="often")
    node.agent.wait_for(lambda: node.events("OOMModeInvalid", "confused"), 60, "told")
    for _ in range(4):
        feed(node, main)
    assert (main.running, node.knob(main.path)) == (True, "0")


def test_what_the_node_lacked_is_not_held_against_a_container(node: Node) -> None:
    pod = Pod(
        "besteffort", (Container("main", ("pause",), None),), labels={MODE: "single"}, annotations={TOLERATE: "1/1h"}
    )
    (main,) = node.kubelet.run_pod(pod)
    node.kubelet.wait_for(lambda: node.knob(main.path) == "0", 60)
    for number in (1, 2):
        node.kubelet.execute(main, "eat", "0", "glutton", "0", "1000")
        node.agent.wait_for(
            lambda n=number: node.agent.total("oomward_oom_kills_total", pod="besteffort") == n, 60, "counted"
        )
    assert node.agent.total("oomward_oom_kills_total", pod="besteffort", scope="node") == 2
    assert (main.running, node.knob(main.path)) == (True, "0")
