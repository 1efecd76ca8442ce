"""A pod's network of its own in the lab: a namespace with nothing but a loopback, and single ports let through.

Only this process reaches through: a socket stays in the namespace that it was made in, so threads make sockets there.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
CLONE_NEWNET = 0x40000000
LOOPBACK = "127.0.0.1"


class PodNetwork:
    """``path`` is what a runtime joins. Needs root and ip(8)."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.path = Path("/run/netns") / name
        self._listeners: list[socket.socket] = []
        subprocess.run(["ip", "netns", "add", name], check=True)
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)

    def let_in(self, port: int) -> None:
        """What is at the node's ``port`` is at the pod's, too."""
        self._serve(self._inside(lambda: socket.create_server((LOOPBACK, port))), lambda: _connect(port))

    def let_out(self, port: int) -> None:
        """What is at the pod's ``port`` is at the node's, too."""
        self._serve(socket.create_server((LOOPBACK, port)), lambda: self._inside(lambda: _connect(port)))

    def close(self) -> None:
        for listener in self._listeners:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        subprocess.run(["ip", "netns", "del", self._name], check=True)

    def _inside(self, make: Callable[[], T]) -> T:
        """Have a thread of its own move into the namespace and make something there."""
        made: list[T] = []
        failed: list[OSError] = []

        def there() -> None:
            try:
                with self.path.open("rb") as namespace:
                    libc = ctypes.CDLL(None, use_errno=True)
                    if libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
                        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
                made.append(make())
            except OSError as error:
                failed.append(error)

        thread = threading.Thread(target=there)
        thread.start()
        thread.join()
        if failed:
            raise failed[0]
        return made[0]

    def _serve(self, listener: socket.socket, connect: Callable[[], socket.socket]) -> None:
        self._listeners.append(listener)
        threading.Thread(target=_accept, args=(listener, connect), daemon=True).start()


def _connect(port: int) -> socket.socket:
    return socket.create_connection((LOOPBACK, port), timeout=5)


def _accept(listener: socket.socket, connect: Callable[[], socket.socket]) -> None:
    while True:
        try:
            near, _ = listener.accept()
        except OSError:
            return  # closed
        try:
            far = connect()
        except OSError:
            near.close()
            continue
        far.settimeout(None)
        threading.Thread(target=_join, args=(near, far), daemon=True).start()


def _join(near: socket.socket, far: socket.socket) -> None:
    """Pass on both ways until both are closed."""
    with near, far:
        back = threading.Thread(target=_pass_on, args=(far, near), daemon=True)
        back.start()
        _pass_on(near, far)
        back.join()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    """Until one end is closed: then the other's is."""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
