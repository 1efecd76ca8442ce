"""The pages: each says what it is, wrong ones say so, and no client can hold up another."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from agent.report.http import ListenError, StatusServer


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
