"""250 containers as fast as the lab can start them: every one that asked has 0 at its first instruction, the others have 1."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.kernel.conftest import DRIVERS, MODE, RUNTIMES, Node, make_node
from tests.lab.spec import Container, Instance, Pod

ASKING = {"runc": 30, "crun": 95}  # under each driver, so 250 in all; runc takes the lab five times as long
PLAIN = 5  # of each runtime under each driver
A_POD = 8  # containers
AT_ONCE = 4  # pods started side by side, as a kubelet does


@pytest.fixture(scope="module", params=DRIVERS)
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = make_node(
        tmp_path_factory.mktemp("node"), request.param, status_delay_s=1.0, systemd_writes=True, real_time=True
    )
    node.start_agent("--resync-interval", "5s", "--mode-applied-events", "false")
    yield node
    node.close()


def pods(runtime: str, asking: int, plain: int) -> Iterator[Pod]:
    for word, count, labels in (("asks", asking, {MODE: "single"}), ("plain", plain, {})):
        for number, first in enumerate(range(0, count, A_POD)):
            containers = tuple(
                Container(f"c{i}", ("pause",), 16 if i % 2 else None) for i in range(min(A_POD, count - first))
            )
            yield Pod(f"{word}-{runtime}-{number}", containers, labels=labels, runtime=runtime)


def test_every_container_that_asked_has_its_mode_at_its_first_instruction(node: Node) -> None:
    wanted = [pod for runtime in RUNTIMES for pod in pods(runtime, ASKING[runtime], PLAIN)]
    began = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        started = [instance for instances in pool.map(node.kubelet.run_pod, wanted) for instance in instances]
    lasted = time.monotonic() - began
    _leave_figures(node, started, lasted)
    asking = [instance for instance in started if MODE in instance.pod.labels]
    plain = [instance for instance in started if MODE not in instance.pod.labels]
    assert len(asking) * len(DRIVERS) == 250
    late = [i for i in asking if node.kubelet.first_look(i) != "0"]
    assert not late, f"{len(late)} of {len(asking)} began with 1: {[i.path for i in late][:5]}"
    assert {node.kubelet.first_look(i) for i in plain} == {"1"}


def test_the_slow_full_look_had_nothing_to_repair(node: Node) -> None:
    node.wait_for_a_full_look()
    assert node.agent.total("oomward_resync_corrections_total") == 0
    assert node.agent.total("oomward_cgroup_errors_total") == 0
    assert node.agent.total("oomward_inotify_overflows_total") == 0


def test_all_of_them_are_named_and_shown_as_they_are(node: Node) -> None:
    agent = node.agent
    agent.wait_for(
        lambda: (
            sum(1 for name, _ in agent.metrics() if name == "oomward_container_oom_group_desired")
            == sum(ASKING.values())
        ),
        60,
        "named",
    )
    assert agent.total("oomward_container_oom_group_desired") == 0
    assert agent.total("oomward_container_oom_group") == PLAIN * len(RUNTIMES), "the plain ones keep their 1"


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_container_restarted_at_once_has_it_while_the_api_still_names_the_one_before(
    node: Node, runtime: str
) -> None:
    """The first restart has no back-off, and the kubelet's word of an end takes up to seconds to the API."""
    name = f"again-{runtime}"
    pod = Pod(name, (Container("main", ("pause",), 16),), labels={MODE: "single"}, runtime=runtime)
    (first,) = node.kubelet.run_pod(pod)
    node.agent.wait_for(lambda: _is_named(node, name), 60, "named")
    node.kubelet.kill(first)
    node.kubelet.wait_for(lambda: sum(i.pod.uid == pod.uid for i in node.kubelet.instances) == 2, 60)
    second = node.kubelet.running(pod, "main")
    assert (node.kubelet.first_look(first), node.kubelet.first_look(second)) == ("0", "0")


def _is_named(node: Node, pod: str) -> bool:
    return any(
        name == "oomward_container_oom_group_desired" and ("pod", pod) in labels
        for name, labels in node.agent.metrics()
    )


def _leave_figures(node: Node, started: list[Instance], lasted_s: float) -> None:
    """How fast it was, and how long the agent's writes took: for people, judged by nobody."""
    latency = {labels: value for (name, labels), value in node.agent.metrics().items() if "write_latency" in name}
    figures = {
        "driver": node.kubelet.driver.name,
        "containers": len(started),
        "seconds": round(lasted_s, 1),
        "write_latency": {",".join("=".join(pair) for pair in labels): value for labels, value in latency.items()},
    }
    out = Path(os.environ["OOMWARD_LAB_OUT"]) / f"starts-{node.kubelet.driver.name}.json"
    out.write_text(json.dumps(figures, indent=2))
