"""Which clients are being served. One more than there are places for disconnects another, so nobody can keep the others out."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import Counter


class Places:
    """Any thread may call. The client that has waited longest is disconnected, of the address that has most places."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._clients: dict[socket.socket, str] = {}  # with its address; the oldest first
        self._lock = threading.Lock()

    def enter(self, client: socket.socket, address: str, *, idle: bool = False) -> None:
        """``idle``: it has its answer, and is the next to be disconnected."""
        with self._lock:
            self._clients.pop(client, None)
            self._clients = {client: address, **self._clients} if idle else {**self._clients, client: address}
            if len(self._clients) > self._most:
                counts = Counter(self._clients.values())
                most = max(counts.values())
                oldest = next(each for each, of in self._clients.items() if counts[of] == most)
                del self._clients[oldest]
                with contextlib.suppress(OSError):  # it is leaving already
                    socket.socket.shutdown(oldest, socket.SHUT_RDWR)  # SSLSocket's own would go on unencrypted

    def leave(self, client: socket.socket) -> None:
        with self._lock:
            self._clients.pop(client, None)

    def has(self, client: socket.socket) -> bool:
        """Whether it was not disconnected."""
        with self._lock:
            return client in self._clients
