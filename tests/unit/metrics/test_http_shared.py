"""/metrics is one page for everybody, and the probes' pages never wait for those who ask for it."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from agent.metrics import answering, pages
from agent.metrics.http import MOST_CLIENTS, MOST_THREADS, StatusServer
from agent.metrics.metrics import Metrics
from agent.metrics.pages import SharedPage, accepts
from agent.model import Mode
from tests.unit.patience import PATIENCE_S, wait_until

FRACTION_S = (
    2.0  # what a probe may take on a busy machine (some milliseconds otherwise); the kubelet's own limit is 5 s
)
LARGE = b"oomward_x 1\n" * (1 << 18)


@contextlib.contextmanager
def serving(page: Callable[[str], tuple[str, bytes]]) -> Iterator[StatusServer]:
    server = StatusServer(("127.0.0.1", 0), page, lambda: (True, "fine"), lambda: (True, "listed"))
    server.start()
    try:
        yield server
    finally:
        server.close()


def connect(server: StatusServer) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(server.server_name, server.server_port, timeout=PATIENCE_S)


def get(server: StatusServer, path: str, **headers: str) -> tuple[int, bytes]:
    connection = connect(server)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def ask_and_leave_unread(server: StatusServer, path: str = "/metrics") -> socket.socket:
    connection = socket.create_connection((server.server_name, server.server_port), timeout=PATIENCE_S)
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return connection


class Counted:
    """A page that counts how often it is made, and may be kept from being ready."""

    def __init__(self, body: bytes = b"page") -> None:
        self.body = body
        self.made: list[str] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def __call__(self, accept: str) -> tuple[str, bytes]:
        self.made.append(accept)
        assert self.may_go_on.wait(PATIENCE_S)
        return "text/plain", self.body


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_who_asks_within_a_second_gets_the_same_page() -> None:
    clock, page = Clock(), Counted()
    shared = SharedPage(page, clock)
    for now_s, made in ((0.0, 1), (0.9, 1), (1.0, 2), (1.9, 2), (2.5, 3)):
        clock.now_s = now_s
        assert shared.get("", "", lambda: True) == ("text/plain", "", b"page")
        assert len(page.made) == made


def test_whatever_is_accepted_there_are_two_pages() -> None:
    page = Counted()
    shared = SharedPage(page, Clock())
    for number in range(20):
        shared.get(f"text/plain;version=0.0.4;q=0.{number}", "gzip", lambda: True)
        shared.get(f"application/openmetrics-text;version=1.0.{number};escaping=dots", "", lambda: True)
    assert sorted(page.made) == ["", "application/openmetrics-text; version=1.0.0"]


def test_all_who_come_while_it_is_made_wait_for_the_one_that_makes_it() -> None:
    page = Counted()
    page.may_go_on.clear()
    with serving(page) as server:
        answers: list[tuple[int, bytes]] = []
        clients = [threading.Thread(target=lambda: answers.append(get(server, "/metrics"))) for _ in range(8)]
        for client in clients:
            client.start()
        wait_until(lambda: bool(page.made), "the page is being made")
        page.may_go_on.set()
        for client in clients:
            client.join(PATIENCE_S)
    assert answers == [(200, b"page")] * 8
    assert len(page.made) == 1


def test_a_page_that_could_not_be_made_is_tried_again_by_the_next() -> None:
    tries: list[int] = []

    def page(_accept: str) -> tuple[str, bytes]:
        tries.append(1)
        if len(tries) == 1:
            raise ValueError("not yet")
        return "text/plain", b"page"

    with serving(page) as server:
        assert [get(server, "/metrics")[0] for _ in range(2)] == [500, 200]


def test_it_is_compressed_for_who_accepts_that() -> None:
    with serving(Counted(LARGE)) as server:
        plain = get(server, "/metrics", **{"Accept-Encoding": "gzip;q=0"})[1]
        packed = get(server, "/metrics", **{"Accept-Encoding": "deflate, gzip;q=1.0"})[1]
    assert plain == LARGE
    assert len(packed) < len(LARGE) / 10
    assert gzip.decompress(packed) == LARGE


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("", False),
        ("gzip", True),
        ("GZIP", True),
        ("br, gzip;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip;q=0.000", False),
    ],
)
def test_a_weight_of_zero_refuses(header: str, accepted: bool) -> None:
    assert accepts(header, "gzip") is accepted


def test_one_connection_serves_many_requests() -> None:
    with serving(Counted(LARGE)) as server:
        connection = connect(server)
        connection.connect()
        ours = connection.sock
        for path in ("/metrics", "/healthz", "/nowhere", "/metrics"):
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            assert answer.version == 11
        assert connection.sock is ours
        connection.close()


def test_a_body_that_a_client_sends_is_no_request() -> None:
    with (
        serving(Counted()) as server,
        socket.create_connection((server.server_name, server.server_port), timeout=PATIENCE_S) as client,
    ):
        inner = b"GET /metrics HTTP/1.1\r\n\r\n"
        client.sendall(b"GET /healthz HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (len(inner), inner))
        answer = b""
        with contextlib.suppress(ConnectionError):
            while part := client.recv(65536):
                answer += part
    assert answer.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("before", [b"", b"GET /healthz HTTP/1.1\r\n\r\n"], ids=["first", "later"])
def test_a_request_line_without_an_end_ends_the_connection(before: bytes) -> None:
    with (
        serving(Counted()) as server,
        socket.create_connection((server.server_name, server.server_port), timeout=PATIENCE_S) as client,
    ):
        client.sendall(before + b"GET /" + b"x" * 70_000)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while part := client.recv(65536):
                answer += part
    assert answer.count(b"HTTP/1.1 ") <= 2


@pytest.mark.parametrize("before", [b"", b"GET /healthz HTTP/1.1\r\n\r\n"], ids=["first", "later"])
def test_headers_of_many_kilobytes_are_not_read_to_their_end(before: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each client could otherwise send 6 MiB of them, and some at once took all of the agent's memory."""
    monkeypatch.setattr(answering, "CLIENT_TIME_S", 2 * PATIENCE_S)
    with (
        serving(Counted()) as server,
        socket.create_connection((server.server_name, server.server_port), timeout=PATIENCE_S) as client,
    ):
        client.sendall(
            before + b"GET /metrics HTTP/1.1\r\n" + b"X-Header: value\r\n" * (2 * answering.MOST_BYTES // 17)
        )
        with contextlib.suppress(ConnectionError):
            while client.recv(65536):
                pass


def test_an_accept_encoding_of_several_lines_counts_as_one() -> None:
    with serving(Counted(LARGE)) as server:
        connection = connect(server)
        connection.putrequest("GET", "/metrics", skip_accept_encoding=True)
        for encoding in ("br", "gzip"):
            connection.putheader("Accept-Encoding", encoding)
        connection.endheaders()
        assert connection.getresponse().headers["Content-Encoding"] == "gzip"
        connection.close()


def test_a_client_that_asks_nothing_more_is_sent_away_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "IDLE_S", 0.3)
    with serving(Counted()) as server:
        connection = connect(server)
        connection.request("GET", "/healthz")
        connection.getresponse().read()
        assert connection.sock.recv(1) == b""
        connection.close()


def test_a_later_request_has_the_same_time_as_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "CLIENT_TIME_S", 0.3)
    with serving(Counted()) as server:
        connection = connect(server)
        connection.request("GET", "/healthz")
        connection.getresponse().read()
        began_s = time.monotonic()
        connection.sock.sendall(b"GET /heal")
        with contextlib.suppress(ConnectionError):
            assert connection.sock.recv(1) == b""
        assert 0.2 < time.monotonic() - began_s < answering.IDLE_S / 2
        connection.close()


def test_a_client_that_may_ask_again_is_the_first_to_lose_its_place() -> None:
    with serving(Counted()) as server:
        idle = connect(server)
        idle.connect()
        ours = idle.sock.getsockname()
        silent = [
            socket.create_connection((server.server_name, server.server_port), timeout=PATIENCE_S)
            for _ in range(MOST_CLIENTS - 1)
        ]
        idle.request("GET", "/healthz")
        idle.getresponse().read()
        wait_until(lambda: next(iter(server._arrived._clients)).getpeername() == ours, "it waits for the next request")
        silent.append(socket.create_connection((server.server_name, server.server_port), timeout=PATIENCE_S))
        assert idle.sock.recv(1) == b""
        silent[0].sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert silent[0].recv(12) == b"HTTP/1.1 200"
        for client in silent:
            client.close()
        idle.close()


def test_clients_that_do_not_read_their_page_cost_the_probes_and_prometheus_nothing() -> None:
    """40 of them in a second kept the probes waiting for more than the kubelet's 5 s."""
    with serving(Counted(LARGE * 4)) as server:
        greedy = [ask_and_leave_unread(server) for _ in range(4 * MOST_CLIENTS)]
        for path in ("/healthz", "/readyz") * 10:
            began_s = time.monotonic()
            assert get(server, path)[0] == 200
            assert time.monotonic() - began_s < FRACTION_S
        assert gzip.decompress(get(server, "/metrics", **{"Accept-Encoding": "gzip"})[1]) == LARGE * 4
        for client in greedy:
            client.close()


def test_a_page_that_takes_long_keeps_no_probe_waiting_however_many_ask_for_it() -> None:
    page = Counted()
    page.may_go_on.clear()
    with serving(page) as server:
        waiting = [ask_and_leave_unread(server) for _ in range(2 * MOST_THREADS)]
        for path in ("/healthz", "/readyz") * 10:
            began_s = time.monotonic()
            assert get(server, path)[0] == 200
            assert time.monotonic() - began_s < FRACTION_S
        assert len(page.made) == 1
        page.may_go_on.set()
        for client in waiting:
            client.close()


def test_who_waits_for_a_page_and_is_disconnected_leaves_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "LOOK_S", 0.01)
    page = Counted()
    page.may_go_on.clear()
    with serving(page) as server:
        waiting = [ask_and_leave_unread(server) for _ in range(MOST_CLIENTS + 5)]
        wait_until(lambda: server._serving == MOST_CLIENTS + 1, "one makes the page, the others that have places wait")
        page.may_go_on.set()
        for client in waiting:
            client.close()


def test_a_crowd_from_one_address_does_not_take_anothers_place() -> None:
    with serving(Counted(LARGE * 4)) as server:
        host, port = server.server_name, server.server_port
        prometheus = socket.create_connection((host, port), timeout=PATIENCE_S, source_address=("127.0.0.2", 0))
        prometheus.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        assert prometheus.recv(12) == b"HTTP/1.1 200"
        greedy = [ask_and_leave_unread(server) for _ in range(2 * MOST_CLIENTS)]
        wait_until(lambda: server._serving <= MOST_CLIENTS + 1, "those that lost their place have left")
        size = 0
        while part := prometheus.recv(1 << 20):
            size += len(part)
        assert size > len(LARGE) * 4
        for client in (prometheus, *greedy):
            client.close()


def test_probes_are_quick_while_three_hundred_containers_are_scraped_all_the_time() -> None:
    metrics = Metrics("1", process_metrics=False)
    for number in range(300):
        metrics.container_running("shop", f"web-{number}", "worker", Mode.SINGLE)
    with serving(metrics.page) as server:
        over = threading.Event()

        def scrape() -> None:
            while not over.is_set():
                ask_and_leave_unread(server).close()
                over.wait(0.005)

        crowd = [threading.Thread(target=scrape) for _ in range(4)]
        for thread in crowd:
            thread.start()
        try:
            took_s = []
            for path in ("/healthz", "/readyz") * 20:
                began_s = time.monotonic()
                assert get(server, path)[0] == 200
                took_s.append(time.monotonic() - began_s)
        finally:
            over.set()
            for thread in crowd:
                thread.join()
    assert max(took_s) < FRACTION_S
