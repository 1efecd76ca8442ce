"""NRI beside others: a plugin that sets the same key, and a runc that tells systemd what to do after an OOM kill."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from agent.kube.backoff import Backoff
from agent.metrics.metrics import Metrics
from agent.model import RuntimeConnected, RuntimeMessage
from agent.runtime.client import NriClient
from tests.kernel.conftest import FAMILY, MODE, Node
from tests.lab.containerd import NRI_SOCKET
from tests.lab.spec import Container, Pod
from tests.lab.systemd import in_tree
from tests.systemd.conftest import make_cri_node
from tests.systemd.test_nri import connected


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = make_cri_node(tmp_path_factory.mktemp("node"), "systemd", nri=True, status_delay_s=0.3, backoff_factor=0.1)
    node.start_agent()
    connected(node)
    yield node
    node.close()


@contextmanager
def other_plugin(index: str) -> Iterator[None]:
    """Sets memory.oom.group to 1 for every container, as memory-qos might."""
    ready = threading.Event()

    def put(message: RuntimeMessage) -> None:
        if isinstance(message, RuntimeConnected):
            ready.set()

    metrics = Metrics("other", process_metrics=False)
    plugin = NriClient(NRI_SOCKET, index, lambda *_: 1, put, metrics, Backoff())
    thread = threading.Thread(target=plugin.run)
    thread.start()
    try:
        assert ready.wait(20)
        yield
    finally:
        plugin.stop()
        thread.join()


@pytest.mark.parametrize("index", ["10", "95"], ids=["before us", "after us"])
def test_a_conflict_with_another_plugin_fails_one_creation_is_reported_and_not_repeated(node: Node, index: str) -> None:
    pod = Pod(f"conflict-{index}", (Container("main", ("pause",), 32),), labels={MODE: "single"}, runtime="crun")
    with other_plugin(index):
        with pytest.raises(grpc.RpcError):
            node.kubelet.run_pod(pod)
        main = node.kubelet.start_container(pod, pod.containers[0])
        node.kubelet.wait_for(lambda: node.knob(main.path) == "0", 10)
    node.agent.wait_for(lambda: node.events("OOMModeFailed", pod.name), 20, "reported")
    (event,) = node.events("OOMModeFailed", pod.name)
    assert "Another NRI plugin" in event["note"] or "another NRI plugin" in event["note"]
    assert node.agent.total("oomward_nri_failed_creations_total") >= 1


def test_with_the_next_runc_single_is_true_for_systemd_as_well(node: Node) -> None:
    """Without NRI its scope would have OOMPolicy=kill: systemd up to some version stops it after the kill of one process."""
    pod = Pod("next", (Container("main", FAMILY, 32),), labels={MODE: "single"}, runtime="runc-next")
    (main,) = node.kubelet.run_pod(pod)
    scope = Path(main.path).name
    assert in_tree("systemctl", "show", scope, "-p", "OOMPolicy").stdout.strip() == "OOMPolicy=continue"
    node.agent.wait_for(
        lambda: node.agent.total("oomward_oom_kill_outcomes_total", pod="next", outcome="survived") >= 1, 30, "survived"
    )
    assert main.running
    assert in_tree("systemctl", "show", scope, "-p", "ActiveState").stdout.strip() == "ActiveState=active"
