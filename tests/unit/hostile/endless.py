"""A server that says the same thing over and over, to whoever asks for whatever; and what an agent's memory is at its peak."""

from __future__ import annotations

import contextlib
import gc
import socketserver
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

MIB = 1 << 20


class Endless(socketserver.ThreadingTCPServer):
    """``front``, then ``again`` so many times, then ``back``; after a head that promises no length. ``sent`` counts bytes."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, front: bytes, again: bytes, times: int, back: bytes, status: int = 200) -> None:
        self.sent = 0
        head = f"HTTP/1.1 {status} Whatever\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n".encode()
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                while self.rfile.readline().strip():
                    pass
                with contextlib.suppress(OSError):  # whoever asked has heard enough
                    self.wfile.write(head + front)
                    for _ in range(times):
                        self.wfile.write(again)
                        outer.sent += len(again)
                    self.wfile.write(back)

        super().__init__(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def write_kubeconfig(self, path: Path) -> Path:
        config: dict[str, Any] = {
            "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{self.server_address[1]}"}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        }
        path.write_text(yaml.safe_dump(config))
        return path

    def close(self) -> None:
        self.shutdown()
        self._thread.join(10)
        self.server_close()


@contextmanager
def peak_below(most_bytes: int) -> Iterator[None]:
    """What is done in here may need so much memory at once, and no more."""
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert peak < most_bytes, f"{peak / MIB:.1f} MiB at the peak"
