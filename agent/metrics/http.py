"""The server of the pages /metrics, /healthz with the threads' heartbeats, /readyz, and an index of them.

One client more than MOST_CLIENTS disconnects the oldest, so that open connections can't keep the kubelet's probes out.
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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from typing import Any

from agent.metrics.answering import PLAIN, Handler, Page
from agent.model import AgentError
from agent.settings import PageGuards
from agent.wording.logs import Once

MOST_CLIENTS = 16
ACCEPT_PAUSE_S = 0.2
PLACE_WAIT_S = 1.0  # until the client that was disconnected is gone
INDEX = b"oomward\n/metrics  for Prometheus\n/healthz  is every thread alive\n/readyz   has it seen pods and cgroups\n"
logger = logging.getLogger("oomward")

State = Callable[[], tuple[bool, str]]


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """``last_monotonic_s`` gives the time of the thread's last heartbeat; after ``limit_s`` without one it hangs."""

    thread: str
    last_monotonic_s: Callable[[], float]
    limit_s: float

    def last_unix_s(self) -> float:
        return time.time() - time.monotonic() + self.last_monotonic_s()


def health(beats: Sequence[Heartbeat], now_s: float) -> tuple[bool, str]:
    """Whether no thread hangs, and a line per thread. ``now_s`` is monotonic."""
    ages = [(beat, max(0.0, now_s - beat.last_monotonic_s())) for beat in beats]
    lines = [
        f"{beat.thread}: last sign of life {age_s:.1f} s ago (limit {beat.limit_s:.0f} s)"
        + ("" if age_s < beat.limit_s else ": it hangs, and the kubelet should restart the agent")
        for beat, age_s in ages
    ]
    return all(age_s < beat.limit_s for beat, age_s in ages), "\n".join(lines)


class ListenError(AgentError):
    """The address is not available."""


class StatusServer(ThreadingHTTPServer):
    """Listens from the beginning, and serves after start(). Raises ListenError.

    ``page`` gets the Accept header and gives content type and body; ``health`` and ``ready`` say yes or no, and why.
    ``guards`` None: plain HTTP for everybody. Else they protect ``page``; the kubelet's probes need no more than TLS.
    ``at_request`` is called by each client's thread before the client is served.
    """

    request_queue_size = 128  # the library's 5 makes a client wait a second when a handful connects at once
    timeout = 0  # handle_request() is called when a client is there, and must not wait if it left again

    def __init__(
        self,
        listen: tuple[str, int],
        page: Callable[[str], tuple[str, bytes]],
        health: State,
        ready: State,
        guards: PageGuards | None = None,
        at_request: Callable[[], None] = lambda: None,
    ) -> None:
        self.routes: dict[str, Page] = {
            "/metrics": lambda accept: (200, *page(accept)),
            "/healthz": lambda _: _answer(*health()),
            "/readyz": lambda _: _answer(*ready()),
            "/": lambda _: (200, PLAIN, INDEX),
        }
        self.guards = guards
        self._at_request = at_request
        self._clients: dict[socket.socket, None] = {}  # being served; the oldest first
        self._clients_changed = threading.Condition()
        self._failures = Once(60.0)
        host, port = listen
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), Handler)
        except OSError as error:
            shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            why = "another agent or exporter may be there; " if error.errno == errno.EADDRINUSE else ""
            raise ListenError(
                f"can't listen on {shown} ({error.strerror}): {why}choose another address with --listen."
            ) from error
        self._waker, self._wake = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, name="status pages", daemon=True)

    def server_bind(self) -> None:
        """As TCPServer does: HTTPServer's own asks DNS for this host's full name, which may take long."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._waker.close()
        if self._thread.is_alive():
            self._thread.join()
        self._wake.close()
        self.server_close()

    def _serve(self) -> None:
        """Unlike serve_forever(), which wakes twice a second and more to see whether to end, this sleeps."""
        with selectors.DefaultSelector() as selector:
            selector.register(self, selectors.EVENT_READ)
            selector.register(self._wake, selectors.EVENT_READ)
            while True:
                if any(key.fileobj is self._wake for key, _ in selector.select()):
                    return
                self.handle_request()

    def get_request(self) -> tuple[Any, Any]:
        try:
            connection, address = super().get_request()
        except OSError as error:
            if (left_out := self._failures.due("accept")) is not None:
                logger.warning("the status pages can't take a client (%s; %d more like it)", error.strerror, left_out)
            time.sleep(ACCEPT_PAUSE_S)  # without descriptors, say, the client stays in the queue: don't spin
            raise
        context = self.guards.context() if self.guards is not None else None
        if context is not None:  # the handshake is done by the client's own thread: it may take long
            connection = context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._clients_changed:
            if len(self._clients) >= MOST_CLIENTS:
                with contextlib.suppress(OSError):  # it is leaving already
                    # SSLSocket's own shutdown() would let its thread continue unencrypted.
                    socket.socket.shutdown(next(iter(self._clients)), socket.SHUT_RDWR)
                if not self._clients_changed.wait_for(lambda: len(self._clients) < MOST_CLIENTS, PLACE_WAIT_S):
                    self.shutdown_request(request)
                    return
            self._clients[request] = None
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._leave(request)
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            self._at_request()
            super().process_request_thread(request, client_address)
        finally:
            self._leave(request)

    def _leave(self, request: socket.socket) -> None:
        with self._clients_changed:
            self._clients.pop(request, None)
            self._clients_changed.notify()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        error = sys.exception()
        if isinstance(error, OSError):
            logger.debug("a client of the status pages went away: %s", error)
        elif error is not None:
            self.page_failed(error)

    def page_failed(self, error: BaseException) -> None:
        """One log line per minute for each kind of error, with its traceback."""
        if (left_out := self._failures.due(str(type(error)))) is not None:
            logger.error("a status page failed (%d more since the last such line)", left_out, exc_info=error)


def _answer(good: bool, why: str) -> tuple[int, str, bytes]:
    return 200 if good else 503, PLAIN, f"{'ok' if good else 'not ok'}\n{why}\n".encode()
