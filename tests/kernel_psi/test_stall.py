"""Real stalls: a container that doesn't fit its limit swaps to a slow disk, hardly runs, and the kernel kills nothing.

Its pages get to be known to the kernel as in use first, at the disk's full speed: PSI counts a wait for a page only if it was in use before
(mm/workingset.c). Then the disk is slow, as one whose burst credits are used up.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.cgroup.psi import stalled_us
from tests.kernel.conftest import MODE, Node, make_node
from tests.lab.cgroups import MOUNT, memory_events
from tests.lab.spec import Container, Instance, Pod

ON_STALL, AFTER = "oomward.dev/on-stall", "oomward.dev/stall-after"
LIMIT_MIB, NEEDED_MIB = 16, 20
THRASH = ("thrash", "1", str(NEEDED_MIB))
KNOWN = 1500  # pages that were swapped out, in use before, and read again
WARM_S, PATIENCE_S = 90.0, 90.0
READS_PER_S = 50
DISK = Path("/sys/block/vda/dev")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = make_node(tmp_path_factory.mktemp("node"), "cgroupfs", status_delay_s=0.2)
    node.start_agent("--mode-applied-events", "false")
    yield node
    node.close()


def stall(node: Node, pod: Pod) -> list[Instance]:
    """Its containers swap, and then the disk is slow for them."""
    instances = node.kubelet.run_pod(pod)
    for instance in instances:
        _wait(lambda at=MOUNT / instance.path: _restored(at) >= KNOWN, WARM_S)  # type: ignore[misc]
    for instance in instances:
        _slow_down(instance.path)
    return instances


def _wait(condition: object, seconds: float) -> None:
    assert callable(condition)
    until_s = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until_s
        time.sleep(0.2)


def _restored(cgroup: Path) -> int:
    fields = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
    return int(fields["workingset_restore_anon"])


def _slow_down(path: str) -> None:
    at = MOUNT
    for part in path.split("/"):
        (at / "cgroup.subtree_control").write_text("+io")
        at /= part
    (at / "io.max").write_text(f"{DISK.read_text().strip()} riops={READS_PER_S}")


def _stalled_for(instance: Instance, seconds: float) -> float:
    """The share of that time."""
    file = MOUNT / instance.path / "memory.pressure"
    began_s, before = time.monotonic(), stalled_us(file.read_text()) or 0
    time.sleep(seconds)
    return ((stalled_us(file.read_text()) or 0) - before) / 1e6 / (time.monotonic() - began_s)


def _pod(name: str, on_stall: str, *containers: Container, limit_mib: int | None = None) -> Pod:
    annotations = {ON_STALL: on_stall, AFTER: "10s"}
    return Pod(name, containers, labels={MODE: "single"}, annotations=annotations, limit_mib=limit_mib)


def _kills(instance: Instance) -> int:
    return memory_events(instance.path).get("oom_kill", 0)


def test_the_largest_process_of_a_stalled_container_is_ended_and_the_container_lives_on(node: Node) -> None:
    (instance,) = stall(node, _pod("largest", "kill-largest", Container("main", THRASH, LIMIT_MIB)))
    node.agent.wait_for(lambda: node.events("StallResolved", "largest"), PATIENCE_S, "resolved")
    (event,) = node.events("StallResolved", "largest")
    print(event["note"])
    assert "ended its largest process, worker" in event["note"]
    assert "Before: stalled 9" in event["note"] or "Before: stalled 100" in event["note"]
    assert "After: stalled 0 % of the time" in event["note"]
    assert _kills(instance) == 0
    assert instance.running
    assert Path(f"/proc/{instance.pid}").exists()
    assert node.agent.total("oomward_stalls_resolved_total") == 1


def test_all_processes_of_a_stalled_container_are_ended_where_the_pod_asks_for_it(node: Node) -> None:
    (instance,) = stall(node, _pod("group", "group", Container("main", THRASH, LIMIT_MIB)))
    node.agent.wait_for(lambda: node.events("StallResolved", "group"), PATIENCE_S, "resolved")
    (event,) = node.events("StallResolved", "group")
    print(event["note"])
    assert "ended all its processes" in event["note"]
    node.kubelet.wait_for(lambda: not instance.running, 30)
    assert instance.events.get("oom_kill", 0) == 0


def test_containers_that_stall_at_the_limit_of_their_pod_are_left_alone(node: Node) -> None:
    """Each is below its own limit: what stalls one is the other."""
    containers = [Container(name, ("thrash", "1", "12"), 14) for name in ("one", "two")]
    one, two = stall(node, _pod("shared", "kill-largest", *containers, limit_mib=LIMIT_MIB))
    share = _stalled_for(one, 25.0)
    print(f"stalled {share:.0%} of the time")
    assert share > 0.5
    assert node.events("StallResolved", "shared") == []
    assert one.running
    assert two.running
    node.kubelet.delete_pod(one.pod)
