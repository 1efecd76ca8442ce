"""The pages: each says what it is, wrong ones say so, and no client can hold up another."""

from __future__ import annotations

import contextlib
import selectors
import socket
import socketserver
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from agent.metrics import answering, http
from agent.metrics.http import MOST_CLIENTS, ListenError, StatusServer
from agent.metrics.metrics import Metrics
from tests.unit.patience import PATIENCE_S


class State:
    """What the pages are made of."""

    good = True


@pytest.fixture
def state() -> State:
    return State()


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No client of these tests loses its connection because the machine is busy."""
    monkeypatch.setattr(answering, "CLIENT_TIME_S", PATIENCE_S)
    monkeypatch.setattr(http, "PLACE_WAIT_S", PATIENCE_S)


@pytest.fixture
def server(state: State) -> Iterator[StatusServer]:
    def page(accept: str) -> tuple[str, bytes]:
        return "text/plain", f"metrics for {accept}".encode()

    server = StatusServer(
        ("127.0.0.1", 0), page, lambda: (state.good, "loop: fine"), lambda: (state.good, "pods listed")
    )
    server.start()
    yield server
    server.close()


def get(server: StatusServer, path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
    host, port = server.server_name, server.server_port
    request = urllib.request.Request(f"http://{host}:{port}{path}", headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_metrics_get_the_format_of_the_accept_header_and_there_are_two(server: StatusServer) -> None:
    assert get(server, "/metrics", Accept="a/b") == (200, "metrics for ")
    asked = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8,text/plain;q=0.5"
    assert get(server, "/metrics", Accept=asked) == (200, "metrics for application/openmetrics-text; version=1.0.0")
    assert get(server, "/metrics", Accept="application/openmetrics-text;q=0.0") == (200, "metrics for ")


def test_health_and_readiness_explain_themselves_good_and_bad(server: StatusServer, state: State) -> None:
    assert get(server, "/healthz") == (200, "ok\nloop: fine\n")
    state.good = False
    assert get(server, "/healthz") == (503, "not ok\nloop: fine\n")
    assert get(server, "/readyz") == (503, "not ok\npods listed\n")


def test_other_paths_are_not_metrics(server: StatusServer) -> None:
    assert get(server, "/")[0] == 200
    code, body = get(server, "/metricsx")
    assert code == 404
    assert "/metrics" in body


def test_head_has_no_body(server: StatusServer) -> None:
    assert get(server, "/metrics", method="HEAD") == (200, "")


def test_a_client_that_says_nothing_holds_up_nobody(server: StatusServer) -> None:
    silent = [socket.create_connection((server.server_name, server.server_port)) for _ in range(5)]
    assert get(server, "/healthz")[0] == 200
    for connection in silent:
        connection.close()


def test_a_port_that_is_taken_is_said_with_what_to_do(server: StatusServer) -> None:
    with pytest.raises(ListenError, match=r"another agent or exporter may be there; .* --listen"):
        StatusServer(
            (server.server_name, server.server_port), lambda _: ("", b""), lambda: (True, ""), lambda: (True, "")
        )


def test_an_address_that_is_not_this_machine_s_is_not_blamed_on_another_agent() -> None:
    with pytest.raises(ListenError, match=r"192\.0\.2\.1:9797 \(Cannot assign requested address\): choose another"):
        StatusServer(("192.0.2.1", 9797), lambda _: ("", b""), lambda: (True, ""), lambda: (True, ""))


def ask(server: StatusServer, request: bytes) -> bytes:
    """The answer byte for byte, until the server closes."""
    with socket.create_connection((server.server_name, server.server_port), timeout=PATIENCE_S) as connection:
        connection.sendall(request)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    return answer


def test_head_has_the_head_of_the_page_and_nothing_after(server: StatusServer) -> None:
    head, _, body = ask(server, b"HEAD /healthz HTTP/1.0\r\n\r\n").partition(b"\r\n\r\n")
    assert b"Content-Length: 14" in head
    assert body == b""


def test_a_head_of_a_page_that_is_not_good_says_so_too(server: StatusServer, state: State) -> None:
    state.good = False
    assert b" 503 " in ask(server, b"HEAD /readyz HTTP/1.0\r\n\r\n").splitlines()[0]


def test_a_query_does_not_change_the_page(server: StatusServer) -> None:
    assert get(server, "/healthz?verbose") == (200, "ok\nloop: fine\n")


def test_nothing_can_be_posted(server: StatusServer) -> None:
    assert get(server, "/metrics", method="POST")[0] == 501


def test_prometheus_gets_the_format_that_it_asks_for() -> None:
    metrics = Metrics("1", process_metrics=False)
    server = StatusServer(("127.0.0.1", 0), metrics.page, lambda: (True, ""), lambda: (True, ""))
    server.start()
    host, port = server.server_name, server.server_port
    for accept, wanted in (
        ("application/openmetrics-text;version=1.0.0", "application/openmetrics-text"),
        ("", "text/plain"),
    ):
        request = urllib.request.Request(f"http://{host}:{port}/metrics", headers={"Accept": accept})
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            assert answer.headers["Content-Type"].startswith(wanted)
            assert (b"# EOF" in answer.read()) == ("openmetrics" in wanted)
    server.close()


def test_one_client_too_many_costs_the_longest_waiting_its_place(server: StatusServer) -> None:
    """So whoever holds connections open can't keep the kubelet's probes out."""
    silent = [
        socket.create_connection((server.server_name, server.server_port), timeout=PATIENCE_S)
        for _ in range(MOST_CLIENTS)
    ]
    assert get(server, "/healthz")[0] == 200
    assert silent[0].recv(1) == b"", "the oldest was sent away"
    last = silent[-1]
    last.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
    assert last.recv(12) == b"HTTP/1.1 200", "the newest was not"
    for connection in silent:
        connection.close()


def test_probes_are_answered_however_many_clients_wait(server: StatusServer) -> None:
    silent = [
        socket.create_connection((server.server_name, server.server_port), timeout=PATIENCE_S)
        for _ in range(3 * MOST_CLIENTS)
    ]
    for _ in range(3 * MOST_CLIENTS):
        assert get(server, "/healthz")[0] == 200
    for connection in silent:
        connection.close()


class HandSet:
    """Stands for the module ``time``: monotonic() is what the test says. ``asked`` is set by each call."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.asked = threading.Event()

    def monotonic(self) -> float:
        now_s = self.now_s
        self.asked.set()
        return now_s


def test_a_client_that_dribbles_has_no_more_time_than_one_that_is_silent(
    server: StatusServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A time-out for each read would begin again with every byte; here all bytes together have one."""
    clock = HandSet()
    monkeypatch.setattr(answering, "time", clock)
    with socket.create_connection((server.server_name, server.server_port), timeout=PATIENCE_S / 2) as connection:
        assert clock.asked.wait(PATIENCE_S), "its time begins with the connection"
        for _ in range(4):
            clock.now_s += PATIENCE_S / 4
            dribble(connection)
        assert is_sent_away(connection)


def dribble(connection: socket.socket) -> None:
    """One more byte; the server may have closed the connection already."""
    with contextlib.suppress(ConnectionError):
        connection.sendall(b"x")


def is_sent_away(connection: socket.socket) -> bool:
    """Whether the server closes the connection. One that it closes with a byte unread is reset. Raises TimeoutError if it doesn't."""
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def test_a_silent_client_is_sent_away_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "CLIENT_TIME_S", 0.3)
    server = StatusServer(("127.0.0.1", 0), lambda _: ("", b""), lambda: (True, ""), lambda: (True, ""))
    server.start()
    began = time.monotonic()
    with socket.create_connection((server.server_name, server.server_port), timeout=PATIENCE_S) as connection:
        assert connection.recv(1) == b""
    assert time.monotonic() - began >= 0.3
    server.close()


def test_a_client_that_does_not_read_has_no_more_time_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "CLIENT_TIME_S", 0.3)
    large = b"x" * (64 << 20)
    left = threading.Event()
    server = StatusServer(("127.0.0.1", 0), lambda _: ("", large), lambda: (True, ""), lambda: (True, ""))
    leave = server._leave

    def leave_and_tell(request: socket.socket) -> None:
        leave(request)
        left.set()

    monkeypatch.setattr(server, "_leave", leave_and_tell)
    server.start()
    with socket.create_connection((server.server_name, server.server_port), timeout=PATIENCE_S) as connection:
        connection.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        assert left.wait(PATIENCE_S), "its place is free again though it never read"
    server.close()


def test_a_page_that_fails_is_a_500_that_the_log_explains_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    def broken(_accept: str) -> tuple[str, bytes]:
        raise ValueError("secret of the page")

    server = StatusServer(("127.0.0.1", 0), broken, lambda: (True, ""), lambda: (True, ""))
    server.start()
    answers = [get(server, "/metrics") for _ in range(3)]
    server.close()
    assert [code for code, _ in answers] == [500] * 3
    assert "log" in answers[0][1]
    assert "secret" not in answers[0][1]
    lines = [record for record in caplog.records if record.levelname == "ERROR"]
    assert len(lines) == 1
    assert "ValueError: secret of the page" in caplog.text


def test_it_sleeps_while_nobody_asks(server: StatusServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its thread waits in one select without a time-out: it is woken by clients and by the end only."""
    waits: list[float | None] = []
    select = selectors.DefaultSelector.select

    def counted(self: selectors.DefaultSelector, timeout: float | None = None) -> object:
        waits.append(timeout)
        return select(self, timeout)

    monkeypatch.setattr(selectors.DefaultSelector, "select", counted)
    quiet = StatusServer(("127.0.0.1", 0), lambda _: ("", b""), lambda: (True, ""), lambda: (True, ""))
    quiet.start()
    assert get(quiet, "/healthz")[0] == 200
    quiet.close()
    assert None in waits
    assert [wait for wait in waits if wait is not None and wait > 0] == []


def test_out_of_descriptors_it_waits_and_says_so_once(
    server: StatusServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The door stays knocked at, so a loop without a pause would spin."""
    monkeypatch.setattr(http, "ACCEPT_PAUSE_S", 0.01)
    refused = threading.Event()
    accept = socketserver.TCPServer.get_request

    def first_refuses(self: socketserver.TCPServer) -> object:
        if len(tries) < 3:
            tries.append(time.monotonic())
            raise OSError(24, "Too many open files")
        refused.set()
        return accept(self)

    tries: list[float] = []
    monkeypatch.setattr(socketserver.TCPServer, "get_request", first_refuses)
    assert get(server, "/healthz")[0] == 200
    assert refused.is_set()
    assert tries[1] - tries[0] >= 0.01
    assert caplog.text.count("Too many open files") == 1


def test_a_client_that_talks_nonsense_harms_nobody(server: StatusServer) -> None:
    assert b"400" in ask(server, b"\x16\x03\x01 tls? no\r\n\r\n")
    assert get(server, "/healthz")[0] == 200


def test_a_client_that_goes_away_midway_harms_nobody(server: StatusServer) -> None:
    with socket.create_connection((server.server_name, server.server_port)) as connection:
        connection.sendall(b"GET /met")
    assert get(server, "/healthz")[0] == 200


def test_it_listens_on_ipv6() -> None:
    """On the loopback, as every Linux has it unless somebody switched it off (net.ipv6.conf.lo.disable_ipv6)."""
    server = StatusServer(("::1", 0), lambda _: ("", b""), lambda: (True, "fine"), lambda: (True, ""))
    server.start()
    host, port = server.server_name, server.server_port
    with urllib.request.urlopen(f"http://[{host}]:{port}/healthz", timeout=PATIENCE_S) as answer:
        assert answer.read() == b"ok\nfine\n"
    with pytest.raises(ListenError, match=r"on \[::1\]:\d+ \("):
        StatusServer((host, port), lambda _: ("", b""), lambda: (True, ""), lambda: (True, ""))
    server.close()


def test_its_start_does_not_wait_for_dns(monkeypatch: pytest.MonkeyPatch) -> None:
    def dns(name: str = "") -> str:
        raise AssertionError(f"asked DNS for {name!r}")

    monkeypatch.setattr(socket, "getfqdn", dns)
    StatusServer(("127.0.0.1", 0), lambda _: ("", b""), lambda: (True, ""), lambda: (True, "")).close()


def test_each_client_is_announced_by_its_own_thread_before_it_is_served() -> None:
    """So that the thread is scheduled as the agent's others are: it may have the interpreter's lock when they need it."""
    announced: list[int] = []
    served: list[tuple[int, int]] = []

    def health() -> tuple[bool, str]:
        served.append((threading.get_ident(), len(announced)))
        return True, "fine"

    server = StatusServer(
        ("127.0.0.1", 0),
        lambda _: ("", b""),
        health,
        lambda: (True, ""),
        at_request=lambda: announced.append(threading.get_ident()),
    )
    server.start()
    try:
        for number in (1, 2):
            assert get(server, "/healthz")[0] == 200
            assert served[-1] == (announced[-1], number)
    finally:
        server.close()
