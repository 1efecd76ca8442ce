"""Stands for Jupyter's server in the examples' test: a process a kernel, one that dies is started anew, and HTTP to ask and to run.

As Jupyter does it: a kernel that died is started again under its old id, its variables are gone. What is to be run waits at the gate first.
"""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading

KERNEL = """
import mmap, sys
variables = []
for line in sys.stdin:
    with open("/gate/large", "rb", buffering=0) as gate:
        gate.read(1)
    for _ in range(int(line) // 64):
        variables += [mmap.mmap(-1, 64 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE)]
"""


class Kernel:
    """One open notebook's."""

    def __init__(self) -> None:
        self.deaths = 0
        self.process = self.start()
        threading.Thread(target=self.watch, daemon=True).start()

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen([sys.executable, "-c", KERNEL], stdin=subprocess.PIPE, text=True)

    def watch(self) -> None:
        while True:
            self.process.wait()
            self.process, self.deaths = self.start(), self.deaths + 1

    def run(self, mib: str) -> None:
        print(mib, file=self.process.stdin, flush=True)


class Handler(http.server.BaseHTTPRequestHandler):
    """GET /: the server's pid and the kernels'. POST /NAME?MIB: run what takes so much. POST /shutdown: end with 0."""

    def do_GET(self) -> None:
        self.answer({"server": os.getpid()} | {name: [k.process.pid, k.deaths] for name, k in kernels.items()})

    def do_POST(self) -> None:
        self.answer({})
        name, _, mib = self.path[1:].partition("?")
        if name == "shutdown":
            os._exit(0)
        kernels[name].run(mib)

    def answer(self, what: dict[str, object]) -> None:
        body = json.dumps(what).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Not in the container's log."""


if __name__ == "__main__":
    kernels = {"first": Kernel(), "second": Kernel()}
    http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
