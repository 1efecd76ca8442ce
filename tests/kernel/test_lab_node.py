"""The lab itself does as a kubelet does: a test that stands on it must be able to trust it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.kernel.conftest import MODE, make_node
from tests.lab.kubelet import MOUNT, memory_events
from tests.lab.spec import MIB, Container, Pod


def test_a_container_that_dies_is_started_again_at_once_and_then_with_back_off(tmp_path: Path) -> None:
    node = make_node(tmp_path, "cgroupfs", backoff_factor=0.1, status_delay_s=0.2)
    try:
        pod = Pod("crashing", (Container("main", ("eat", "0", "eater", "0"), 16),), runtime="crun")
        node.kubelet.run_pod(pod)
        node.kubelet.wait_for(lambda: len(node.kubelet.instances) == 4, 60)
        first, second, third, fourth = node.kubelet.instances
        assert len({i.container_id for i in (first, second, third, fourth)}) == 4
        assert not (MOUNT / first.path).exists(), "the old cgroup is gone"
        assert (first.exit_code, first.events["oom_group_kill"]) == (137, 1)
        for before, after, least in ((second, third, 1.0), (third, fourth, 2.0)):
            assert before.ended_s is not None
            assert after.started_s - before.ended_s >= least, "10 s and 20 s, a tenth of it"
    finally:
        node.close()


def test_restart_policies_and_init_containers_are_obeyed(tmp_path: Path) -> None:
    node = make_node(tmp_path, "cgroupfs", status_delay_s=0.2)
    try:
        never = Pod("never", (Container("main", ("eat", "0", "eater", "0"), 16),), restart_policy="Never")
        (instance,) = node.kubelet.run_pod(never)
        node.kubelet.wait_for(lambda: not instance.running, 60)
        containers = (
            Container("main", ("pause",)),
            Container("proxy", ("pause",), kind="sidecar"),
        )
        several = node.kubelet.run_pod(Pod("several", containers))
        assert [i.container for i in several] == ["proxy", "main"], "sidecars first"
        assert len([i for i in node.kubelet.instances if i.pod.name == "never"]) == 1
    finally:
        node.close()


def test_limits_are_where_the_kubelet_puts_them_and_the_status_comes_late(tmp_path: Path) -> None:
    node = make_node(tmp_path, "systemd", status_delay_s=2.0)
    try:
        pod = Pod("two", (Container("a", ("pause",), 32), Container("b", ("pause",), 48)), labels={MODE: "single"})
        first, _ = node.kubelet.run_pod(pod)
        assert (MOUNT / node.kubelet.driver.pod_path(pod) / "memory.max").read_text().strip() == str(80 * MIB)
        assert (MOUNT / first.path / "memory.max").read_text().strip() == str(32 * MIB)
        stored = node.api.store.pods["default", "two"]
        assert "containerStatuses" not in stored["status"]
        node.kubelet.wait_for(
            lambda: len(node.api.store.pods["default", "two"]["status"].get("containerStatuses", [])) == 2, 60
        )
        stored = node.api.store.pods["default", "two"]
        ids = [status["containerID"] for status in stored["status"]["containerStatuses"]]
        assert ids == [f"containerd://{i.container_id}" for i in node.kubelet.instances]
        node.kubelet.delete_pod(pod)
        assert not (MOUNT / node.kubelet.driver.pod_path(pod)).exists()
        assert memory_events(first.path) == {}
    finally:
        node.close()


def test_one_command_makes_a_whole_node_and_takes_it_down_again() -> None:
    done = subprocess.run([sys.executable, "-m", "tests.lab.node", "true"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines() if "PID 1 is" in line] == [
        "plain-runc", "single-runc", "plain-crun", "single-crun"
    ]  # fmt: skip
    assert not (MOUNT / "kubepods.slice").exists()


def test_in_the_shell_beside_the_node_oomward_asks_its_agent() -> None:
    """Typed without a path or a flag, as `make lab` has it."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.lab.node", "oomward", "explain", "single-crun"],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
    )
    assert done.returncode == 0, done.stderr
    assert "Desired  single: label oomward.dev/mode=single" in done.stdout
    assert done.stderr == ""
