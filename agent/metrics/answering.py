"""One client of the pages: its time, its TLS handshake, its request and what it is told.

Takes the routes and what guards them; gives answers. All bytes of a client, both ways, have CLIENT_TIME_S together. Health
and readiness are for everybody: the kubelet's probes carry neither password nor certificate.
"""

from __future__ import annotations

import io
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from typing import Any, Protocol

CLIENT_TIME_S = 10.0  # for a client's whole request and answer, however it dribbles
PLAIN = "text/plain; charset=utf-8"
Page = Callable[[str], tuple[str, bytes]]


class Guards(Protocol):
    """What stands before guarded pages; settings.PageGuards is one. Asked by several threads."""

    @property
    def wants_certificate(self) -> bool:
        """Whether a client must show a certificate."""

    def context(self) -> ssl.SSLContext | None:
        """TLS for the next connection; None: none. With ``wants_certificate`` it asks for one, and checks it."""

    def admits(self, authorization: str) -> bool:
        """Whether this Authorization header is good enough."""


class NotGoodError(RuntimeError):
    """Carries a page that is not a 200."""

    def __init__(self, code: int, body: bytes) -> None:
        super().__init__(code)
        self.code, self.body = code, body


class _Deadline(io.RawIOBase):
    """A client's bytes, as long as his time lasts; then TimeoutError. A time-out for each operation could be drawn out for hours."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._until_monotonic_s = time.monotonic() + CLIENT_TIME_S

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self.spend()
        return self._connection.recv_into(buffer)

    def write(self, data: Any) -> int:
        """All of it: over TLS sendall() would give each record the whole time anew."""
        left = memoryview(data)
        while left:
            self.spend()
            left = left[self._connection.send(left) :]
        return len(data)

    def spend(self) -> None:
        """Let the next operation on the connection take no more than what is left."""
        left_s = self._until_monotonic_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError(f"the client took more than {CLIENT_TIME_S:g} s")
        self._connection.settimeout(left_s)


class Handler(BaseHTTPRequestHandler):
    """``guards`` stand before the ``guarded`` of the ``routes``; None: nothing does."""

    server_version = "oomward"
    sys_version = ""
    routes: Mapping[str, Page]
    guards: Guards | None
    guarded: frozenset[str]
    server: Any  # has page_failed()

    def setup(self) -> None:
        super().setup()
        self.rfile.close()
        self._deadline = _Deadline(self.connection)
        self.rfile = io.BufferedReader(self._deadline)
        self.wfile = self._deadline  # type: ignore[assignment]
        if isinstance(self.connection, ssl.SSLSocket):
            self._deadline.spend()
            self.connection.do_handshake()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        page = self.routes.get(path)
        if page is None:
            return self._answer(404, PLAIN, b"no such page: there are /metrics, /healthz and /readyz\n")
        if path in self.guarded and self.guards is not None and not self._admitted(self.guards):
            return None
        try:
            content_type, body = page(self.headers.get("Accept", ""))
        except NotGoodError as state:
            return self._answer(state.code, PLAIN, state.body)
        except Exception as error:  # noqa: BLE001  (any page may fail in any way; the log first, so that it is there when the answer is)
            self.server.page_failed(error)
            return self._answer(500, PLAIN, b"this page could not be made; the agent's log says why\n")
        return self._answer(200, content_type, body)

    do_HEAD = do_GET  # noqa: N815

    def _admitted(self, guards: Guards) -> bool:
        """Whether this client may have a guarded page; else it has its answer."""
        if guards.wants_certificate and not self._certificate():
            self._answer(403, PLAIN, b"this page is for clients with a certificate of the CA that tlsClientCa names\n")
            return False
        if not guards.admits(self.headers.get("Authorization", "")):
            challenge = ("WWW-Authenticate", 'Basic realm="oomward", charset="UTF-8"')
            self._answer(
                401, PLAIN, b"this page is for the users of basicAuthFile: give user and password\n", challenge
            )
            return False
        return True

    def _certificate(self) -> bool:
        """Whether the client showed a certificate; a wrong one has ended the handshake."""
        return isinstance(self.connection, ssl.SSLSocket) and bool(self.connection.getpeercert())

    def _answer(self, code: int, content_type: str, body: bytes, *more: tuple[str, str]) -> None:
        self.send_response(code)
        for name, value in (("Content-Type", content_type), ("Content-Length", str(len(body))), *more):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Requests are not news."""
