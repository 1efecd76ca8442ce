"""Exec against a server that misbehaves in every way: an answer is whole, or the node has not answered."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.fleet import FleetError
from agent.fleet.executing import ERROR, MOST_STDERR, STDERR, STDOUT, Finished, Output, execute, exit_code
from agent.fleet.frames import Message
from agent.fleet.stream import GUID, TookTooLongError, WebSocket
from tests.lab.apiexec import BINARY, Ending, Ran, frame
from tests.lab.apifaults import Fault, How
from tests.lab.apiserver import ApiServer
from tests.lab.kubectl import Proxy

OUTPUT = b"".join(b"line %d\n" % number for number in range(5000))


class World:
    def __init__(self, path: Path) -> None:
        self.server = ApiServer()
        self.server.start()
        self.path = str(path / "api")
        self.proxy = Proxy(self.path, self.server.url, self.server.token)
        self.words: list[str] = []

    def run(self, ran: Ran, *words: str, time_s: float = 5.0) -> Finished:
        def command(asked: object) -> Ran:
            self.words = list(asked)  # type: ignore[call-overload]
            return ran

        self.server.commands["oomward", "oomward-x"] = command
        return execute(self.path, "oomward", "oomward-x", "agent", words or ("oomward",), time.monotonic() + time_s)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.proxy.close()
    made.server.close()


def test_a_command_is_run_with_its_words_as_they_are(world: World) -> None:
    words = ("oomward", "history", "--pod", "a b&command=rm", "ü", "")
    world.run(Ran(), *words)
    assert world.words == [*words]
    asked = next(one for one in world.server.requests if one.path.endswith("/exec"))
    assert asked.query["container"] == "agent"
    assert asked.query["stdout"] == asked.query["stderr"] == "true"


def test_output_errors_and_exit_code_arrive(world: World) -> None:
    assert world.run(Ran(OUTPUT, b"oomward: hm\n", 1)) == Finished(OUTPUT, b"oomward: hm\n", 1)
    assert world.run(Ran()) == Finished(b"", b"", 0)


@pytest.mark.parametrize(
    "ran",
    [
        Ran(OUTPUT, frame_bytes=100),
        Ran(OUTPUT, frame_bytes=7000, fragments=5, pings=True),
        Ran(OUTPUT * 20, frame_bytes=1 << 20),
    ],
)
def test_output_is_whole_in_many_frames_with_pings_between(world: World, ran: Ran) -> None:
    assert world.run(ran).stdout == ran.stdout


def test_an_api_server_before_1_30_is_spoken_to_in_version_4(world: World) -> None:
    world.server.exec_protocols = ("v4.channel.k8s.io",)
    assert world.run(Ran(OUTPUT)).stdout == OUTPUT


@pytest.mark.parametrize("ending", [Ending.NO_CLOSE, Ending.STATUS_FIRST])
def test_a_status_without_an_end_or_before_the_output_is_enough(world: World, ending: Ending) -> None:
    begun_s = time.monotonic()
    assert world.run(Ran(OUTPUT, ending=ending)) == Finished(OUTPUT, b"", 0)
    assert time.monotonic() - begun_s < 4.0


@pytest.mark.parametrize(
    ("ending", "why"),
    [
        (Ending.HALF, "ended before the command did"),
        (Ending.CUT, "ended before the command did"),
        (Ending.GARBAGE, "can't be read"),
        (Ending.MASKED, "masked"),
        (Ending.ENDLESS, "more than"),
        (Ending.NO_STATUS_BODY, "the reason can't be read"),
        (Ending.NOT_WEBSOCKET, "200"),
        (Ending.OTHER_PROTOCOL, "does not speak exec's protocol"),
    ],
)
def test_half_an_answer_is_none(world: World, ending: Ending, why: str) -> None:
    with pytest.raises(FleetError, match=why):
        world.run(Ran(OUTPUT, ending=ending))


@pytest.mark.parametrize("ending", [Ending.SILENT, Ending.STALLED])
def test_a_silent_node_costs_its_own_time_only(world: World, ending: Ending) -> None:
    with pytest.raises(TookTooLongError):
        world.run(Ran(OUTPUT, ending=ending), time_s=0.2)


def test_a_server_that_does_not_shake_hands_costs_its_own_time_only(world: World) -> None:
    world.server.faults.add(Fault(How.SILENT, path="/api/v1/namespaces/oomward/pods/oomward-x/exec"))
    with pytest.raises(TookTooLongError):
        world.run(Ran(OUTPUT), time_s=0.2)


def test_a_connection_that_is_closed_without_an_answer_is_said_so(world: World) -> None:
    world.server.faults.add(Fault(How.CLOSE, path="/api/v1/namespaces/oomward/pods/oomward-x/exec"))
    with pytest.raises(FleetError, match="before there was an answer"):
        world.run(Ran(OUTPUT))


def test_frames_that_come_together_with_the_handshakes_answer_are_read(tmp_path: Path) -> None:
    """However many bytes they have: a fast server and a slow client."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    output = b"x" * 150_000

    def answer() -> None:
        head = theirs.recv(1 << 16)
        key = next(line for line in head.split(b"\r\n") if line.startswith(b"Sec-WebSocket-Key: "))[19:]
        accept = base64.b64encode(hashlib.sha1(key + GUID, usedforsecurity=False).digest())
        lines = [b"HTTP/1.1 101 Switching Protocols", b"Sec-WebSocket-Accept: " + accept, b"Sec-WebSocket-Protocol: v4"]
        theirs.sendall(b"\r\n".join(lines) + b"\r\n\r\n" + frame(BINARY, output))

    thread = threading.Thread(target=answer)
    with ours, theirs:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        web = WebSocket(_Late(ours, thread), time.monotonic() + 5.0, 1 << 20)  # type: ignore[arg-type]
        thread.start()
        messages = web.open("/", ("v4",))
        while not messages:
            messages = web.receive() or []
        thread.join()
    assert messages[0].data == output


@pytest.mark.parametrize(
    ("head", "why"),
    [
        ("HTTP/1.1 403 Forbidden", "^no$"),
        ("HTTP/1.1 403", "^no$"),
        ("HTTP/1.1 403 Forbidden\r\nContent-Length: 2", "^no$"),
        ("HTTP/1.1 403 Forbidden\r\nContent-Length: ²", "^no$"),
        (f"HTTP/1.1 403 Forbidden\r\nContent-Length: {'9' * 5000}", "^no$"),
        ("HTTP/1.1 ² Switching Protocols", "not HTTP"),
        (f"HTTP/1.1 {'9' * 5000} OK", "not HTTP"),
        ("HTTP/2 200 OK", "not HTTP"),
        ("SSH-2.0-OpenSSH", "not HTTP"),
        ("", "not HTTP"),
    ],
)
def test_any_head_of_an_answer_is_read_or_is_said_not_to_be_http(head: str, why: str) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(head.encode("latin-1") + b"\r\n\r\nno")
        theirs.shutdown(socket.SHUT_WR)
        web = WebSocket(ours, time.monotonic() + 5.0, 1 << 20)
        with pytest.raises(FleetError, match=why):
            web.open("/", ("v4",))


@pytest.mark.parametrize("code", ["1", 1, "²²", "", None, [], float("inf"), {}, "9" * 5000])
def test_any_exit_code_is_read_or_is_said_to_be_unreadable(code: object) -> None:
    details = {"causes": [{"reason": "ExitCode", "message": code}]}
    status = json.dumps({"status": "Failure", "reason": "NonZeroExitCode", "details": details}).encode()
    if code in ("1", 1):
        assert exit_code(status) == 1
    else:
        with pytest.raises(FleetError, match="reason can't be read"):
            exit_code(status)


class _Late:
    """A socket whose reader comes when everything has been sent, as far as it fits."""

    def __init__(self, real: socket.socket, thread: threading.Thread) -> None:
        self._real, self._thread = real, thread

    def recv(self, most: int) -> bytes:
        self._thread.join(0.2)
        return self._real.recv(most)

    def sendall(self, data: bytes) -> None:
        self._real.sendall(data)

    def settimeout(self, seconds: float) -> None:
        self._real.settimeout(seconds)


def test_a_refusal_is_the_servers_own_sentence(world: World) -> None:
    world.server.forbidden.add(("create", "pods/exec"))
    with pytest.raises(FleetError, match='cannot create resource "pods/exec"'):
        world.run(Ran(OUTPUT))


def test_a_refusal_by_a_proxy_is_its_text_safe_to_print(world: World) -> None:
    fault = Fault(How.BODY, path="/api/v1/namespaces/oomward", code=502, body=b"<html>\x1b[31m bad\n gateway</html>")
    world.server.faults.add(fault)
    with pytest.raises(FleetError) as raised:
        world.run(Ran(OUTPUT))
    assert str(raised.value) == "<html>\\x1b[31m bad gateway</html>"


def test_a_command_that_could_not_be_run_says_why(world: World) -> None:
    with pytest.raises(FleetError, match="could not be run: container is not running"):
        world.run(Ran(failure="container is not running"))


def test_an_answer_without_an_end_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.fleet.executing.MOST_STDOUT", 10_000)
    with pytest.raises(FleetError, match=r"its answer has more than 9\.8 KiB"):
        world.run(Ran(OUTPUT, frame_bytes=1000))


def test_noise_on_standard_error_is_bounded(world: World) -> None:
    done = world.run(Ran(b"{}", b"x" * (1 << 20)))
    assert done.stdout == b"{}"
    assert len(done.stderr) < 200_000


@pytest.mark.parametrize("channel", [STDOUT, STDERR, ERROR])
def test_messages_without_content_keep_nothing_and_a_full_channel_copies_nothing(channel: int) -> None:
    output = Output()
    whole = Message(BINARY, bytes([channel]) + b"x" * MOST_STDERR)
    output.take(whole)
    tracemalloc.start()
    for _ in range(20_000):
        output.take(Message(BINARY, bytes([channel])))
    kept, most = tracemalloc.get_traced_memory()
    if channel != STDOUT:
        for _ in range(100):
            output.take(Message(BINARY, bytes([channel]) + b"x"))
        _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 10_000
    assert most < 10_000


@pytest.mark.parametrize("piece", [1, 100, 1 << 20])
def test_a_head_is_read_however_it_is_cut(piece: int) -> None:
    ours, theirs = socket.socketpair()
    head = b"HTTP/1.1 403 Forbidden\r\nX: " + b"x" * 3000 + b"\r\nContent-Length: 4\r\n\r\nno!\n"
    with ours, theirs:
        web = WebSocket(ours, time.monotonic() + 10, 100)

        def serve() -> None:
            for at in range(0, len(head), piece):
                theirs.sendall(head[at : at + piece])

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(FleetError, match="no!"):
            web.open("/", ("v5",))
        thread.join()
