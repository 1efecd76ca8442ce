"""OOMPolicy of containers' scopes, with today's runtimes and an emulated next runc, and what comes of it when memory.oom.group is 0."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel.conftest import Node
from tests.lab.kubelet import MOUNT, memory_events
from tests.lab.spec import Container, Instance, Pod
from tests.lab.systemd import in_tree, properties, version
from tests.systemd.conftest import make_cri_node

LIMIT_MIB = 32
EATS_LATER = ("family", "2", "0", "100")  # three seconds until its limit: time to write before
DROP_IN = Path("/run/systemd/system/cri-containerd-.scope.d/10-oomward.conf")
# Measured: 257 stops a scope with OOMPolicy=kill when any of its processes is OOM-killed, 262 when the kernel killed it as a group.
STOPS_FOR_ONE_PROCESS = range(258)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = make_cri_node(tmp_path_factory.mktemp("node"), "systemd")
    yield node
    node.close()


@pytest.fixture
def drop_in() -> Iterator[None]:
    DROP_IN.parent.mkdir(parents=True)
    DROP_IN.write_text("[Scope]\nOOMPolicy=continue\n")
    in_tree("systemctl", "daemon-reload")
    yield
    DROP_IN.unlink()
    DROP_IN.parent.rmdir()
    in_tree("systemctl", "daemon-reload")


def started(node: Node, name: str, args: tuple[str, ...], runtime: str) -> Instance:
    (main,) = node.kubelet.run_pod(
        Pod(name, (Container("main", args, LIMIT_MIB),), runtime=runtime, restart_policy="Never")
    )
    return main


def policy(node: Node, instance: Instance) -> str:
    """That of its scope."""
    name = Path(node.kubelet.driver.container_path(instance.pod, instance.container_id)).name
    return properties(name, "OOMPolicy")["OOMPolicy"]


def killed_while_the_value_is_0(node: Node, name: str, *, stops: bool) -> tuple[str, bool]:
    """A child of a container is: the policy of its scope, and whether the rest survives. ``stops``: systemd is expected to stop it."""
    main = started(node, name, EATS_LATER, "runc-next")
    (MOUNT / main.path / "memory.oom.group").write_text("0")
    had = policy(node, main)
    pod = node.kubelet.driver.pod_path(main.pod)
    node.kubelet.wait_for(lambda: memory_events(pod)["oom_kill"], 30)
    assert memory_events(pod)["oom_group_kill"] == 0
    if stops:
        node.kubelet.wait_for(lambda: not main.running, 60)
    time.sleep(2)  # nothing else shows that systemd does nothing
    return had, main.running and (MOUNT / main.path).exists() and len(processes(main)) == 3


def processes(instance: Instance) -> list[str]:
    return (MOUNT / instance.path / "cgroup.procs").read_text().split()


@pytest.mark.parametrize(("runtime", "expected"), [("runc", "continue"), ("crun", "continue"), ("runc-next", "kill")])
def test_the_policy_that_a_scope_has_when_the_kubelet_asks_for_1(node: Node, runtime: str, expected: str) -> None:
    assert policy(node, started(node, f"policy-{runtime}", ("pause",), runtime)) == expected


def test_with_the_next_runc_the_value_0_is_not_enough_where_systemd_stops_the_scope(node: Node) -> None:
    stops = version() in STOPS_FOR_ONE_PROCESS
    assert killed_while_the_value_is_0(node, "next", stops=stops) == ("kill", not stops)


@pytest.mark.usefixtures("drop_in")
def test_a_drop_in_wins_over_the_next_runcs_policy(node: Node) -> None:
    assert killed_while_the_value_is_0(node, "next-with-drop-in", stops=False) == ("continue", True)
