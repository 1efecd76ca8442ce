"""The pages: /metrics, /healthz, /readyz. Threads of its own, short time-outs, a bounded number of clients at once."""

from __future__ import annotations

import logging
import socket
import socketserver
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from agent.model import AgentError

CLIENT_TIMEOUT_S = 10.0
MOST_CLIENTS = 16
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
            raise ListenError(
                f"can't listen on {shown} ({error.strerror}): is another agent or exporter there? Choose another with --listen."
            ) from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.2,), name="status pages", daemon=True
        )

    @property
    def address(self) -> tuple[str, int]:
        """Host and port in use (port 0 was asked for: the one that was given)."""
        host, port = self._server.server_address[:2]
        return str(host), int(port)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


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

    def __init__(self, *arguments: Any) -> None:
        self._places = threading.BoundedSemaphore(MOST_CLIENTS)
        super().__init__(*arguments)

    def server_bind(self) -> None:
        """As TCPServer does: HTTPServer's own asks DNS for this host's full name, which may take its time at a start."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._places.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        logger.debug("a client of the status pages went away", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    timeout = CLIENT_TIMEOUT_S
    server_version = "oomward"
    sys_version = ""
    routes: dict[str, Page]

    def do_GET(self) -> None:
        page = self.routes.get(self.path.partition("?")[0])
        if page is None:
            return self._answer(404, PLAIN, b"no such page: there are /metrics, /healthz and /readyz\n")
        try:
            content_type, body = page(self.headers.get("Accept", ""))
        except _NotGoodError as state:
            return self._answer(state.code, PLAIN, state.body)
        return self._answer(200, content_type, body)

    do_HEAD = do_GET  # noqa: N815

    def _answer(self, code: int, content_type: str, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Requests are not news."""
