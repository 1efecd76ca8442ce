"""Stands between the agent and the runtime's NRI socket: cuts, hangs, and goes away, as a runtime in trouble does."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from math import inf
from pathlib import Path

CHUNK = 1 << 16


class Proxy:
    """Listens at ``path`` for the agent; each connection leads to one of its own at ``real``. Two threads for each."""

    def __init__(self, path: Path, real: Path) -> None:
        self.path, self._real = path, real
        # Of the connections, from when until when (CLOCK_MONOTONIC; infinity: until now).
        self.lives: list[list[float]] = []
        self._flowing = threading.Event()
        self._flowing.set()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        path.parent.mkdir(parents=True, exist_ok=True)
        self.come()

    def come(self) -> None:
        """Listen, again after ``go``."""
        self._listener = listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.path))
        listener.listen()
        threading.Thread(target=self._accept, args=(listener,), name="nri", daemon=True).start()

    def go(self) -> None:
        """The socket is gone, with all connections."""
        self.path.unlink()
        if (listener := self._listener) is not None:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.cut()

    def cut(self) -> None:
        """End all connections; they have ended when this returns."""
        with self._lock:
            found = list(self._open)
            for life in self.lives:
                _end(life)
        for each in found:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def hang(self, seconds: float) -> None:
        """Nothing passes for a while, in either direction; it comes late."""
        self._flowing.clear()
        time.sleep(seconds)
        self._flowing.set()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                agent, _ = listener.accept()
                runtime = socket.socket(socket.AF_UNIX)
                with self._lock:
                    self._open |= {agent, runtime}
                try:
                    runtime.connect(str(self._real))
                except OSError:
                    self._close(agent)
                    self._close(runtime)
                    continue
                life = [time.monotonic(), inf]
                with self._lock:
                    self.lives.append(life)
                for source, target in ((agent, runtime), (runtime, agent)):
                    threading.Thread(target=self._pump, args=(source, target, life), name="nri", daemon=True).start()

    def lived(self, since_s: float, until_s: float) -> bool:
        """Whether one connection lasted over this time."""
        return any(began_s <= since_s and until_s <= ended_s for began_s, ended_s in self.lives)

    def _pump(self, source: socket.socket, target: socket.socket, life: list[float]) -> None:
        with suppress(OSError):
            while data := source.recv(CHUNK):
                self._flowing.wait()
                target.sendall(data)
        _end(life)
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._close(source)

    def _close(self, end: socket.socket) -> None:
        with self._lock:
            self._open.discard(end)
        end.close()


def _end(life: list[float]) -> None:
    life[1] = min(life[1], time.monotonic())
