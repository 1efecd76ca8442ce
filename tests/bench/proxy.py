"""A proxy between the agent and the API that counts bytes, both ways, and forwards everything unchanged."""

from __future__ import annotations

import contextlib
import socket
import threading


class CountingProxy:
    """Listens on 127.0.0.1; ``sent`` is from client to server, ``received`` the other way. Bytes of TCP's payload."""

    def __init__(self, to_port: int) -> None:
        self.sent = 0
        self.received = 0
        self.connections = 0
        self._to_port = to_port
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            server = socket.create_connection(("127.0.0.1", self._to_port))
            with self._lock:
                self.connections += 1
                self._open |= {client, server}
            for source, target, to_server in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._pump, args=(source, target, to_server), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, to_server: bool) -> None:
        with contextlib.suppress(OSError):  # one side is closed: close the other
            while data := source.recv(65536):
                with self._lock:
                    if to_server:
                        self.sent += len(data)
                    else:
                        self.received += len(data)
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
            self._open.discard(end)

    def close(self) -> None:
        """Close all connections."""
        self._listener.close()
        for end in list(self._open):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
