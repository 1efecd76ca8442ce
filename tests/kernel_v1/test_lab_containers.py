"""The lab's containers on cgroup v1: no group kill, whatever the kubelet asks for."""

from __future__ import annotations

import pytest

from tests.lab.cgroups import MOUNT
from tests.lab.drivers import Driver
from tests.lab.kubelet import Kubelet, memory_events
from tests.lab.spec import Container, Pod


@pytest.mark.parametrize("runtime", ["runc", "crun"])
@pytest.mark.parametrize("driver", ["cgroupfs", "systemd"])
def test_an_oom_kill_on_v1_takes_one_process_and_the_container_lives(driver: str, runtime: str) -> None:
    kubelet = Kubelet("node", Driver(driver), publish=lambda _: None, remove=lambda _: None)
    try:
        pod = Pod("old", (Container("main", ("family", "2", "0", "2"), 32),), runtime=runtime)
        (main,) = kubelet.run_pod(pod)
        assert kubelet.first_look(main) == "none", "there is no memory.oom.group"
        kubelet.wait_for(lambda: memory_events(main.path)["oom_kill"] == 1, 60)
        assert main.running
    finally:
        kubelet.close()
    assert not (MOUNT / kubelet.driver.root).exists()
