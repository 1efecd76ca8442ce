"""What stands between the agent and the runtime's NRI socket passes everything on, until it is told not to."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.soak.whole.nri import Proxy

Connect = Callable[[], tuple[socket.socket, socket.socket]]


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "real"))
        listener.listen()
        listener.settimeout(10)
        yield listener


@pytest.fixture
def proxy(tmp_path: Path, runtime: socket.socket) -> Iterator[Proxy]:
    made = Proxy(tmp_path / "proxy", tmp_path / "real")
    yield made
    made.go()


@pytest.fixture
def ends() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def connect(proxy: Proxy, runtime: socket.socket, ends: ExitStack) -> Connect:
    def connected() -> tuple[socket.socket, socket.socket]:
        agent = ends.enter_context(socket.socket(socket.AF_UNIX))
        agent.settimeout(10)
        agent.connect(str(proxy.path))
        other = ends.enter_context(runtime.accept()[0])
        other.settimeout(10)
        return agent, other

    return connected


def test_it_passes_on_what_either_side_sends(connect: Connect) -> None:
    agent, other = connect()
    agent.sendall(b"register")
    assert other.recv(100) == b"register"
    other.sendall(b"configure")
    assert agent.recv(100) == b"configure"


def test_a_cut_ends_both_sides_and_the_next_connection_is_fine(proxy: Proxy, connect: Connect) -> None:
    agent, other = connect()
    agent.sendall(b"1")
    assert other.recv(1) == b"1"
    proxy.cut()
    assert agent.recv(1) == other.recv(1) == b""
    agent, other = connect()
    agent.sendall(b"2")
    assert other.recv(1) == b"2"
    (first, second) = proxy.lives
    assert proxy.lived(first[0], first[1])
    assert proxy.lived(second[0], time.monotonic())
    assert not proxy.lived(first[0], second[0])


def test_what_is_sent_while_it_hangs_comes_late(proxy: Proxy, connect: Connect) -> None:
    agent, other = connect()
    agent.sendall(b"0")
    assert other.recv(1) == b"0"
    hanging = threading.Thread(target=proxy.hang, args=(0.3,))
    began_s = time.monotonic()
    hanging.start()
    agent.sendall(b"1")
    assert other.recv(1) == b"1"
    hanging.join()
    assert time.monotonic() - began_s >= 0.3


def test_a_socket_that_went_can_come_back(proxy: Proxy, connect: Connect) -> None:
    agent, _ = connect()
    proxy.go()
    assert agent.recv(1) == b""
    assert not proxy.path.exists()
    proxy.come()
    agent, other = connect()
    agent.sendall(b"1")
    assert other.recv(1) == b"1"
