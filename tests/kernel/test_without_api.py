"""While the API is away what was decided stays in force, for containers that are there and for restarts of theirs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kernel.conftest import DRIVERS, MODE, RUNTIMES, Node, make_node
from tests.lab.agent_process import AgentProcess
from tests.lab.kubelet import MOUNT
from tests.lab.spec import Container, Instance, Pod


@pytest.fixture(scope="module", params=DRIVERS)
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = make_node(
        tmp_path_factory.mktemp("node"),
        request.param,
        real_time=True,
        status_delay_s=0.3,
        systemd_writes=True,
        backoff_factor=0.01,
    )
    yield node
    node.close()


@pytest.fixture(scope="module")
def held(node: Node) -> dict[str, Instance]:
    """Containers by runtime, held by an agent that has ended; the API has gone away after it."""
    node.start_agent()
    found = {}
    for runtime in RUNTIMES:
        pod = Pod(f"held-{runtime}", (Container("main", ("pause",)),), labels={MODE: "single"}, runtime=runtime)
        (found[runtime],) = node.kubelet.run_pod(pod)
    for runtime in RUNTIMES:
        node.agent.wait_for(lambda r=runtime: node.events("OOMModeApplied", f"held-{r}"), 60, "applied")
    assert node.agent.stop() == 0
    node.api.close()
    return found


def start_without_api(node: Node) -> AgentProcess:
    node.begin_agent("--resync-interval", "3s")
    node.agent.wait_for(lambda: node.agent.get("/healthz")[0] == 200, 60, "alive")
    return node.agent


def test_an_agent_that_starts_while_the_api_is_away_keeps_holding_what_was_held(
    node: Node, held: dict[str, Instance]
) -> None:
    for instance in held.values():
        (MOUNT / instance.path / "memory.oom.group").write_text("1")  # while no agent ran
    agent = start_without_api(node)
    for instance in held.values():
        agent.wait_for(lambda i=instance: node.knob(i.path) == "0", 60, "held again")
        (MOUNT / instance.path / "memory.oom.group").write_text("1")
        agent.wait_for(lambda i=instance: node.knob(i.path) == "0", 60, "put back")
    status, why = agent.get("/readyz")
    assert status == 503
    assert "waiting for the API" in why


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_container_that_restarts_meanwhile_begins_in_its_mode(
    node: Node, held: dict[str, Instance], runtime: str
) -> None:
    pod = held[runtime].pod
    node.kubelet.kill(held[runtime])
    node.kubelet.wait_for(lambda: sum(i.pod.uid == pod.uid for i in node.kubelet.instances) == 2, 60)
    held[runtime] = node.kubelet.running(pod, "main")
    assert node.kubelet.first_look(held[runtime]) == "0"


def test_a_pod_that_nobody_has_told_of_waits_for_the_api(node: Node, held: dict[str, Instance]) -> None:
    (instance,) = node.kubelet.run_pod(Pod("new", (Container("main", ("pause",)),), labels={MODE: "single"}))
    assert node.kubelet.first_look(instance) == "1"
    assert node.knob(instance.path) == "1"


def test_when_the_api_is_back_the_new_pod_is_held_and_nothing_was_given_back(
    node: Node, held: dict[str, Instance]
) -> None:
    node.api.start()
    node.agent.wait_ready(60)
    node.agent.wait_for(lambda: node.events("OOMModeApplied", "new"), 60, "applied")
    for instance in held.values():
        assert node.knob(instance.path) == "0"


def test_while_it_is_away_for_a_running_agent_labels_stay_as_they_were_and_then_count_anew(
    node: Node, held: dict[str, Instance]
) -> None:
    instance = held["crun"]
    node.api.close()
    node.agent.wait_for(
        lambda: node.agent.total("oomward_pod_watch_restarts_total", reason="unreachable") >= 1, 60, "noticed"
    )
    pod = node.kubelet.relabel(instance.pod, labels={})
    (MOUNT / instance.path / "memory.oom.group").write_text("1")
    node.agent.wait_for(lambda: node.knob(instance.path) == "0", 60, "held by what is known")
    node.api.start()
    node.agent.wait_for(lambda: node.knob(instance.path) == "1", 60, "given back")
    node.kubelet.relabel(pod, labels={MODE: "single"})
    node.agent.wait_for(lambda: node.knob(instance.path) == "0", 60, "held again")


def test_the_slow_full_look_has_found_nothing_to_repair(node: Node) -> None:
    node.wait_for_a_full_look()
    assert node.agent.total("oomward_resync_corrections_total") == 0
