"""The runtime asks the agent by NRI: the mode is in force at the first instruction, whatever else has to be known for it otherwise."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from tests.kernel.conftest import FAMILY, MODE, Node
from tests.lab.crikubelet import CriKubelet
from tests.lab.kubelet import MOUNT
from tests.lab.spec import MIB, Container, Instance, Pod
from tests.lab.systemd import in_tree
from tests.systemd.conftest import DRIVERS, RUNTIMES, make_cri_node

QUIET = ("--mode-applied-events", "false")
STATUS_DELAY_S = 1.0  # the API names a container's id that late


@pytest.fixture(scope="module", params=DRIVERS)
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = make_cri_node(
        tmp_path_factory.mktemp("node"), request.param, nri=True, status_delay_s=STATUS_DELAY_S, backoff_factor=0.1
    )
    node.start_agent(*QUIET)
    connected(node)
    yield node
    node.close()


def connected(node: Node) -> None:
    """Wait until the runtime asks the agent."""
    node.agent.wait_for(lambda: node.agent.total("oomward_nri_connected") == 1, 60, "asked by the runtime")


def mixed(name: str, runtime: str, config_hash: str | None = None) -> Pod:
    """Two containers with the same limit and different modes, one of them by the pod's label."""
    containers = Container("main", ("pause",), 32), Container("sidecar", ("pause",), 32)
    labels, annotations = {MODE: "single"}, {"mode.oomward.dev/sidecar": "group"}
    return Pod(
        f"{name}-{runtime}",
        containers,
        labels=labels,
        annotations=annotations,
        runtime=runtime,
        config_hash=config_hash,
    )


def written(node: Node) -> float:
    return node.agent.total("oomward_oom_group_writes_total", outcome="written")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_mixed_modes_with_equal_limits_are_in_force_at_the_first_instruction(node: Node, runtime: str) -> None:
    main, sidecar = node.kubelet.run_pod(mixed("mixed", runtime))
    assert (node.kubelet.first_look(main), node.kubelet.first_look(sidecar)) == ("0", "1")
    assert node.agent.total("oomward_nri_answers_total", mode="single") >= 1


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_runtime_itself_writes_the_value_that_the_agent_asks_for(node: Node, runtime: str) -> None:
    """With an agent that watches no cgroup, so that it writes none."""
    node.agent.stop()
    node.start_agent(*QUIET, "--cgroup-root", "none/kubepods")
    connected(node)
    main, sidecar = node.kubelet.run_pod(mixed("by-runtime", runtime))
    assert (node.kubelet.first_look(main), node.kubelet.first_look(sidecar)) == ("0", "1")
    assert written(node) == 0
    node.agent.stop()
    node.start_agent(*QUIET)
    connected(node)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_pod_that_did_not_ask_has_the_kubelets_value(node: Node, runtime: str) -> None:
    (main,) = node.kubelet.run_pod(Pod(f"plain-{runtime}", (Container("main", ("pause",), 32),), runtime=runtime))
    assert node.kubelet.first_look(main) == "1"


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_resize_keeps_the_mode_and_the_new_limit(node: Node, runtime: str) -> None:
    pod = mixed("resized", runtime)
    main, sidecar = node.kubelet.run_pod(pod)
    node.kubelet.resize(pod, "main", 48)
    assert int((MOUNT / main.path / "memory.max").read_text()) == 48 * MIB
    assert (node.knob(main.path), node.knob(sidecar.path)) == ("0", "1")


def restarted(node: Node, pod: Pod, name: str, before: Instance) -> Instance:
    """The next instance of a container that was killed."""

    def successors() -> list[Instance]:
        return [
            i
            for i in node.kubelet.instances
            if i.pod.uid == pod.uid and i.container == name and i.restart > before.restart
        ]

    node.kubelet.wait_for(successors, 30)
    return successors()[-1]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_daemon_reload_and_a_siblings_restart_leave_the_modes_in_force(node: Node, runtime: str) -> None:
    pod = mixed("reloaded", runtime)
    main, sidecar = node.kubelet.run_pod(pod)
    in_tree("systemctl", "daemon-reload")
    node.kubelet.kill(sidecar)
    again = restarted(node, pod, "sidecar", sidecar)
    assert node.kubelet.first_look(again) == "1"
    node.kubelet.wait_for(lambda: (node.knob(main.path), node.knob(again.path)) == ("0", "1"), 5)


def test_one_process_is_killed_in_single_and_the_kill_has_its_name_before_the_api_has_it(node: Node) -> None:
    pod = Pod("named", (Container("main", FAMILY, 32), Container("other", ("pause",), 32)), labels={MODE: "single"})
    main, _ = node.kubelet.run_pod(pod)
    node.agent.wait_for(
        lambda: node.agent.total("oomward_oom_kills_total", pod="named", container="main") >= 1, 20, "counted"
    )
    assert main.running


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_an_opted_out_container_gets_the_kubelets_value_again_and_an_update_leaves_it(node: Node, runtime: str) -> None:
    pod = Pod(f"opts-out-{runtime}", (Container("main", ("pause",), 32),), labels={MODE: "single"}, runtime=runtime)
    (main,) = node.kubelet.run_pod(pod)
    node.agent.wait_for(lambda: pod.name in node.agent.get("/metrics")[1], 10, "known by name")
    node.kubelet.relabel(pod, labels={})
    node.kubelet.wait_for(lambda: node.knob(main.path) == "1", 10)
    assert isinstance(node.kubelet, CriKubelet)
    node.kubelet.cri("UpdateContainerResources", container_id=main.container_id, linux={"cpu_shares": 512})
    assert node.knob(main.path) == "1", "as the CPU manager updates: with no value of its own"


def test_a_static_pods_modes_are_in_force_at_the_first_instruction(node: Node) -> None:
    main, sidecar = node.kubelet.run_pod(mixed("static", "runc", config_hash="0123456789abcdef" * 2))
    assert (node.kubelet.first_look(main), node.kubelet.first_look(sidecar)) == ("0", "1")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_group_is_in_time_where_the_kubelet_asks_for_single_processes(node: Node, runtime: str) -> None:
    """singleProcessOOMKill: the kubelet asks for nothing."""
    kubelet = node.kubelet
    kubelet._group = False
    try:
        (main,) = kubelet.run_pod(
            Pod(f"grouped-{runtime}", (Container("main", ("pause",), 32),), labels={MODE: "group"}, runtime=runtime)
        )
        (plain,) = kubelet.run_pod(Pod(f"single-{runtime}", (Container("main", ("pause",), 32),), runtime=runtime))
    finally:
        kubelet._group = True
    assert (kubelet.first_look(main), kubelet.first_look(plain)) == ("1", "0")


def test_an_agent_that_is_killed_while_the_runtime_waits_for_it_neither_delays_nor_fails_a_container(
    node: Node,
) -> None:
    pod = Pod("orphan", (Container("main", ("pause",), 32),), labels={MODE: "single"})
    node.kubelet.run_pod(pod)  # else the runtime would wait with the sandbox
    pid = node.agent.process.pid
    os.kill(pid, signal.SIGSTOP)
    threading.Timer(0.5, os.kill, (pid, signal.SIGKILL)).start()
    _, late = node.kubelet.add_ephemeral(pod, Container("late", ("pause",), None, "ephemeralContainers"))
    node.agent.process.wait()
    node.start_agent(*QUIET)
    assert late.running
    log = node.kubelet.containerd.log()  # type: ignore[attr-defined]
    assert "failed to handle CreateContainer request: ttrpc: closed" in log, "the kill came while the runtime waited"
    assert "deadline exceeded" not in log, "it did not wait for its time-out"
    node.kubelet.wait_for(lambda: node.knob(late.path) == "0", 10)
    connected(node)


def test_a_restarted_containerd_asks_again(node: Node) -> None:
    before = node.agent.total("oomward_nri_disconnects_total")
    node.kubelet.containerd.restart()  # type: ignore[attr-defined]
    node.agent.wait_for(lambda: node.agent.total("oomward_nri_disconnects_total") > before, 20, "noticed the end")
    connected(node)
    main, sidecar = node.kubelet.run_pod(mixed("after-restart", "crun"))
    assert (node.kubelet.first_look(main), node.kubelet.first_look(sidecar)) == ("0", "1")


def test_without_the_api_modes_are_in_force_at_the_first_instruction(node: Node) -> None:
    """The last one: the API does not come back."""
    node.agent.stop()
    node.api.close()
    node.begin_agent(*QUIET)
    node.agent.wait_for(lambda: node.agent.get("/healthz")[0] == 200, 60, "alive")
    connected(node)
    main, sidecar = node.kubelet.run_pod(mixed("no-api", "runc"))
    assert (node.kubelet.first_look(main), node.kubelet.first_look(sidecar)) == ("0", "1")
    assert node.knob(main.path) == "0"
    (MOUNT / main.path / "memory.oom.group").write_text("1")
    node.kubelet.wait_for(lambda: node.knob(main.path) == "0", 5)
