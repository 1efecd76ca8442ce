"""The agent on cgroup v1: single is so by nature, group can't be had and is told, and every kill is counted and attributed."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.kernel.conftest import DRIVERS, MODE, RUNTIMES, Node, make_node
from tests.kernel_v1.test_v1events import LIMIT_BYTES, eat_in
from tests.lab.cgroups import MOUNT
from tests.lab.kubelet import memory_events
from tests.lab.spec import Container, Instance, Pod

FAMILY = ("family", "2", "0", "2")


@pytest.fixture(scope="module", params=DRIVERS)
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = make_node(tmp_path_factory.mktemp("node"), request.param, status_delay_s=0.5)
    node.start_agent("--resync-interval", "5s")
    yield node
    node.close()


def start(node: Node, name: str, *args: str, mode: str | None = "single", **options: object) -> Instance:
    labels = {} if mode is None else {MODE: mode}
    pod = Pod(name, (Container("main", args or FAMILY),), labels=labels, **options)  # type: ignore[arg-type]
    return node.kubelet.run_pod(pod)[0]


def kills(node: Node, pod: str, **labels: str) -> float:
    return node.agent.total("oomward_oom_kills_total", pod=pod, **labels)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_single_is_already_so_and_is_reported_as_in_force(node: Node, runtime: str) -> None:
    name = f"quiet-{runtime}"
    start(node, name, "pause", runtime=runtime)
    node.agent.wait_for(lambda: node.events("OOMModeApplied", name), 60, "applied")
    assert node.agent.total("oomward_container_oom_group", pod=name) == 0
    assert any(
        labels >= {("pod", name)} and sample == "oomward_container_oom_group_desired"
        for sample, labels in node.agent.metrics()
    )


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_kill_is_counted_once_named_and_told_and_the_container_lives(node: Node, runtime: str) -> None:
    name = f"family-{runtime}"
    instance = start(node, name, runtime=runtime)
    node.agent.wait_for(lambda: node.events("ProcessOOMKilled", name), 60, "told")
    (event,) = node.events("ProcessOOMKilled", name)
    assert "OOM-killed worker (PID " in event["note"]
    assert "at the container's memory limit of 64 MiB. The container is still running (mode single)." in event["note"]
    assert kills(node, name, mode="single", scope="container") == 1 == memory_events(instance.path)["oom_kill"]
    assert instance.running


def test_group_cant_be_had_from_this_kernel_and_the_event_says_so(node: Node) -> None:
    start(node, "together", "pause", mode="group")
    node.agent.wait_for(lambda: node.events("OOMModeFailed", "together"), 60, "told")
    (event,) = node.events("OOMModeFailed", "together")
    assert "cgroup v1" in event["note"]
    assert node.agent.total("oomward_container_oom_group_desired", pod="together") == 1
    assert node.agent.total("oomward_container_oom_group", pod="together") == 0


def test_a_container_that_asks_for_nothing_is_reported_all_the_same(node: Node) -> None:
    start(node, "plain", mode=None)
    node.agent.wait_for(lambda: kills(node, "plain") == 1, 60, "counted")


def test_a_container_whose_pid_1_is_killed_again_and_again_is_counted_each_time(node: Node) -> None:
    """Its cgroup goes with it; the log and the node's own counter say what no one could read any more."""
    instance = start(node, "dying", "eat", "0", "eater", "0", restart_policy="Never")
    node.kubelet.wait_for(lambda: not instance.running, 60)
    node.agent.wait_for(lambda: node.events("ContainerOOMKilled", "dying"), 60, "told")
    assert kills(node, "dying") == 1


@pytest.mark.parametrize("read_before", [False, True])
def test_a_kill_in_a_cgroup_of_the_containers_own_is_told_though_that_cgroup_goes_with_its_count(
    node: Node, read_before: bool
) -> None:
    """As crun's child of a container goes before the container, and docker in docker's at any time. The container goes on."""
    name = f"nesting-{read_before}".lower()
    instance = start(node, name, "pause")
    node.agent.wait_for(lambda: node.events("OOMModeApplied", name), 60, "applied")
    if not read_before:
        node.agent.process.send_signal(signal.SIGSTOP)
    inner = MOUNT / instance.path / "inner"
    inner.mkdir()
    (inner / "memory.limit_in_bytes").write_text(str(LIMIT_BYTES))
    eat_in(inner)
    if read_before:
        node.agent.wait_for(lambda: kills(node, name) == 1, 60, "counted")
    inner.rmdir()
    node.agent.process.send_signal(signal.SIGCONT)
    node.agent.wait_for(lambda: node.events("ProcessOOMKilled", name), 60, "told")
    inner.mkdir()
    (inner / "memory.limit_in_bytes").write_text(str(LIMIT_BYTES))
    eat_in(inner)
    node.agent.wait_for(lambda: kills(node, name) == 2, 60, "counted, as the one before")
    inner.rmdir()
    assert instance.running


def test_a_limit_of_the_pod_alone_is_told_as_the_pods(node: Node) -> None:
    pod = Pod(
        "shared",
        (Container("main", FAMILY, None), Container("other", ("pause",), None)),
        labels={MODE: "single"},
        limit_mib=64,
    )
    node.kubelet.run_pod(pod)
    node.agent.wait_for(lambda: node.events("ProcessOOMKilled", "shared"), 60, "told")
    assert kills(node, "shared", container="main", scope="pod") == 1


def test_kills_while_no_agent_ran_are_counted_by_the_next_and_none_twice(node: Node) -> None:
    before = [kills(node, f"family-{runtime}") for runtime in RUNTIMES]
    assert node.agent.stop(signal.SIGKILL) == -signal.SIGKILL
    start(node, "unseen")
    node.kubelet.wait_for(lambda: _killed(node, "unseen") == 1, 60)
    agent = node.start_agent("--resync-interval", "5s")
    agent.wait_for(lambda: kills(node, "unseen") == 1, 60, "counted")
    assert [kills(node, f"family-{runtime}") for runtime in RUNTIMES] == before


def test_in_the_end_nothing_is_unattributed_and_nothing_was_found_by_the_full_look_only(node: Node) -> None:
    node.wait_for_a_full_look()
    assert node.agent.total("oomward_unattributed_oom_kills_total") == 0
    assert node.agent.total("oomward_host_oom_kills_total") == 0
    assert node.agent.total("oomward_resync_corrections_total") == 0
    assert node.agent.total("oomward_cgroup_errors_total") == 0


def _killed(node: Node, pod: str) -> int:
    instance = next(i for i in node.kubelet.instances if i.pod.name == pod)
    return memory_events(instance.path).get("oom_kill", 0)
