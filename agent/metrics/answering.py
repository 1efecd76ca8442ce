"""One client of the pages: its time, its TLS handshake, its request and the answer.

Health and readiness are for everybody: the kubelet's probes carry neither password nor certificate.
"""

from __future__ import annotations

import io
import socket
import ssl
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

from agent.settings import PageGuards

CLIENT_TIME_S = 10.0  # for all bytes of a client, both ways, however slowly it sends or reads
PLAIN = "text/plain; charset=utf-8"
GUARDED = frozenset({"/metrics"})
Page = Callable[[str], tuple[int, str, bytes]]  # from the Accept header to status code, content type and body


class _Deadline(io.RawIOBase):
    """A client's bytes until its time is over, then TimeoutError. A time-out per operation could be drawn out for hours."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._until_monotonic_s = time.monotonic() + CLIENT_TIME_S

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self.limit_next()
        return self._connection.recv_into(buffer)

    def write(self, data: Any) -> int:
        """All of it: over TLS sendall() would give each record the whole time again."""
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
    """Answers with the ``routes`` of the server; its ``guards`` protect the pages in GUARDED."""

    server_version = "oomward"
    sys_version = ""
    server: Any  # http.StatusServer

    def setup(self) -> None:
        super().setup()
        self.rfile.close()
        deadline = _Deadline(self.connection)
        self.rfile = io.BufferedReader(deadline)
        self.wfile = deadline  # type: ignore[assignment]
        if isinstance(self.connection, ssl.SSLSocket):
            deadline.limit_next()
            self.connection.do_handshake()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        page: Page | None = self.server.routes.get(path)
        if page is None:
            return self._answer(404, PLAIN, b"no such page: there are /metrics, /healthz and /readyz\n")
        if path in GUARDED and self.server.guards is not None and not self._admitted(self.server.guards):
            return None
        try:
            answer = page(self.headers.get("Accept", ""))
        except Exception as error:  # noqa: BLE001  (any page may fail in any way)
            self.server.page_failed(error)  # the log first, so that it is there when the answer is
            answer = (500, PLAIN, b"this page could not be made; the agent's log says why\n")
        return self._answer(*answer)

    do_HEAD = do_GET  # noqa: N815

    def _admitted(self, guards: PageGuards) -> bool:
        """Whether this client may have a guarded page; if not, it is answered here."""
        # A client that showed a wrong certificate has not come through the handshake.
        shown = isinstance(self.connection, ssl.SSLSocket) and self.connection.getpeercert()
        if guards.wants_certificate and not shown:
            self._answer(403, PLAIN, b"this page is for clients with a certificate of the CA that tlsClientCa names\n")
            return False
        if not guards.admits(self.headers.get("Authorization", "")):
            challenge = ("WWW-Authenticate", 'Basic realm="oomward", charset="UTF-8"')
            body = b"this page is for the users of basicAuthFile: give user and password\n"
            self._answer(401, PLAIN, body, challenge)
            return False
        return True

    def _answer(self, code: int, content_type: str, body: bytes, *more: tuple[str, str]) -> None:
        self.send_response(code)
        for name, value in (("Content-Type", content_type), ("Content-Length", str(len(body))), *more):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Requests are not logged."""
