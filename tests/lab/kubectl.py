"""kubectl's stand-in, as far as ``kubectl oomward`` uses it: `proxy --unix-socket`, and `config view` of the context's namespace.

As a program (``install`` writes it) it reads a kubeconfig as ``ApiServer.write_kubeconfig`` writes it. The first request's head gets the
token; after it a connection is passed on as it is, as the real one does with an upgrade (apimachinery's UpgradeAwareHandler).
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

MOST = 1 << 16
OLD = "STAND_IN_IS_OLD"  # in the environment: as kubectl before 1.23


class Proxy:
    """Serves on ``path`` until it is closed."""

    def __init__(self, path: str, url: str, token: str | None) -> None:
        self._to = urlsplit(url)
        self._token = token
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(path)
        self._listener.listen(256)
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    def close(self) -> None:
        """No new connections."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                piece = client.recv(MOST)
                if not piece:
                    return
                head += piece
            try:
                server = socket.create_connection((self._to.hostname, self._to.port))
            except OSError as error:
                body = f"dial tcp {self._to.netloc}: connect: {(error.strerror or '').lower()}\n".encode()
                client.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
                return
            with server:
                first, rest = head.split(b"\r\n", 1)
                own = f"Authorization: Bearer {self._token}\r\n".encode() if self._token else b""
                server.sendall(first + b"\r\n" + own + rest)
                back = threading.Thread(target=_pass_on, args=(server, client), daemon=True)
                back.start()
                _pass_on(client, server)
                back.join()


def _pass_on(source: socket.socket, to: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(MOST):
            to.sendall(piece)
    with suppress(OSError):
        to.shutdown(socket.SHUT_WR)


def install(directory: Path) -> None:
    """As ``kubectl`` in a directory for PATH."""
    program = directory / "kubectl"
    here = Path(__file__).resolve()
    program.write_text(f"#!{sys.executable} -IS\nimport runpy\nrunpy.run_path({str(here)!r}, run_name='__main__')\n")
    program.chmod(0o755)


def main(words: list[str]) -> int:
    flags = {name: value for name, _, value in (word.partition("=") for word in words)}
    if os.environ.get(OLD) and "--append-server-path" in flags:
        print("Error: unknown flag: --append-server-path\nSee 'kubectl proxy --help' for usage.", file=sys.stderr)
        return 1
    path = flags.get("--kubeconfig") or os.environ.get("KUBECONFIG", "")
    config = json.loads(Path(path).read_text()) if path else {}
    wanted = flags.get("--context") or config.get("current-context")
    context = next((one["context"] for one in config.get("contexts", ()) if one["name"] == wanted), None)
    if context is None:
        print(f'error: context "{wanted}" does not exist', file=sys.stderr)
        return 1
    if words[0] == "config":
        print(context.get("namespace", ""), end="")
        return 0
    Proxy(flags["--unix-socket"], config["clusters"][0]["cluster"]["server"], config["users"][0]["user"]["token"])
    print(f"Starting to serve on {flags['--unix-socket']}", flush=True)
    threading.Event().wait()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
