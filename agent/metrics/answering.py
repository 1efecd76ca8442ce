"""One client of the pages: its time, its TLS handshake, its requests and the answers.

Health and readiness are for everybody: the kubelet's probes carry neither password nor certificate.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

from agent.metrics.pages import LeftError
from agent.settings import PageGuards

CLIENT_TIME_S = 10.0  # for all bytes of a request and its answer, however slowly a client sends or reads
MOST_BYTES = 16384  # of a request: one of Prometheus has less than 1 KiB
IDLE_S = 90.0  # until the next request of a client, which Prometheus sends each minute, or more often
PLAIN = "text/plain; charset=utf-8"
METRICS = "/metrics"
Page = Callable[[], tuple[int, bytes]]  # status code and text


class _TooLongError(ConnectionError, http.client.HTTPException):
    """The request has more than MOST_BYTES. Among its headers, the library answers with 431."""


class _Deadline(io.RawIOBase):
    """A client's bytes until its time is over, then TimeoutError. A time-out per operation could be drawn out for hours.

    The library alone would read 6 MiB of headers of each client.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._idle = False
        self._left = MOST_BYTES
        self._until_monotonic_s = time.monotonic() + CLIENT_TIME_S

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._left <= 0:
            raise _TooLongError(f"the request has more than {MOST_BYTES} bytes")
        self.limit_next()
        count = self._connection.recv_into(buffer)
        self._left -= count
        self._start_request()
        return count

    def await_request(self) -> None:
        """The last one is answered: the next may take IDLE_S to begin."""
        self._idle, self._left = True, MOST_BYTES
        self._until_monotonic_s = time.monotonic() + IDLE_S

    def _start_request(self) -> None:
        if self._idle:
            self._idle = False
            self._until_monotonic_s = time.monotonic() + CLIENT_TIME_S

    def write(self, data: Any) -> int:
        """All of it: over TLS sendall() would give each record the whole time again."""
        self._start_request()
        left = memoryview(data)
        while left:
            self.limit_next()
            left = left[self._connection.send(left) :]
        return len(data)

    def limit_next(self) -> None:
        """Let the next operation on the connection take no more than the remaining time."""
        left_s = self._until_monotonic_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError(f"the client took more than {CLIENT_TIME_S:g} s")
        self._connection.settimeout(left_s)


class Handler(BaseHTTPRequestHandler):
    """Answers with the ``routes`` of the server, and with its shared page of metrics, which its ``guards`` protect."""

    protocol_version = "HTTP/1.1"
    server_version = "oomward"
    sys_version = ""
    disable_nagle_algorithm = True  # or the body would wait for the client's delayed ACK of the headers
    server: Any  # http.StatusServer
    _later = False  # whether this is not the client's first request

    def setup(self) -> None:
        super().setup()
        self.rfile.close()
        self._deadline = deadline = _Deadline(self.connection)
        self.rfile = io.BufferedReader(deadline)
        self.wfile = deadline  # type: ignore[assignment]
        if isinstance(self.connection, ssl.SSLSocket):
            deadline.limit_next()
            self.connection.do_handshake()

    def handle(self) -> None:
        """Requests until the client or we close."""
        self._handle_request()
        while not self.close_connection:
            self._deadline.await_request()
            self.server.await_request(self.connection, self.client_address)
            self._later = True
            self._handle_request()

    def _handle_request(self) -> None:
        self.close_connection = True  # unless a whole request says otherwise
        self.handle_one_request()

    def do_GET(self) -> None:
        if self._later:
            self.server.at_request()
        if "Content-Length" in self.headers or "Transfer-Encoding" in self.headers:
            self.close_connection = True  # what it sends is not read, and is no request
        path = self.path.partition("?")[0]
        if path == METRICS:
            return self._metrics()
        page: Page | None = self.server.routes.get(path)
        if page is None:
            return self._answer(404, b"no such page: there are /metrics, /healthz and /readyz\n")
        try:
            answer = page()
        except Exception as error:  # noqa: BLE001  (any page may fail in any way)
            answer = self._failed(error)
        return self._answer(*answer)

    do_HEAD = do_GET  # noqa: N815

    def _metrics(self) -> None:
        """In the places of this page: who waits for it, or does not read it, has none of those of the probes."""
        if self.server.guards is not None and not self._admitted(self.server.guards):
            return
        with self.server.for_metrics(self.connection, self.client_address):
            headers = [", ".join(self.headers.get_all(name, ())) for name in ("Accept", "Accept-Encoding")]
            try:
                kind, encoding, body = self.server.page.get(*headers, lambda: self.server.has(self.connection))
            except LeftError:
                self.close_connection = True
            except Exception as error:  # noqa: BLE001
                self._answer(*self._failed(error))
            else:
                more = [("Vary", "Accept, Accept-Encoding")] + [("Content-Encoding", encoding)] * bool(encoding)
                self._answer(200, body, *more, content_type=kind)

    def _failed(self, error: Exception) -> tuple[int, bytes]:
        self.server.page_failed(error)  # the log first, so that it is there when the answer is
        return 500, b"this page could not be made; the agent's log says why\n"

    def _admitted(self, guards: PageGuards) -> bool:
        """Whether this client may have a guarded page; if not, it is answered here."""
        # A client that showed a wrong certificate has not come through the handshake.
        shown = isinstance(self.connection, ssl.SSLSocket) and self.connection.getpeercert()
        if guards.wants_certificate and not shown:
            self._answer(403, b"this page is for clients with a certificate of the CA that tlsClientCa names\n")
            return False
        if not guards.admits(self.headers.get("Authorization", "")):
            challenge = ("WWW-Authenticate", 'Basic realm="oomward", charset="UTF-8"')
            body = b"this page is for the users of basicAuthFile: give user and password\n"
            self._answer(401, body, challenge)
            return False
        return True

    def _answer(self, code: int, body: bytes, *more: tuple[str, str], content_type: str = PLAIN) -> None:
        self.send_response(code)
        for name, value in (("Content-Type", content_type), ("Content-Length", str(len(body))), *more):
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Requests are not logged."""
