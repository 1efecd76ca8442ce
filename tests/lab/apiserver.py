"""The API's stand-in: what the agent uses of kube-apiserver, on http.server, as the real one behaves, faults included.

Takes pods from the test (``put_pod``, ``delete_pod``), serves them on 127.0.0.1 to whoever has the token, and keeps what
it was sent: ``events``, ``requests``. ``faults`` are switched on by the test. Parts: apihandler (requests and answers), apiexec,
apipods (list and watch), apistore, apiselect, apievents (validation), apifaults. Imports nothing of the agent.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

from tests.lab.apiexec import PROTOCOLS, Command
from tests.lab.apifaults import Faults
from tests.lab.apihandler import Handler, Request
from tests.lab.apiobjects import Objects, Stored
from tests.lab.apistore import Json, Store

NICE = -15


class ApiServer:
    """``token`` is what is accepted (None: any), ``denied`` what SelfSubjectAccessReview says no to, as (verb, resource);
    ``gone_as`` how a version that is too old is answered. Tests may change each while it runs. ``history``: see Store.
    ``tls``: a server's context, for https. ``elsewhere``: its threads go before all others, as if it had a machine of its own.
    """

    def __init__(
        self,
        *,
        bookmark_s: float = 1.0,
        history: int = 1000,
        token: str | None = "lab-token",
        gone_as: Literal["event", "status"] = "event",
        tls: ssl.SSLContext | None = None,
        elsewhere: bool = False,
    ) -> None:
        self.store = Store(history)
        self.objects = Objects(Stored(self.store))
        self.faults = Faults()
        self.requests: list[Request] = []
        self.denied: set[tuple[str, str]] = set()
        self.forbidden: set[tuple[str, str]] = (
            set()
        )  # what is answered with 403: ("list", "nodes"), ("create", "pods/exec")
        self.commands: dict[tuple[str, str], Command] = {}  # what exec runs, by the pod's namespace and name
        self.exec_protocols: tuple[str, ...] = PROTOCOLS  # before Kubernetes 1.30: version 4 only
        self.token = token
        self.bookmark_s = bookmark_s
        self.gone_as = gone_as
        self.closing = False
        self.clock: Callable[[], float] = time.time  # of the header Date
        self._tls = tls
        self._elsewhere = elsewhere
        self._http = self._listen(0)
        self._port: int = self._http.server_address[1]
        self._thread: threading.Thread | None = None

    def now(self) -> str:
        """The time, as the API writes it into objects."""
        return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}"

    @property
    def events(self) -> list[Json]:
        """Events that were accepted."""
        with self.store.changed:
            return list(self.store.events.values())

    def start(self) -> None:
        """Serve; after close() again, on the same port and with the same contents."""
        if self.closing:
            self.closing = False
            self._http = self._listen(self._port)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), name="api", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Go away: every connection is cut, new ones are refused. What it holds stays."""
        self.closing = True
        if self._thread is not None:
            self._http.shutdown()
            self._thread.join()
            self._thread = None
        self._http.server_close()
        self._http.cut()
        self.faults.clear()
        with self.store.changed:
            self.store.changed.notify_all()

    def put_pod(self, pod: Json) -> None:
        """Create or replace a pod; watches tell of it."""
        self.store.put(pod)

    def delete_pod(self, namespace: str, name: str) -> None:
        """Remove a pod; one that isn't there is fine."""
        self.store.delete(namespace, name)

    def write_kubeconfig(self, path: Path, token_file: Path | None = None, ca_file: Path | None = None) -> None:
        """A kubeconfig that leads here; ``token_file``: the token is read from there; ``ca_file``: what TLS is checked by."""
        user: Json = {"token": self.token or "any"}
        if token_file is not None:
            token_file.write_text(self.token or "any")
            user = {"tokenFile": str(token_file)}
        cluster = {"server": self.url} | ({"certificate-authority": str(ca_file)} if ca_file is not None else {})
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "lab",
            "clusters": [{"name": "lab", "cluster": cluster}],
            "users": [{"name": "lab", "user": user}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
        }
        path.write_text(json.dumps(config))

    def _listen(self, port: int) -> _Http:
        http = _Http(
            ("127.0.0.1", port), type("BoundHandler", (Handler,), {"api": self}), NICE if self._elsewhere else 0
        )
        if self._tls is not None:
            http.socket = self._tls.wrap_socket(http.socket, server_side=True, do_handshake_on_connect=False)
        return http


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], handler: type[Handler], nice: int) -> None:
        self._nice = nice
        self._connections: set[socket.socket] = set()
        self._guard = threading.Lock()
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._guard:
            self._connections.add(request)
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        if self._nice:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), self._nice)
        super().process_request_thread(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._guard:
            self._connections.discard(request)
        super().shutdown_request(request)

    def cut(self) -> None:
        """End every connection, whatever it is doing."""
        with self._guard:
            connections = list(self._connections)
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # gone by itself meanwhile

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients go away in the middle; that is theirs."""
