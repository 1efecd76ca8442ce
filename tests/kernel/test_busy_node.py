"""Coming first on a node whose processors are all busy: modes in time, a ready agent, and what both must not cost the workloads."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.kernel.busy import burn, late_starts, policies
from tests.kernel.profiled import ProfiledNode, make_profiled_node, messages
from tests.lab import profiles
from tests.lab.profiles import Profile

FULL, LEAST = profiles.full(), profiles.least()
REQUEST = b"GET /healthz HTTP/1.1\r\nHost: node\r\n\r\n"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProfiledNode]:
    node = make_profiled_node(tmp_path_factory.mktemp("node"), "systemd", status_delay_s=0.3)
    burn(node)
    yield node
    node.close()


@pytest.mark.parametrize("profile", [FULL, LEAST], ids=["full", "least-privilege"])
def test_containers_have_their_mode_at_their_first_instruction(node: ProfiledNode, profile: Profile) -> None:
    node.start(profile, name=profile.name)
    assert policies(node) == {os.SCHED_RR}, "all threads, since the interpreter's lock may be with any of them"
    assert node.agent.total("oomward_realtime_priority_active") == 1
    assert late_starts(node, profile.name) == []


def test_its_commands_answer_as_well(node: ProfiledNode) -> None:
    """Which took minutes, when it is on such a node that somebody asks."""
    assert "round-robin: the agent runs before the node's workloads" in node.agent.oomward("check").stdout


def test_a_flood_of_requests_is_not_paid_for_by_the_workloads(node: ProfiledNode) -> None:
    """The agent gives up coming first while it needs more than half of a processor, and takes it again afterwards."""
    agent = node.start(FULL, name="flood")
    over = threading.Event()

    def flood() -> None:
        """Many requests per write cost the client little, so that it is the agent that needs the processor, however slow the machine is."""
        while not over.is_set():
            with suppress(ConnectionError), socket.create_connection(("127.0.0.1", agent.port)) as connection:
                while not over.is_set():
                    connection.sendall(REQUEST * 20)
                    if not connection.recv(1 << 20):
                        break  # the agent ends connections that last long

    clients = [threading.Thread(target=flood) for _ in range(4)]
    for client in clients:
        client.start()
    try:
        agent.wait_for(lambda: policies(node) == {os.SCHED_OTHER}, 60, "stood back")
    finally:
        over.set()
        for client in clients:
            client.join()
    agent.wait_for(lambda: "of a processor" in messages(agent, "warning"), 60, "which it says, when it has its turn")
    agent.wait_for(lambda: policies(node) == {os.SCHED_RR}, 60, "first again")
    assert agent.total("oomward_realtime_priority_suspensions_total") >= 1
