"""The pages: /metrics, /healthz, /readyz, and an index of them.

Owns the listening socket and its threads; takes callables that make the pages, gives answers. A client has CLIENT_TIME_S for
everything, MOST_CLIENTS are served at once, and one too many costs the longest-waiting its place: whoever holds connections open
can't keep the kubelet's probes out. Sleeps while nobody asks. TLS would wrap the socket in ``_Server.get_request``.
"""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import selectors
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from agent.model import AgentError
from agent.report.logs import Once

CLIENT_TIME_S = 10.0  # for a client's whole request and answer, however it dribbles
MOST_CLIENTS = 16
ACCEPT_PAUSE_S = 0.2
PLACE_WAIT_S = 1.0  # until the client that lost its place has gone
PLAIN = "text/plain; charset=utf-8"
logger = logging.getLogger("oomward")

Page = Callable[[str], tuple[str, bytes]]
State = Callable[[], tuple[bool, str]]


class ListenError(AgentError):
    """The address can't be had."""


class StatusServer:
    """``page`` gets the Accept header and gives content type and body; ``health`` and ``ready`` say yes or no, and why."""

    def __init__(self, listen: tuple[str, int], page: Page, health: State, ready: State) -> None:
        host, port = listen
        routes = {"/metrics": page, "/healthz": _state_page(health), "/readyz": _state_page(ready), "/": _index}
        handler = type("Handler", (_Handler,), {"routes": routes})
        server_class = type(
            "Server", (_Server,), {"address_family": socket.AF_INET6 if ":" in host else socket.AF_INET}
        )
        try:
            self._server = server_class((host, port), handler)
        except OSError as error:
            shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            why = "another agent or exporter may be there; " if error.errno == errno.EADDRINUSE else ""
            raise ListenError(
                f"can't listen on {shown} ({error.strerror}): {why}choose another address with --listen."
            ) from error
        self._waker, self._wake = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, name="status pages", daemon=True)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port in use (port 0 was asked for: the one that was given)."""
        host, port = self._server.server_address[:2]
        return str(host), int(port)

    def start(self) -> None:
        """Begin to serve; the address is held since the making."""
        self._thread.start()

    def close(self) -> None:
        """End the serving and give the address back."""
        self._waker.close()
        if self._thread.is_alive():
            self._thread.join()
        self._wake.close()
        self._server.server_close()

    def _serve(self) -> None:
        """In place of serve_forever(), which wakes twice a second and more to see whether it shall end."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._server, selectors.EVENT_READ)
            selector.register(self._wake, selectors.EVENT_READ)
            while True:
                if any(key.fileobj is self._wake for key, _ in selector.select()):
                    return
                self._server.handle_request()


class _NotGoodError(RuntimeError):
    """Carries a page that is not a 200."""

    def __init__(self, code: int, body: bytes) -> None:
        super().__init__(code)
        self.code, self.body = code, body


def _state_page(state: State) -> Page:
    def page(_accept: str) -> tuple[str, bytes]:
        good, why = state()
        body = f"{'ok' if good else 'not ok'}\n{why}\n".encode()
        if not good:
            raise _NotGoodError(503, body)
        return PLAIN, body

    return page


def _index(_accept: str) -> tuple[str, bytes]:
    return (
        PLAIN,
        b"oomward\n/metrics  for Prometheus\n/healthz  is every thread alive\n/readyz   has it seen pods and cgroups\n",
    )


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128  # the library's 5 makes a client wait a second when a handful comes at once
    timeout = 0  # handle_request() is called when somebody is there, and must not wait if he left again

    def __init__(self, *arguments: Any) -> None:
        self._places = threading.BoundedSemaphore(MOST_CLIENTS)
        self._clients: dict[socket.socket, None] = {}  # being served; the oldest first
        self._clients_lock = threading.Lock()
        self._failures = Once(60.0)
        super().__init__(*arguments)

    def server_bind(self) -> None:
        """As TCPServer does: HTTPServer's own asks DNS for this host's full name, which may take its time at a start."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def get_request(self) -> tuple[Any, Any]:
        try:
            return super().get_request()
        except OSError as error:
            if (left_out := self._failures.due("accept")) is not None:
                logger.warning("the status pages can't take a client (%s; %d more like it)", error.strerror, left_out)
            time.sleep(ACCEPT_PAUSE_S)  # out of descriptors, say, somebody stays at the door: don't spin
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._places.acquire(blocking=False):
            self._send_the_oldest_away()
            if not self._places.acquire(timeout=PLACE_WAIT_S):
                self.shutdown_request(request)
                return
        with self._clients_lock:
            self._clients[request] = None
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._leave(request)
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._leave(request)

    def _send_the_oldest_away(self) -> None:
        with self._clients_lock:
            oldest = next(iter(self._clients), None)
        if oldest is not None:
            with contextlib.suppress(OSError):  # it is going already
                oldest.shutdown(socket.SHUT_RDWR)

    def _leave(self, request: socket.socket) -> None:
        with self._clients_lock:
            self._clients.pop(request, None)
        self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        error = sys.exception()
        if isinstance(error, OSError):
            logger.debug("a client of the status pages went away: %s", error)
        elif error is not None:
            self.page_failed(error)

    def page_failed(self, error: BaseException) -> None:
        """One line a minute for each kind of error, with its traceback."""
        if (left_out := self._failures.due(str(type(error)))) is not None:
            logger.error("a status page failed (%d more since the last such line)", left_out, exc_info=error)


class _Deadline(io.RawIOBase):
    """A client's bytes, as long as his time lasts; then TimeoutError. A time-out for each read could be drawn out for hours."""

    def __init__(self, connection: socket.socket, until_monotonic_s: float) -> None:
        self._connection = connection
        self._until_monotonic_s = until_monotonic_s

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self.spend()
        return self._connection.recv_into(buffer)

    def spend(self) -> None:
        """Let the next operation on the connection take no more than what is left."""
        left_s = self._until_monotonic_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError(f"the client took more than {CLIENT_TIME_S:g} s")
        self._connection.settimeout(left_s)


class _Handler(BaseHTTPRequestHandler):
    server_version = "oomward"
    sys_version = ""
    routes: dict[str, Page]
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.rfile.close()
        self._deadline = _Deadline(self.connection, time.monotonic() + CLIENT_TIME_S)
        self.rfile = io.BufferedReader(self._deadline)

    def do_GET(self) -> None:
        page = self.routes.get(self.path.partition("?")[0])
        if page is None:
            return self._answer(404, PLAIN, b"no such page: there are /metrics, /healthz and /readyz\n")
        try:
            content_type, body = page(self.headers.get("Accept", ""))
        except _NotGoodError as state:
            return self._answer(state.code, PLAIN, state.body)
        except Exception as error:  # noqa: BLE001  (any page may fail in any way; the log first, so that it is there when the answer is)
            self.server.page_failed(error)
            return self._answer(500, PLAIN, b"this page could not be made; the agent's log says why\n")
        return self._answer(200, content_type, body)

    do_HEAD = do_GET  # noqa: N815

    def _answer(self, code: int, content_type: str, body: bytes) -> None:
        self._deadline.spend()
        self.send_response(code)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Requests are not news."""
