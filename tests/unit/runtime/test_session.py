"""One connection, over a real socket, to a runtime that behaves, and to runtimes that do not: each ends with the reason, none hangs."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from agent.model import ContainerCreating, RuntimeMessage
from agent.runtime import session
from agent.runtime.frames import HEADER, BrokenStreamError
from agent.runtime.nri_pb2 import CreateContainerResponse
from agent.runtime.plugin import SERVICE, Plugin
from agent.runtime.session import RefusedError, serve
from agent.runtime.ttrpc import request, response
from tests.unit.patience import PATIENCE_S
from tests.unit.runtime.standin import PLUGIN, RUNTIME, Standin
from tests.unit.runtime.wire import about, create, frame


class Served:
    """``serve`` in a thread; the test is the runtime."""

    def __init__(self) -> None:
        self.ours, theirs = socket.socketpair()
        self.runtime = Standin(theirs)
        self.messages: list[RuntimeMessage] = []
        self.seconds: list[float] = []
        self.plugin = Plugin(lambda *_: 0, self.messages.append)
        self._outcome: str | BaseException = "it has not ended"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with self.ours:
            try:
                self._outcome = serve(self.ours, "42", self.plugin, self.seconds.append)
            except BaseException as error:  # noqa: BLE001 - raised in the test thread below
                self._outcome = error

    def ended(self) -> str:
        """Why it ended by itself; raises what it raised."""
        self._thread.join(PATIENCE_S)
        if isinstance(self._outcome, BaseException):
            raise self._outcome
        return self._outcome

    def close(self) -> None:
        self.runtime.connection.close()
        self._thread.join(PATIENCE_S)


@pytest.fixture
def served() -> Iterator[Served]:
    one = Served()
    yield one
    one.close()


def test_it_registers_with_its_name_and_index_before_anything_else(served: Served) -> None:
    found = served.runtime.registration()
    assert (found.plugin_name, found.plugin_idx) == ("oomward", "42")


def test_each_question_is_answered_and_the_time_it_took_is_measured(served: Served) -> None:
    served.runtime.begin()
    answer = CreateContainerResponse.FromString(served.runtime.ask("CreateContainer", create()).payload)
    assert answer.adjust.linux.resources.unified == {"memory.oom.group": "0"}
    assert isinstance(served.messages[-1], ContainerCreating)
    assert served.runtime.ask("PostCreateContainer", about()).payload == b""
    served.runtime.connection.close()
    assert served.ended() == "the runtime closed the connection"
    assert len(served.seconds) == 4
    assert all(0 <= each < PATIENCE_S for each in served.seconds)


def test_a_method_that_we_do_not_have_gets_an_error_and_the_next_one_its_answer(served: Served) -> None:
    served.runtime.begin()
    assert served.runtime.ask("StopPodSandbox", about()).error == "method StopPodSandbox is not implemented"
    assert served.runtime.ask("Shutdown").error == ""


def test_questions_that_come_together_or_in_pieces_are_each_answered(served: Served) -> None:
    served.runtime.begin()
    first, second = (request(stream, SERVICE, "Shutdown", b"") for stream in (101, 103))
    served.runtime.connection.sendall(frame(PLUGIN, first + second[:7]) + frame(PLUGIN, second[7:]))
    received = [served.runtime.receive() for _ in range(2)]
    assert [found[1].stream for found in received if found is not None] == [101, 103]


def test_before_the_list_of_pods_it_does_not_wait_forever_after_it_does(served: Served) -> None:
    served.runtime.registration()
    served.runtime.call("Configure")
    assert served.runtime.receive() is not None
    assert served.ours.gettimeout() == session.REGISTERED_WITHIN_S
    served.runtime.ask("Synchronize")
    served.runtime.ask("Shutdown")  # so that what follows the answer before is done
    assert served.ours.gettimeout() is None


@pytest.mark.parametrize("after", [b"", b"\0\0", HEADER.pack(PLUGIN, 100), HEADER.pack(PLUGIN, 100) + b"half"])
def test_a_runtime_that_closes_in_the_middle_of_a_frame_has_closed(served: Served, after: bytes) -> None:
    served.runtime.begin()
    served.runtime.connection.sendall(after)
    served.runtime.connection.close()
    assert served.ended() == "the runtime closed the connection"


@pytest.mark.parametrize(
    ("garbage", "why"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "a frame of 7\\d{8} bytes"),
        (b"\xff" * 8, "a frame of 4294967295 bytes"),
        (frame(PLUGIN, b"\xff" * 10), "a message of 4294967295 bytes"),
        (frame(PLUGIN, b"\0\0\0\x01" + b"\0\0\0\x01" + b"\x01\0" + b"\xff"), "a message that is no protobuf"),
        (frame(PLUGIN, request(1, "other.Service", "Configure", b"")), "a call of service 'other.Service'"),
        (frame(PLUGIN, request(1, SERVICE, "Configure", b"\xff")), "its Configure can't be read"),
    ],
)
def test_garbage_ends_the_connection_with_the_reason(served: Served, garbage: bytes, why: str) -> None:
    served.runtime.registration()
    served.runtime.connection.sendall(garbage)
    with pytest.raises(BrokenStreamError, match=why):
        served.ended()
    assert served.runtime.receive() is None, "it is closed for the runtime too"


def test_a_service_name_without_an_end_is_cut_in_the_reason(served: Served) -> None:
    served.runtime.call("Configure", service="x" * 100_000)
    with pytest.raises(BrokenStreamError) as caught:
        served.ended()
    assert len(str(caught.value)) < 200


def test_a_runtime_that_never_answers_the_registration_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "REGISTERED_WITHIN_S", 0.01)
    with closing(Served()) as served, pytest.raises(TimeoutError):
        served.ended()


def test_a_runtime_that_configures_and_never_lists_its_pods_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "REGISTERED_WITHIN_S", 0.05)
    with closing(Served()) as served:
        served.runtime.call("Configure")
        with pytest.raises(TimeoutError):
            served.ended()
        assert not served.plugin.synchronized


def test_a_runtime_that_refuses_the_registration_is_quoted(served: Served) -> None:
    served.runtime.registration()
    served.runtime.refuse("plugin 42-oomward is already registered")
    with pytest.raises(RefusedError, match=r"^plugin 42-oomward is already registered$"):
        served.ended()


def test_an_error_on_the_plugins_own_connection_is_no_refusal(served: Served) -> None:
    """We call nothing there."""
    served.runtime.begin()
    body = b"\x0a\x02\x08\x03"
    served.runtime.send(PLUGIN, struct.pack(">IIBB", len(body), 1, 2, 0) + body)
    assert served.runtime.ask("Shutdown").error == ""


def test_calls_on_the_runtimes_connection_are_not_answered(served: Served) -> None:
    served.runtime.begin()
    served.runtime.send(RUNTIME, request(1, SERVICE, "CreateContainer", create()))
    assert served.runtime.ask("Shutdown").error == ""
    assert not any(isinstance(message, ContainerCreating) for message in served.messages)


@pytest.mark.parametrize("number", [0, 3, 2**32 - 1])
def test_frames_of_connections_that_nobody_opened_are_left_out(served: Served, number: int) -> None:
    served.runtime.begin()
    served.runtime.send(number, b"\xff" * 50)
    served.runtime.send(number, response(1, b""))
    assert served.runtime.ask("Shutdown").error == ""


def test_a_runtime_that_does_not_read_is_given_up_after_its_own_time_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert struct.unpack("ll", session.SENT_WITHIN) == (2, 0)
    monkeypatch.setattr(session, "SENT_WITHIN", struct.pack("ll", 0, 1000))
    with closing(Served()) as served:
        served.runtime.begin()
        flood(served)
        with pytest.raises(BlockingIOError):
            served.ended()


def test_a_runtime_that_does_not_read_before_the_list_of_pods_is_given_up_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "REGISTERED_WITHIN_S", 0.05)
    with closing(Served()) as served:
        flood(served)
        with pytest.raises(TimeoutError):
            served.ended()


def flood(served: Served) -> None:
    """Calls without reading the answers, until the plugin has closed the connection."""
    with suppress(OSError):
        while True:
            served.runtime.call("UnknownMethod" * 100)
