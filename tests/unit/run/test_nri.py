"""The whole agent beside a stand-in for the runtime: it connects, answers from what the API reported, and lets go at its end."""

from __future__ import annotations

import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.loop import loop
from agent.runtime.client import NriClient
from agent.runtime.nri_pb2 import CreateContainerResponse
from tests.lab.apiserver import ApiServer
from tests.unit.patience import PATIENCE_S
from tests.unit.run.running import Agent
from tests.unit.run.test_run import CONTAINER, UID, herder
from tests.unit.runtime.standin import Standin
from tests.unit.runtime.wire import a_container, a_sandbox, create


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """The runtime's socket; its folder is short, as such a path must be."""
    with tempfile.TemporaryDirectory(prefix="nri") as folder, socket.socket(socket.AF_UNIX) as found:
        found.bind(str(Path(folder) / "nri.sock"))
        found.listen()
        found.settimeout(PATIENCE_S)
        yield found


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


def test_the_runtime_is_answered_before_it_creates_a_container(
    agent: Agent, api: ApiServer, listener: socket.socket
) -> None:
    api.put_pod(herder(mode="single"))
    question = create(a_container("a" * 64, "herder"), a_sandbox(uid=UID))

    def meanwhile() -> None:
        connection, _ = listener.accept()
        with connection:
            runtime = Standin(connection)
            assert runtime.registration().plugin_idx == "07"
            runtime.begin(registered=True)
            agent.ready()
            assert "asked by containerd 2.1.9" in agent.get("/readyz")[1]
            assert "oomward_nri_connected 1.0" in agent.get("/metrics")[1]
            answer = CreateContainerResponse.FromString(runtime.ask("CreateContainer", question).payload)
            assert answer.adjust.linux.resources.unified == {"memory.oom.group": "0"}
            agent.make(CONTAINER)
            agent.until(lambda: 'container="herder"' in agent.get("/metrics")[1], "named")
            assert agent.knob(CONTAINER) == "0"

    assert agent.run(meanwhile, nri_socket=listener.getsockname(), nri_index="07", nri="required") == 0
    assert _ends("NRI")


def _ends(name: str) -> bool:
    """Whether the thread ends by itself."""
    for thread in threading.enumerate():
        if thread.name == name:
            thread.join(PATIENCE_S)
    return name not in threads()


def test_the_agents_end_closes_the_connection(agent: Agent, listener: socket.socket) -> None:
    connections: list[Standin] = []

    def meanwhile() -> None:
        connection, _ = listener.accept()
        connections.append(Standin(connection))
        connections[0].begin()
        agent.ready()

    assert agent.run(meanwhile, nri_socket=listener.getsockname()) == 0
    with connections[0].connection:
        assert connections[0].receive() is None
    assert _ends("NRI")


def test_the_loops_housekeeping_looks_for_a_socket_that_appears_later(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    monkeypatch.setattr(loop, "HOUSEKEEPING_S", 0.02)
    monkeypatch.setattr(NriClient, "look", lambda _: looks.append(threading.current_thread().name))
    assert agent.run(lambda: agent.until(lambda: bool(looks), "looked for")) == 0
    assert set(looks) == {"MainThread"}


def test_turned_off_there_is_no_thread_and_nobody_connects(agent: Agent, listener: socket.socket) -> None:
    seen: set[str] = set()

    def meanwhile() -> None:
        agent.ready()
        seen.update(threads())

    assert agent.run(meanwhile, nri="off", nri_socket=listener.getsockname()) == 0
    assert "pod watch" in seen
    assert "NRI" not in seen
    listener.setblocking(False)
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_required_without_a_socket_the_agent_is_alive_and_not_ready(agent: Agent) -> None:
    def meanwhile() -> None:
        agent.until(lambda: "cgroups scanned" in agent.get("/readyz")[1], "scanned")
        agent.until(lambda: "pods listed" in agent.get("/readyz")[1], "listed")
        status, lines = agent.get("/readyz")
        assert status == 503
        assert "NRI is required, and the runtime does not ask: there is no socket yet" in lines
        assert agent.get("/healthz")[0] == 200

    assert agent.run(meanwhile, nri="required") == 0
