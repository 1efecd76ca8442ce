"""Where the kernel's log can't be read only the counters tell which limit was hit, and what they don't prove is not known."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agent.model import OomKill, Scope
from tests.kernel.conftest import FAMILY, MODE, Node, make_node
from tests.kernel.test_kills import recorded
from tests.lab.spec import Container, Instance, Pod


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """No limit of a pod was ever hit on it, until a test has one hit."""
    node = make_node(tmp_path_factory.mktemp("node"), "systemd", status_delay_s=0.3)
    node.start_agent("--kmsg", "/nowhere")
    yield node
    node.close()


def start(node: Node, name: str, *args: str, limit_mib: int | None) -> Instance:
    (instance,) = node.kubelet.run_pod(Pod(name, (Container("main", args, limit_mib),), labels={MODE: "single"}))
    return instance


def out_of_memory(node: Node, name: str) -> OomKill:
    """The kill of a process that eats all that the node has."""
    instance = start(node, name, "pause", limit_mib=None)
    node.kubelet.execute(instance, "eat", "0", "glutton", "0", "1000")
    return the_kill(node, name)


def the_kill(node: Node, name: str) -> OomKill:
    node.agent.wait_for(lambda: node.events("ProcessOOMKilled", name), 90, "told")
    (kill,) = recorded(node, name)
    return kill


def note(node: Node, name: str) -> str:
    (event,) = node.events("ProcessOOMKilled", name)
    return str(event["note"])


def test_a_kill_on_a_node_where_no_limit_was_ever_hit_is_the_nodes(node: Node) -> None:
    assert out_of_memory(node, "shortage").scope is Scope.NODE
    assert "because the node was out of memory" in note(node, "shortage")
    assert node.agent.total("oomward_oom_kills_total", pod="shortage", scope="node") == 1


def test_a_kill_at_a_containers_limit_is_that_containers(node: Node) -> None:
    start(node, "limited", *FAMILY, limit_mib=64)
    assert the_kill(node, "limited").scope is Scope.CONTAINER
    assert "at the container's memory limit of 64 MiB" in note(node, "limited")


def test_right_after_a_limit_was_hit_somewhere_the_nodes_shortage_is_not_known_to_be_that(node: Node) -> None:
    assert out_of_memory(node, "perhaps").scope is None
    assert "Which limit was hit is not known" in note(node, "perhaps")
    assert node.agent.total("oomward_oom_kills_total", pod="perhaps", scope="unknown") == 1
