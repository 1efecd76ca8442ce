"""Containers as fast as the lab can start them, with NRI: each has its mode at its first instruction, whatever limits they share."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.kernel.conftest import MODE, Node
from tests.lab.spec import Container, Instance, Pod
from tests.systemd.conftest import DRIVERS, RUNTIMES, make_cri_node
from tests.systemd.test_nri import connected

CONTAINERS = int(os.environ.get("STARTS", "250"))  # in all, half of them under each driver
A_POD = 5
AT_ONCE = 4  # pods started side by side, as a kubelet does
MODES = {"0": "single", "1": "group"}


@pytest.fixture(scope="module", params=DRIVERS)
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = make_cri_node(tmp_path_factory.mktemp("node"), request.param, nri=True, status_delay_s=1.0)
    node.start_agent("--mode-applied-events", "false")
    connected(node)
    yield node
    node.close()


def wanted(instance: Instance) -> str:
    """Every other container of a pod is in group."""
    return "1" if int(instance.container.removeprefix("c")) % 2 else "0"


def pods(count: int) -> Iterator[Pod]:
    for number in range(count // A_POD):
        containers = tuple(Container(f"c{i}", ("pause",), 16) for i in range(A_POD))
        annotations = {f"mode.oomward.dev/c{i}": "group" for i in range(1, A_POD, 2)}
        runtime = RUNTIMES[number % len(RUNTIMES)]
        yield Pod(f"mixed-{number}", containers, labels={MODE: "single"}, annotations=annotations, runtime=runtime)


def test_every_container_has_its_mode_at_its_first_instruction(node: Node) -> None:
    began = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        started = [
            one for instances in pool.map(node.kubelet.run_pod, pods(CONTAINERS // len(DRIVERS))) for one in instances
        ]
    figures = {"containers": len(started), "seconds": round(time.monotonic() - began, 1)}
    out = Path(os.environ["OOMWARD_LAB_OUT"]) / f"starts-{node.kubelet.driver.name}.json"
    out.write_text(json.dumps(figures))
    assert len(started) == CONTAINERS // len(DRIVERS)
    wrong = [one for one in started if node.kubelet.first_look(one) != wanted(one)]
    assert not wrong, f"{len(wrong)} of {len(started)}: {[f'{one.path} {MODES[wanted(one)]}' for one in wrong[:5]]}"


def test_the_slow_full_look_had_nothing_to_repair(node: Node) -> None:
    assert node.agent.total("oomward_resync_corrections_total") == 0
    assert node.agent.total("oomward_cgroup_errors_total") == 0
