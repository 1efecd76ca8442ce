"""The socket: who may ask, and that no client costs the others or the agent anything."""

from __future__ import annotations

import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from agent.commands.asking import NoAgentError, ask
from agent.serve import protocol, server
from agent.serve.protocol import MOST_REQUEST_BYTES, SOCKET
from agent.serve.server import MOST_CLIENTS, CommandServer
from agent.wording.view import Shown
from tests.unit.patience import PATIENCE_S, wait_until

ANSWER = protocol.answer_line(Shown({"containers": []}, None, []), document=True)
Start = Callable[..., CommandServer]


class Asked(list[bytes]):
    """The requests."""

    def take(self, line: bytes) -> bytes:
        self.append(line)
        return ANSWER


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as ends:

        def started(
            answer: Callable[[bytes], bytes] = lambda _: ANSWER, client_time_s: float = PATIENCE_S
        ) -> CommandServer:
            found = CommandServer(tmp_path, answer, client_time_s=client_time_s)
            ends.callback(found.close)
            found.start()
            return found

        yield started


def connected(state: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(PATIENCE_S)
    with protocol.socket_path(str(state)) as address:
        connection.connect(address)
    return connection


def received(connection: socket.socket) -> bytes:
    """All until the end."""
    pieces = []
    with connection, suppress(ConnectionResetError):  # if it left something unread
        while piece := connection.recv(1 << 16):
            pieces.append(piece)
    return b"".join(pieces)


def answered(state: Path) -> bool:
    return ask(str(state), "ps", {}, document=True, time_s=PATIENCE_S).document == {"containers": []}


def test_a_question_is_answered_and_the_socket_is_roots_alone(start: Start, tmp_path: Path) -> None:
    asked = Asked()
    start(asked.take)
    assert answered(tmp_path)
    assert protocol.read_request(asked[0]) == ("ps", {}, True)
    mode = (tmp_path / SOCKET).stat().st_mode
    assert (stat.S_ISSOCK(mode), stat.S_IMODE(mode)) == (True, 0o600)


def test_a_state_folder_with_a_longer_path_than_a_socket_may_have_has_one_all_the_same(tmp_path: Path) -> None:
    state = tmp_path / ("x" * 120)
    state.mkdir()
    served = CommandServer(state, lambda _: ANSWER)
    served.start()
    assert (served.trouble, answered(state)) == (None, True)
    served.close()
    assert list(state.iterdir()) == []


def test_a_socket_that_a_killed_agent_left_is_replaced_and_one_that_ends_removes_its_own(
    start: Start, tmp_path: Path
) -> None:
    left = socket.socket(socket.AF_UNIX)
    with protocol.socket_path(str(tmp_path)) as address:
        left.bind(address)
    left.close()
    with pytest.raises(NoAgentError, match="Connection refused"):
        answered(tmp_path)
    started = start()
    assert answered(tmp_path)
    started.close()
    assert not (tmp_path / SOCKET).exists()
    with pytest.raises(NoAgentError, match="No such file"):
        answered(tmp_path)


def test_something_else_of_that_name_is_left_alone_and_said(start: Start, tmp_path: Path) -> None:
    (tmp_path / SOCKET).write_text("precious")
    assert "something else has this name" in str(start().trouble)
    assert (tmp_path / SOCKET).read_text() == "precious"


def test_without_a_folder_to_write_to_the_agent_goes_on_and_says_so(tmp_path: Path) -> None:
    without = CommandServer(tmp_path / "none", lambda _: ANSWER)
    without.start()
    assert "no socket for commands" in str(without.trouble)
    without.close()


def test_another_user_is_refused(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "peer_uid", lambda _: os.geteuid() + 1)
    asked = Asked()
    start(asked.take)
    with pytest.raises(NoAgentError, match="only root may ask the agent"):
        answered(tmp_path)
    assert asked == []


def test_the_kernel_says_who_the_peer_is() -> None:
    one, other = socket.socketpair()
    assert server.peer_uid(one) == os.geteuid()
    one.close()
    other.close()


def test_clients_that_send_nothing_or_read_nothing_keep_nobody_waiting(start: Start, tmp_path: Path) -> None:
    long = protocol.answer_line(Shown({"containers": ["x" * 1_000_000]}, None, []), document=True)
    start(lambda line: long if b"explain" in line else ANSWER)
    with ExitStack() as stack:
        for number in range(3 * MOST_CLIENTS):
            idle = stack.enter_context(connected(tmp_path))
            if number % 2:
                idle.sendall(protocol.request_line("explain", {"pod": "a"}, document=True))
            assert answered(tmp_path)


def test_of_too_many_clients_the_oldest_is_disconnected_and_the_newest_is_served(start: Start, tmp_path: Path) -> None:
    start()
    clients = [connected(tmp_path) for _ in range(MOST_CLIENTS + 1)]
    assert received(clients[0]) == b""
    clients[-2].sendall(protocol.request_line("ps", {}, document=True))
    assert received(clients[-2]) == ANSWER
    for client in clients:
        client.close()


def test_answers_that_nobody_takes_are_given_up_before_they_are_too_much(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MOST_ANSWER_BYTES", 2_500_000)
    long = protocol.answer_line(Shown({"containers": ["x" * 1_000_000]}, None, []), document=True)
    found = start(lambda _: long)
    waiting = [connected(tmp_path) for _ in range(5)]
    for one in waiting:
        one.sendall(protocol.request_line("ps", {}, document=True))
    wait_until(lambda: len(found._clients) == 2, "the oldest disconnected")
    assert [len(received(one)) == len(long) for one in waiting] == [False, False, False, True, True]


def test_a_client_has_a_time_for_everything(start: Start, tmp_path: Path) -> None:
    start(client_time_s=0.05)
    slow = connected(tmp_path)
    slow.sendall(b'{"oomward"')
    assert received(slow) == b""
    assert answered(tmp_path)


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (b"x" * (MOST_REQUEST_BYTES + 5), "at most 8192 bytes"),
        (b"{}\n{}\n", "for one request"),
    ],
)
def test_a_client_that_sends_too_much_is_refused(sent: bytes, why: str, start: Start, tmp_path: Path) -> None:
    start()
    client = connected(tmp_path)
    client.sendall(sent)
    with pytest.raises(protocol.RefusedError, match=why):
        protocol.read_answer(received(client))
    assert answered(tmp_path)


def test_a_client_that_leaves_in_the_middle_is_no_trouble(start: Start, tmp_path: Path) -> None:
    going = threading.Event()
    start(lambda line: (going.wait(PATIENCE_S) if b"explain" in line else None, ANSWER)[1])
    connected(tmp_path).close()
    client = connected(tmp_path)
    client.sendall(protocol.request_line("explain", {}, document=True))
    client.close()
    going.set()
    assert answered(tmp_path)


def test_an_answer_that_waits_does_not_keep_the_agent_from_ending(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "END_WAIT_S", 0.01)
    asked, ended = threading.Event(), threading.Event()

    def answer(_: bytes) -> bytes:
        asked.set()
        ended.wait(PATIENCE_S)
        return ANSWER

    waiting = start(answer)
    with connected(tmp_path) as client:
        client.sendall(protocol.request_line("ps", {}, document=True))
        assert asked.wait(PATIENCE_S)
        waiting.close()
        assert not (tmp_path / SOCKET).exists()
        ended.set()


def test_whatever_fails_in_the_socket_s_thread_the_next_client_is_served(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server, "ACCEPT_PAUSE_S", 0.0)
    failing = [True]

    def answer(_: bytes) -> bytes:
        if failing.pop() if failing else False:
            raise MemoryError
        return ANSWER

    start(answer)
    with pytest.raises(NoAgentError):
        answered(tmp_path)
    assert answered(tmp_path)
    assert "the socket for commands failed" in caplog.text


def test_without_descriptors_a_client_waits_and_is_served_later(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "ACCEPT_PAUSE_S", 0.01)
    failures = [OSError(24, "Too many open files")] * 2
    real = socket.socket.accept

    def accept(self: socket.socket) -> object:
        if failures:
            raise failures.pop()
        return real(self)

    monkeypatch.setattr(socket.socket, "accept", accept)
    start()
    assert answered(tmp_path)
    assert failures == []
