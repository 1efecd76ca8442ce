"""The liveness probe that the docs advise counts the workers, and nothing else: its command runs in a real container."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from tests.kernel.conftest import Node, make_node
from tests.lab.boot import REPO
from tests.lab.gate import processes
from tests.lab.spec import Container, Instance, Pod, Program

PAGE = REPO / "docs" / "howto" / "tolerate.md"
WORKERS = 4
# The word is not in its own arguments, as the page says.
SUPERVISOR = "for n in 1 2 3 4; do sh -c 'while :; do sleep 1000; done' wor''ker & done; wait; wait; wait; wait"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = make_node(tmp_path_factory.mktemp("node"), "systemd")
    yield node
    node.close()


def documented() -> list[str]:
    """The probe's command as it stands in the docs."""
    blocks = re.findall(r"```yaml\n(livenessProbe:.*?)```", PAGE.read_text(), re.DOTALL)
    (probe,) = [yaml.safe_load(block)["livenessProbe"] for block in blocks]
    return list(probe["exec"]["command"])


def workers(instance: Instance) -> list[int]:
    found = []
    for pid in processes(instance.path):
        with suppress(FileNotFoundError):  # it has ended in between
            if (Path("/proc") / str(pid) / "cmdline").read_bytes().endswith(b"\0worker\0"):
                found.append(pid)
    return found


@pytest.mark.parametrize("runtime", ["runc", "crun"])
def test_the_documented_probe_fails_when_too_few_workers_are_left(node: Node, runtime: str) -> None:
    program = Program(("sh", "-c", SUPERVISOR))
    (instance,) = node.kubelet.run_pod(
        Pod(f"workers-{runtime}", (Container("main", (), program=program),), runtime=runtime)
    )
    node.kubelet.wait_for(lambda: len(workers(instance)) == WORKERS, 30.0)
    answers = {WORKERS: node.kubelet.probe(instance, *documented())}
    for left in (3, 2):
        os.kill(workers(instance)[0], signal.SIGKILL)
        node.kubelet.wait_for(lambda left=left: len(workers(instance)) == left, 30.0)  # type: ignore[misc]
        answers[left] = node.kubelet.probe(instance, *documented())
    assert answers == {4: 0, 3: 0, 2: 1}
