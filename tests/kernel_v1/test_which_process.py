"""Which process was killed, on cgroup v1, which counts no limit that is reached: it was seen when its container was near the limit."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from agent.ledger import LedgerReader
from agent.loop.loop import HOUSEKEEPING_S
from agent.model import OomKill
from tests.kernel.conftest import MODE, Node, make_node
from tests.lab.spec import Container, Pod


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = make_node(tmp_path_factory.mktemp("node"), "systemd", status_delay_s=0.5)
    node.start_agent()
    yield node
    node.close()


def test_a_process_that_was_large_at_the_last_wake_up_is_known_when_it_is_killed(node: Node) -> None:
    pod = Pod("near", (Container("main", ("pause",), 64),), labels={MODE: "single"})
    instance = node.kubelet.run_pod(pod)[0]
    pid = node.kubelet.execute(instance, "eat", "55", "large", "0", "500")

    def kills() -> list[OomKill]:
        reader = LedgerReader(node.work / "state")
        found = reader.kills(pod="near", limit=10)
        reader.close()
        return found

    until_s = time.monotonic() + HOUSEKEEPING_S + 5
    node.agent.wait_for(lambda: time.monotonic() > until_s, HOUSEKEEPING_S + 30, "at its next wake-up")
    node.kubelet.execute(instance, "eat", "0", "small", "0")
    node.agent.wait_for(kills, 60, "a kill")
    (kill, *_) = kills()
    assert kill.victims[0].pid == pid
    assert kill.seen[0].pid == pid
    assert kill.seen[0].command.endswith("eat 55 large 0 500")
