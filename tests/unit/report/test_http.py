"""The pages: each says what it is, wrong ones say so, and no client can hold up another."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from agent.report.http import MOST_CLIENTS, ListenError, StatusServer
from agent.report.metrics import Metrics


class State:
    """What the pages are made of."""

    good = True


@pytest.fixture
def state() -> State:
    return State()


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
    host, port = server.address
    request = urllib.request.Request(f"http://{host}:{port}{path}", headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_metrics_get_the_accept_header(server: StatusServer) -> None:
    assert get(server, "/metrics", Accept="a/b") == (200, "metrics for a/b")


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
    silent = [socket.create_connection(server.address) for _ in range(5)]
    assert get(server, "/healthz")[0] == 200
    for connection in silent:
        connection.close()


def test_a_port_that_is_taken_is_said_with_what_to_do(server: StatusServer) -> None:
    with pytest.raises(ListenError, match="--listen"):
        StatusServer(server.address, lambda _: ("", b""), lambda: (True, ""), lambda: (True, ""))


def ask(server: StatusServer, request: bytes) -> bytes:
    """The answer byte for byte, until the server closes."""
    with socket.create_connection(server.address, timeout=5) as connection:
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
    host, port = server.address
    for accept, wanted in (
        ("application/openmetrics-text;version=1.0.0", "application/openmetrics-text"),
        ("", "text/plain"),
    ):
        request = urllib.request.Request(f"http://{host}:{port}/metrics", headers={"Accept": accept})
        with urllib.request.urlopen(request, timeout=5) as answer:
            assert answer.headers["Content-Type"].startswith(wanted)
            assert (b"# EOF" in answer.read()) == ("openmetrics" in wanted)
    server.close()


def test_more_clients_than_there_are_places_for_are_turned_away_and_later_ones_served(server: StatusServer) -> None:
    silent = [socket.create_connection(server.address, timeout=5) for _ in range(MOST_CLIENTS)]
    with socket.create_connection(server.address, timeout=5) as one_too_many:
        assert one_too_many.recv(1) == b"", "closed at once, not left waiting"
    for connection in silent:
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b"", "its place is given back"
        connection.close()
    assert b" 200 " in ask_until_served(server)


def ask_until_served(server: StatusServer) -> bytes:
    """A place is free a moment after its client saw the end."""
    while True:
        try:
            answer = ask(server, b"GET /healthz HTTP/1.0\r\n\r\n")
        except ConnectionResetError:
            continue
        if answer:
            return answer.splitlines()[0]


def test_a_client_that_talks_nonsense_harms_nobody(server: StatusServer) -> None:
    assert b"400" in ask(server, b"\x16\x03\x01 tls? no\r\n\r\n")
    assert get(server, "/healthz")[0] == 200


def test_a_client_that_goes_away_midway_harms_nobody(server: StatusServer) -> None:
    with socket.create_connection(server.address) as connection:
        connection.sendall(b"GET /met")
    assert get(server, "/healthz")[0] == 200


def test_it_listens_on_ipv6() -> None:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
    server = StatusServer(("::1", 0), lambda _: ("", b""), lambda: (True, "fine"), lambda: (True, ""))
    server.start()
    host, port = server.address
    with urllib.request.urlopen(f"http://[{host}]:{port}/healthz", timeout=5) as answer:
        assert answer.read() == b"ok\nfine\n"
    with pytest.raises(ListenError, match=r"on \[::1\]:\d+ \("):
        StatusServer((host, port), lambda _: ("", b""), lambda: (True, ""), lambda: (True, ""))
    server.close()


def test_its_start_does_not_wait_for_dns(monkeypatch: pytest.MonkeyPatch) -> None:
    def dns(name: str = "") -> str:
        raise AssertionError(f"asked DNS for {name!r}")

    monkeypatch.setattr(socket, "getfqdn", dns)
    StatusServer(("127.0.0.1", 0), lambda _: ("", b""), lambda: (True, ""), lambda: (True, "")).close()
