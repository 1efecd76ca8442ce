"""The lab's containers are real ones: what the kernel does to them by memory.oom.group, and what runtimes write, no agent near."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.lab import rewriters
from tests.lab.drivers import Driver
from tests.lab.kubelet import MOUNT, Kubelet, memory_events
from tests.lab.runtime import first_look
from tests.lab.spec import MIB, Container, Instance, Pod

FAMILY = ("family", "2", "0", "2")  # PID 1, two quiet helpers, and one worker that eats
QUIET = ("pause",)
BOTH_RUNTIMES = pytest.mark.parametrize("runtime", ["runc", "crun"])
BOTH_DRIVERS = pytest.mark.parametrize("driver", ["cgroupfs", "systemd"])


@dataclass
class Lab:
    """Kubelets made by a test, and what they told the API."""

    kubelets: list[Kubelet] = field(default_factory=list)
    published: list[dict[str, Any]] = field(default_factory=list)

    def kubelet(self, driver: str = "cgroupfs", *, prefix: str = "", **options: Any) -> Kubelet:
        kubelet = Kubelet(
            "node", Driver(driver, prefix), publish=self.published.append, remove=lambda _: None, **options
        )
        self.kubelets.append(kubelet)
        return kubelet

    def statuses(self, name: str) -> dict[str, Any]:
        """The container statuses of the pod as told last, by the name of their list."""
        last = next(pod for pod in reversed(self.published) if pod["metadata"]["name"] == name)
        return {key: value for key, value in last["status"].items() if key.endswith("ontainerStatuses")}


@pytest.fixture
def lab() -> Iterator[Lab]:
    lab = Lab()
    yield lab
    for kubelet in lab.kubelets:
        kubelet.close()


def knob(path: str) -> str:
    return (MOUNT / path / "memory.oom.group").read_text().strip()


def processes(instance: Instance) -> list[str]:
    return (MOUNT / instance.path / "cgroup.procs").read_text().split()


@BOTH_RUNTIMES
@BOTH_DRIVERS
def test_an_oom_kill_takes_all_processes_or_exactly_one_as_the_knob_says(lab: Lab, driver: str, runtime: str) -> None:
    kubelet = lab.kubelet(driver, status_delay_s=0.1)
    spared = Container("spared", ("herd", "1", "0", "10", "60000"), 64)
    pod = Pod("both", (Container("doomed", FAMILY), spared), runtime=runtime, restart_policy="Never")
    doomed, single = kubelet.run_pod(pod)
    assert [kubelet.first_look(i) for i in (doomed, single)] == ["1", "1"]
    (MOUNT / single.path / "memory.oom.group").write_text("0")

    kubelet.wait_for(lambda: not doomed.running, 60)
    assert doomed.events["oom_group_kill"] == 1
    assert doomed.exit_code == 137
    kubelet.wait_for(lambda: memory_events(single.path)["oom_kill"] >= 1, 60)
    assert memory_events(single.path)["oom_group_kill"] == 0
    assert memory_events(single.path)["oom_kill"] == 1
    assert single.running


@BOTH_RUNTIMES
@BOTH_DRIVERS
def test_the_knob_is_1_for_containers_only_and_0_for_the_sandbox_and_all_above(
    lab: Lab, driver: str, runtime: str
) -> None:
    kubelet = lab.kubelet(driver)
    pod = Pod("quiet", (Container("main", QUIET),), runtime=runtime)
    (main,) = kubelet.run_pod(pod)
    assert knob(main.path) == "1"
    at = kubelet.driver.pod_path(pod)
    while at:
        assert knob(at) == "0", at
        at = at.rpartition("/")[0]
    sandbox = kubelet.driver.process_path(pod, kubelet.sandboxes[pod.uid])
    assert knob(sandbox) == "0"
    assert (MOUNT / sandbox / "cgroup.procs").read_text().split(), "a real process"


def test_crun_under_systemd_has_knob_and_processes_one_level_below_the_scope(lab: Lab) -> None:
    kubelet = lab.kubelet("systemd")
    (main,) = kubelet.run_pod(Pod("deep", (Container("main", QUIET),), runtime="crun"))
    scope, _, child = main.path.rpartition("/")
    assert child == "container"
    assert scope.endswith(f"/crio-{main.container_id}.scope")
    assert (knob(scope), knob(main.path)) == ("0", "1")
    assert (MOUNT / scope / "cgroup.procs").read_text() == ""


@BOTH_RUNTIMES
def test_the_runtimes_1_comes_after_systemds_two_0_and_is_there_at_the_first_instruction(
    lab: Lab, runtime: str
) -> None:
    kubelet = lab.kubelet("systemd", systemd_writes=True)
    (main,) = kubelet.run_pod(Pod("scoped", (Container("main", QUIET),), runtime=runtime))
    assert kubelet.first_look(main) == "1"
    look = first_look(main.container_id)
    assert look is not None
    assert look[1] / 1e9 > main.started_s, "the same clock as the test's"


def test_single_process_oom_kill_leaves_the_knob_at_0(lab: Lab) -> None:
    kubelet = lab.kubelet(single_process_oom_kill=True)
    (main,) = kubelet.run_pod(Pod("since-1-32", (Container("main", QUIET),)))
    assert kubelet.first_look(main) == "0"


@BOTH_RUNTIMES
def test_a_resize_writes_limit_and_knob_of_the_running_container_again(lab: Lab, runtime: str) -> None:
    kubelet = lab.kubelet(status_delay_s=0.1)
    pod = Pod("resized", (Container("main", QUIET, 32), Container("other", QUIET, 32)), runtime=runtime)
    main, _ = kubelet.run_pod(pod)
    for limit_mib in (48, 24):
        (MOUNT / main.path / "memory.oom.group").write_text("0")
        pod = kubelet.resize(pod, "main", limit_mib)
        assert (MOUNT / main.path / "memory.max").read_text().strip() == str(limit_mib * MIB)
        assert (MOUNT / kubelet.driver.pod_path(pod) / "memory.max").read_text().strip() == str((32 + limit_mib) * MIB)
        assert knob(main.path) == "1"
    assert lab.published[-1]["spec"]["containers"][0]["resources"] == {"limits": {"memory": "24Mi"}}


def test_rewriters_write_what_was_measured_of_the_real_ones(lab: Lab) -> None:
    kubelet = lab.kubelet("systemd")
    first, second = kubelet.run_pod(Pod("two", (Container("a", QUIET), Container("b", QUIET))))
    rewriters.daemon_reload_and_sibling_restart([first])
    assert (knob(first.path), knob(second.path)) == ("0", "1")
    rewriters.static_cpu_policy([first, second])
    assert (knob(first.path), knob(second.path)) == ("1", "1")
    rewriters.set_property(second)
    assert knob(second.path) == "0"


def test_an_execed_process_is_in_the_containers_cgroup_and_its_kill_is_counted_there(lab: Lab) -> None:
    kubelet = lab.kubelet(status_delay_s=0.1)
    pod = Pod("execed", (Container("main", QUIET, 32),), restart_policy="Never")
    (main,) = kubelet.run_pod(pod)
    (MOUNT / main.path / "memory.oom.group").write_text("0")
    pid = kubelet.execute(main, "eat", "0", "a,task=b,pid=1", "2")
    assert str(pid) in processes(main)
    kubelet.wait_for(lambda: memory_events(main.path)["oom_kill"] == 1, 60)
    assert main.running
    kubelet.execute(main, "pause")
    kubelet.delete_pod(pod)
    assert main.exit_code == 137, "an exec'd process keeps no PID 1 from ending"


def test_a_kill_in_a_nested_cgroup_counts_for_the_container_and_a_thread_takes_its_process(lab: Lab) -> None:
    kubelet = lab.kubelet(single_process_oom_kill=True)
    nest, threads = Container("nest", ("nest", "0", "2"), 32), Container("threads", ("threads", "2", "0", "2"), 32)
    pod = Pod("inner", (nest, threads), restart_policy="Never")
    nested, threaded = kubelet.run_pod(pod)
    for instance in (nested, threaded):
        kubelet.wait_for(lambda at=instance.path: memory_events(at)["oom_kill"] == 1, 60)  # type: ignore[misc]
        assert instance.running
    assert memory_events(f"{nested.path}/inner")["oom_kill"] == 1
    assert "oom_kill 0" in (MOUNT / nested.path / "memory.events.local").read_text()


def test_a_limit_on_kubepods_alone_kills_in_pods_without_limits(lab: Lab) -> None:
    kubelet = lab.kubelet(prefix="kubelet", kubepods_limit_mib=48, status_delay_s=0.1)
    pod = Pod("best-effort", (Container("main", ("eat", "0", "eater", "2"), None),), restart_policy="Never")
    (main,) = kubelet.run_pod(pod)
    assert main.path.startswith("kubelet/kubepods/besteffort/pod")
    kubelet.wait_for(lambda: not main.running, 60)
    assert main.events["oom"] == 0
    assert memory_events("kubelet/kubepods")["oom"] >= 1


def test_init_sidecar_regular_and_ephemeral_containers_start_in_the_kubelets_order(lab: Lab) -> None:
    kubelet = lab.kubelet(status_delay_s=0.1)
    pod = Pod(
        "kinds",
        (
            Container("main", QUIET, 32),
            Container("setup", ("end", "0"), 32, "initContainers"),
            Container("proxy", QUIET, 32, "sidecar"),
        ),
        guaranteed=True,
        config_hash="0123456789abcdef0123456789abcdef",
    )
    started = kubelet.run_pod(pod)
    assert [(i.container, i.exit_code) for i in started] == [("setup", 0), ("proxy", None), ("main", None)]
    assert kubelet.driver.pod_path(pod) == "kubepods/pod0123456789abcdef0123456789abcdef", "static and Guaranteed"
    _, debug = kubelet.add_ephemeral(pod, Container("debug", QUIET, None))
    assert (knob(debug.path), debug.pod.containers[-1].kind) == ("1", "ephemeralContainers")
    kubelet.wait_for(lambda: debug.container_id in str(lab.statuses("kinds")), 60)
    statuses = lab.statuses("kinds")
    assert [s["name"] for s in statuses["initContainerStatuses"]] == ["setup", "proxy"]
    assert statuses["initContainerStatuses"][0]["state"]["terminated"]["reason"] == "Completed"
    assert statuses["ephemeralContainerStatuses"][0]["containerID"] == f"containerd://{debug.container_id}"


def test_statuses_tell_of_oom_kills_and_back_off_and_restarts_have_new_ids_and_cgroups(lab: Lab) -> None:
    kubelet = lab.kubelet(status_delay_s=0.0, backoff_factor=0.1)
    (first,) = kubelet.run_pod(Pod("looping", (Container("main", ("eat", "0", "eater", "0"), 16),)))
    kubelet.wait_for(lambda: len(kubelet.instances) == 3, 60)
    _, second, third = kubelet.instances
    assert not (MOUNT / first.path).exists()
    assert second.ended_s is not None
    assert third.started_s - second.ended_s >= 1.0, "10 s, a tenth of it"
    told = [
        status
        for pod in lab.published
        for status in pod["status"].get("containerStatuses", [])
        if status.get("containerID") == f"containerd://{second.container_id}"
    ]
    waiting = [s for s in told if s["state"].get("waiting", {}).get("reason") == "CrashLoopBackOff"]
    assert waiting
    assert waiting[0]["lastState"]["terminated"]["reason"] == "OOMKilled"
    assert waiting[0]["lastState"]["terminated"]["exitCode"] == 137
    assert waiting[0]["restartCount"] == 1
