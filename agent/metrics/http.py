"""The server of the pages /metrics, /healthz with the threads' heartbeats, /readyz, and an index of them.

One client more than MOST_CLIENTS disconnects the oldest, so that open connections can't keep the kubelet's probes out. Those that
wait for /metrics, or don't read it, have places of their own: the probes never wait for any of them.
"""

from __future__ import annotations

import errno
import logging
import selectors
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from typing import Any

from agent.metrics.answering import Handler
from agent.metrics.answering import Page as TextPage
from agent.metrics.pages import Page, SharedPage
from agent.metrics.places import Places
from agent.model import AgentError
from agent.settings import PageGuards
from agent.wording.logs import Once, left_out_text

MOST_CLIENTS = 16  # that have not asked yet, or ask for a probe's page; and as many that ask for /metrics
MOST_THREADS = 4 * MOST_CLIENTS  # some of clients that were disconnected and have not left yet
ACCEPT_PAUSE_S = 0.2
PLACE_WAIT_S = 1.0  # until clients that were disconnected are gone
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
    ``at_request`` is called by each client's thread before the client is served, and before each later request is.
    """

    request_queue_size = 128  # the library's 5 makes a client wait a second when a handful connects at once
    timeout = 0  # handle_request() is called when a client is there, and must not wait if it left again

    def __init__(
        self,
        listen: tuple[str, int],
        page: Page,
        health: State,
        ready: State,
        guards: PageGuards | None = None,
        at_request: Callable[[], None] = lambda: None,
    ) -> None:
        self.page = SharedPage(page)
        self.routes: dict[str, TextPage] = {
            "/healthz": lambda: _answer(*health()),
            "/readyz": lambda: _answer(*ready()),
            "/": lambda: (200, INDEX),
        }
        self.guards = guards
        self.at_request = at_request
        self._arrived, self._for_metrics = Places(MOST_CLIENTS), Places(MOST_CLIENTS)
        self.has = self._for_metrics.has
        self._serving = 0
        self._serving_changed = threading.Condition()
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
            self._refused(str(error.strerror))
            time.sleep(ACCEPT_PAUSE_S)  # without descriptors, say, the client stays in the queue: don't spin
            raise
        context = self.guards.context() if self.guards is not None else None
        if context is not None:  # the handshake is done by the client's own thread: it may take long
            connection = context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def _refused(self, why: str) -> None:
        if (left_out := self._failures.due("accept")) is not None:
            logger.warning("the status pages can't take a client (%s; %d more like it)", why, left_out)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._arrived.enter(request, client_address[0])
        with self._serving_changed:
            if not self._serving_changed.wait_for(lambda: self._serving < MOST_THREADS, PLACE_WAIT_S):
                self._arrived.leave(request)
                self.shutdown_request(request)
                return
            self._serving += 1
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

    def _leave(self, request: socket.socket) -> None:
        self._arrived.leave(request)
        with self._serving_changed:
            self._serving -= 1
            self._serving_changed.notify()

    @contextmanager
    def for_metrics(self, client: socket.socket, address: tuple[Any, ...]) -> Iterator[None]:
        """The client asks for /metrics, until it has its answer."""
        self._for_metrics.enter(client, address[0])
        self._arrived.leave(client)
        try:
            yield
        finally:
            self._for_metrics.leave(client)

    def await_request(self, client: socket.socket, address: tuple[Any, ...]) -> None:
        """The client may ask again."""
        self._arrived.enter(client, address[0], idle=True)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        error = sys.exception()
        if isinstance(error, OSError):
            logger.debug("a client of the status pages went away: %s", error)
        elif isinstance(error, RuntimeError):  # no thread can be started
            self._refused(str(error))
        elif error is not None:
            self.page_failed(error)

    def page_failed(self, error: BaseException) -> None:
        """One log line per minute for each kind of error, with its traceback."""
        if (left_out := self._failures.due(str(type(error)))) is not None:
            logger.error("a status page failed%s", left_out_text(left_out), exc_info=error)


def _answer(good: bool, why: str) -> tuple[int, bytes]:
    return 200 if good else 503, f"{'ok' if good else 'not ok'}\n{why}\n".encode()
