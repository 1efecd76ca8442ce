"""inotify gives out: the queue overflows, or no watch is to be had. All is looked at anew, told and counted."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel.conftest import MODE, Node, make_node
from tests.lab.kubelet import MOUNT
from tests.lab.spec import Container, Pod

SYSCTL = Path("/proc/sys/fs/inotify")
MAIN = (Container("main", ("pause",)),)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = make_node(tmp_path, "systemd", status_delay_s=0.2)
    yield node
    node.close()


@pytest.fixture
def limit(request: pytest.FixtureRequest) -> Iterator[None]:
    """A sysctl set for one test: (name, value)."""
    name, value = request.param
    before = (SYSCTL / name).read_text()
    (SYSCTL / name).write_text(str(value))
    yield
    (SYSCTL / name).write_text(before)


@pytest.mark.parametrize("limit", [("max_queued_events", 4)], indirect=True)
def test_an_overflowing_queue_loses_no_container(node: Node, limit: None) -> None:
    agent = node.start_agent()
    pods = [Pod(f"p{i}", MAIN, labels={MODE: "single"}) for i in range(6)]
    instances = [instance for pod in pods for instance in node.kubelet.run_pod(pod)]
    os.kill(agent.process.pid, signal.SIGSTOP)  # it reads faster than anybody writes
    for _ in range(200):
        for instance in instances:
            (MOUNT / instance.path / "memory.oom.group").write_text("1")
    os.kill(agent.process.pid, signal.SIGCONT)
    agent.wait_for(lambda: agent.total("oomward_inotify_overflows_total") >= 1, 60, "noticed")
    assert any("max_queued_events" in str(line["message"]) for line in agent.log_lines(level="warning"))
    for instance in instances:
        agent.wait_for(lambda i=instance: node.knob(i.path) == "0", 60, "held")


@pytest.mark.parametrize("limit", [("max_user_watches", 12)], indirect=True)
def test_without_watches_left_containers_are_found_by_the_full_look_and_the_sysctl_is_named(
    node: Node, limit: None
) -> None:
    agent = node.start_agent("--resync-interval", "2s")
    pods = [Pod(f"p{i}", MAIN, labels={MODE: "single"}) for i in range(4)]
    instances = [instance for pod in pods for instance in node.kubelet.run_pod(pod)]
    for instance in instances:
        agent.wait_for(lambda i=instance: node.knob(i.path) == "0", 60, "held")
    assert agent.total("oomward_inotify_overflows_total") >= 1
    said = [str(line["message"]) for line in agent.log_lines(level="warning")]
    assert any("sysctl fs.inotify.max_user_watches" in text for text in said)
    assert sum("max_user_watches" in text for text in said) <= 3, "not at every look"
    (MOUNT / instances[0].path / "memory.oom.group").write_text("1")
    agent.wait_for(lambda: node.knob(instances[0].path) == "0", 60, "repaired by a full look")


@pytest.mark.parametrize("limit", [("max_user_watches", 12)], indirect=True)
def test_check_names_the_sysctl(node: Node, limit: None) -> None:
    node.kubelet.run_pod(Pod("p", MAIN, labels={MODE: "single"}))
    node.start_agent()
    done = node.oomward("check")
    assert done.returncode == 1
    assert "sysctl -w fs.inotify.max_user_watches=" in " ".join(done.stdout.split())
