"""The pages: /metrics, /healthz, /readyz, and an index of them.

Owns the listening socket and its threads; takes callables that make the pages, gives answers. A client has CLIENT_TIME_S for
everything, MOST_CLIENTS are served at once, and one too many costs the longest-waiting its place: whoever holds connections open
can't keep the kubelet's probes out. Sleeps while nobody asks. What one client is told is answering.py's.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import selectors
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable
from http.server import ThreadingHTTPServer
from typing import Any

from agent.metrics.answering import PLAIN, Guards, Handler, NotGoodError, Page
from agent.model import AgentError
from agent.wording.logs import Once

MOST_CLIENTS = 16
ACCEPT_PAUSE_S = 0.2
PLACE_WAIT_S = 1.0  # until the client that lost its place has gone
logger = logging.getLogger("oomward")

State = Callable[[], tuple[bool, str]]


class ListenError(AgentError):
    """The address can't be had."""


class StatusServer:
    """``page`` gets the Accept header and gives content type and body; ``health`` and ``ready`` say yes or no, and why.

    ``guards`` None: plain HTTP for everybody. Else they stand before ``page``; the kubelet's probes need no more than TLS.
    ``at_request`` is called by the thread of each client before it is served.
    """

    def __init__(
        self,
        listen: tuple[str, int],
        page: Page,
        health: State,
        ready: State,
        guards: Guards | None = None,
        at_request: Callable[[], None] = lambda: None,
    ) -> None:
        host, port = listen
        routes = {"/metrics": page, "/healthz": _state_page(health), "/readyz": _state_page(ready), "/": _index}
        handler = type("Handler", (Handler,), {"routes": routes, "guards": guards, "guarded": frozenset({"/metrics"})})
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        server_class = type(
            "Server", (_Server,), {"address_family": family, "guards": guards, "at_request": staticmethod(at_request)}
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


def _state_page(state: State) -> Page:
    def page(_accept: str) -> tuple[str, bytes]:
        good, why = state()
        body = f"{'ok' if good else 'not ok'}\n{why}\n".encode()
        if not good:
            raise NotGoodError(503, body)
        return PLAIN, body

    return page


def _index(_accept: str) -> tuple[str, bytes]:
    return (
        PLAIN,
        b"oomward\n/metrics  for Prometheus\n/healthz  is every thread alive\n/readyz   has it seen pods and cgroups\n",
    )


class _Server(ThreadingHTTPServer):
    guards: Guards | None
    at_request: Callable[[], None]
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
            connection, address = super().get_request()
        except OSError as error:
            if (left_out := self._failures.due("accept")) is not None:
                logger.warning("the status pages can't take a client (%s; %d more like it)", error.strerror, left_out)
            time.sleep(ACCEPT_PAUSE_S)  # out of descriptors, say, somebody stays at the door: don't spin
            raise
        context = self.guards.context() if self.guards is not None else None
        if context is not None:  # the handshake is the client's own thread's: it may take its time
            connection = context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

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
            self.at_request()
            super().process_request_thread(request, client_address)
        finally:
            self._leave(request)

    def _send_the_oldest_away(self) -> None:
        with self._clients_lock:
            oldest = next(iter(self._clients), None)
        if oldest is not None:
            with contextlib.suppress(OSError):  # it is going already
                socket.socket.shutdown(
                    oldest, socket.SHUT_RDWR
                )  # SSLSocket's own would have its thread go on unencrypted

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
