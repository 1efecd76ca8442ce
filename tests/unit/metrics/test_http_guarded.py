"""The pages behind TLS, certificates and passwords: /metrics for whom they are meant, the kubelet's probes as ever."""

from __future__ import annotations

import base64
import http.client
import shutil
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from agent.metrics import answering
from agent.metrics import http as pages_module
from agent.metrics.http import MOST_CLIENTS, StatusServer
from agent.settings import PageGuards, load
from tests.unit.patience import PATIENCE_S

TLS = Path(__file__).parent / "tls"
USER = "Basic " + base64.b64encode(b"prometheus:s3cret").decode()
PROBES = ("/healthz", "/readyz")


class Pages:
    """Starts servers and ends them all."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._stack = stack
        self.folder = folder
        for name in ("server.crt", "server.key", "ca.pem"):
            shutil.copy(TLS / name, folder)
        (folder / "users").write_text("prometheus:s3cret\n")

    def serve(self, *guards: str, page: bytes = b"metrics") -> StatusServer:
        """With these guards of tls, certificate and users."""
        files = {
            "tls": {"tls_cert": "server.crt", "tls_key": "server.key"},
            "certificate": {"tls_client_ca": "ca.pem"},
            "users": {"basic_auth_file": "users"},
        }
        flags = {name: str(self.folder / file) for guard in guards for name, file in files[guard].items()}
        page_guards = PageGuards(load(flags, {"NODE_NAME": "n"}))
        good = lambda: (True, "fine")  # noqa: E731
        server = StatusServer(("127.0.0.1", 0), lambda _: ("text/plain", page), good, good, page_guards)
        server.start()
        self._stack.callback(server.close)
        return server


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No client of these tests loses its connection because the machine is busy."""
    monkeypatch.setattr(answering, "CLIENT_TIME_S", PATIENCE_S)
    monkeypatch.setattr(pages_module, "PLACE_WAIT_S", PATIENCE_S)


@pytest.fixture
def pages(tmp_path: Path) -> Iterator[Pages]:
    with ExitStack() as stack:
        yield Pages(stack, tmp_path)


def client_context(certificate: str | None = None) -> ssl.SSLContext:
    """As Prometheus, which knows the CA; ``certificate``: with one of its own."""
    context = ssl.create_default_context(cafile=TLS / "ca.pem")
    if certificate is not None:
        context.load_cert_chain(TLS / f"{certificate}.crt", TLS / f"{certificate}.key")
    return context


def kubelet_context() -> ssl.SSLContext:
    """As the kubelet's probes with scheme HTTPS: any certificate will do, and they have none of their own."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def get(server: StatusServer, path: str, context: ssl.SSLContext | None = None, **headers: str) -> tuple[int, str]:
    """``context`` None: plain HTTP."""
    host, port = server.server_name, server.server_port
    connection = (
        http.client.HTTPConnection(host, port, timeout=PATIENCE_S)
        if context is None
        else http.client.HTTPSConnection(host, port, timeout=PATIENCE_S, context=context)
    )
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


# ------------------------------------------------------------------------------------------------------------------ TLS


def test_all_pages_come_by_https_and_the_certificate_is_the_files(pages: Pages) -> None:
    server = pages.serve("tls")
    for path in ("/", "/metrics", *PROBES):
        assert get(server, path, client_context())[0] == 200
        assert get(server, path, kubelet_context())[0] == 200


def test_who_speaks_plain_http_to_tls_gets_nothing_and_harms_nobody(pages: Pages) -> None:
    server = pages.serve("tls")
    with pytest.raises((http.client.HTTPException, OSError)):
        get(server, "/metrics")
    assert get(server, "/healthz", kubelet_context())[0] == 200


def test_a_large_page_comes_whole(pages: Pages) -> None:
    page = b"0123456789abcdef" * (1 << 18)
    server = pages.serve("tls", page=page)
    assert get(server, "/metrics", client_context()) == (200, page.decode())


def test_a_rotated_certificate_is_shown_to_the_next_client(pages: Pages) -> None:
    def name() -> str:
        with (
            socket.create_connection((server.server_name, server.server_port), timeout=PATIENCE_S) as plain,
            client_context().wrap_socket(plain, server_hostname="127.0.0.1") as connection,
        ):
            shown = connection.getpeercert()
        assert shown is not None
        return str(shown["subject"])

    server = pages.serve("tls")
    assert "oomward-1" in name()
    for end in ("crt", "key"):
        shutil.copy(TLS / f"rotated.{end}", pages.folder / f"server.{end}")
    assert "oomward-2" in name()


def test_clients_that_never_finish_their_handshake_hold_up_nobody(pages: Pages) -> None:
    server = pages.serve("tls")
    silent = [
        socket.create_connection((server.server_name, server.server_port), timeout=PATIENCE_S)
        for _ in range(2 * MOST_CLIENTS)
    ]
    for connection in silent[::2]:
        connection.sendall(b"\x16\x03\x01")
    for _ in range(MOST_CLIENTS):
        assert get(server, "/healthz", kubelet_context())[0] == 200
    for connection in silent:
        connection.close()


def test_a_handshake_has_no_more_time_than_all_the_rest(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "CLIENT_TIME_S", 0.3)
    server = pages.serve("tls")
    began = time.monotonic()
    with socket.create_connection((server.server_name, server.server_port), timeout=PATIENCE_S) as connection:
        assert connection.recv(1) == b""
    assert time.monotonic() - began >= 0.3


def test_a_client_that_does_not_read_its_page_has_no_more_time_either(
    pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "CLIENT_TIME_S", 0.5)
    server = pages.serve("tls", page=b"x" * (32 << 20))
    left = threading.Event()
    leave = server._leave

    def leave_and_tell(request: socket.socket) -> None:
        leave(request)
        left.set()

    monkeypatch.setattr(server, "_leave", leave_and_tell)
    with (
        socket.create_connection((server.server_name, server.server_port), timeout=PATIENCE_S) as plain,
        client_context().wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        connection.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        assert left.wait(PATIENCE_S), "its place is free again though it never read"


# --------------------------------------------------------------------------------------------------------- certificates


def test_metrics_are_for_clients_with_a_certificate_of_the_ca_and_probes_need_none(pages: Pages) -> None:
    server = pages.serve("tls", "certificate")
    assert get(server, "/metrics", client_context("client")) == (200, "metrics")
    code, body = get(server, "/metrics", client_context())
    assert code == 403
    assert "tlsClientCa" in body
    for path in PROBES:
        assert get(server, path, kubelet_context()) == (200, "ok\nfine\n")


def test_a_certificate_of_another_ca_gets_nothing(pages: Pages) -> None:
    server = pages.serve("tls", "certificate")
    with pytest.raises(OSError, match=r"(?i)alert|reset|eof|closed|broken pipe"):
        get(server, "/metrics", client_context("stranger"))


def test_a_resumed_session_is_as_good_as_its_certificate(pages: Pages) -> None:
    """TLS tickets carry the client's certificate, and none where there was none."""
    server = pages.serve("tls", "certificate")

    def ask(
        context: ssl.SSLContext, session: ssl.SSLSession | None
    ) -> tuple[bytes, ssl.SSLSession | None, bool | None]:
        with (
            socket.create_connection((server.server_name, server.server_port), timeout=PATIENCE_S) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1", session=session) as connection,
        ):
            connection.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            return connection.recv(12), connection.session, connection.session_reused

    for certificate, expected in (("client", b"HTTP/1.1 200"), (None, b"HTTP/1.1 403")):
        context = client_context(certificate)
        first, session, _ = ask(context, None)
        again, _, reused = ask(context, session)
        assert (first, again, reused) == (expected, expected, True)


# ---------------------------------------------------------------------------------------------------------------- users


@pytest.mark.parametrize("guards", [("users",), ("tls", "users")], ids=["http", "https"])
def test_metrics_want_user_and_password_and_probes_do_not(pages: Pages, guards: tuple[str, ...]) -> None:
    server = pages.serve(*guards)
    context = client_context() if "tls" in guards else None
    assert get(server, "/metrics", context, Authorization=USER) == (200, "metrics")
    for header in ("", "Basic eDp5", USER + "x"):
        code, body = get(server, "/metrics", context, Authorization=header)
        assert code == 401
        assert "metrics" not in body
    for path in ("/", *PROBES):
        assert get(server, path, context)[0] == 200


def test_who_is_turned_away_is_told_how_to_come_in(pages: Pages) -> None:
    server = pages.serve("users")
    connection = http.client.HTTPConnection(server.server_name, server.server_port, timeout=PATIENCE_S)
    connection.request("HEAD", "/metrics?x=1")
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (401, b"")
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="oomward", charset="UTF-8"'
    connection.close()


def test_certificate_and_password_are_both_needed_where_both_are_set(pages: Pages) -> None:
    server = pages.serve("tls", "certificate", "users")
    assert get(server, "/metrics", client_context("client"), Authorization=USER)[0] == 200
    assert get(server, "/metrics", client_context("client"))[0] == 401
    assert get(server, "/metrics", client_context(), Authorization=USER)[0] == 403


def test_a_rotated_password_counts_from_the_next_request_on(pages: Pages) -> None:
    server = pages.serve("users")
    (pages.folder / "users").write_text("prometheus:another\nprometheus:s3cret\n")
    another = "Basic " + base64.b64encode(b"prometheus:another").decode()
    assert [get(server, "/metrics", Authorization=a)[0] for a in (USER, another)] == [200, 200], (
        "old and new, side by side"
    )
    (pages.folder / "users").write_text("prometheus:another\n")
    assert [get(server, "/metrics", Authorization=a)[0] for a in (USER, another)] == [401, 200]


def test_no_page_is_made_for_who_is_turned_away_and_nothing_of_it_is_logged(
    pages: Pages, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    server = pages.serve("users")
    wrong = "Basic " + base64.b64encode(b"prometheus:nearly-s3cret").decode()
    assert get(server, "/metrics", Authorization=wrong)[0] == 401
    assert "s3cret" not in caplog.text
    assert wrong not in caplog.text
