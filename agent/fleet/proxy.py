"""``kubectl proxy`` on a socket that only the caller can open: kubeconfig, contexts, credentials and their plugins are kubectl's own.

Its filter would reject exec, and protects what everybody can reach over TCP; the socket is in a directory with mode 0700.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import IO

from agent.fleet import FleetError
from agent.fleet.arguments import NAME
from agent.wording.text import safe

START_S = 60.0  # a plugin for credentials may ask the user something
END_S = 3.0
KLOG = re.compile(rb"[IWEF]\d{4} ")  # kubectl's own log
MOST_SAID = 4096
LONGEST_WHY, LONGEST_NAME = 500, 253
NO_PATH = b"unknown flag: --append-server-path"  # before 1.23; only a server's URL with a path needs it
ABSENT = "kubectl is not on PATH, and this command reaches the cluster by it: install it (https://kubernetes.io/docs/tasks/tools)"


def program() -> str:
    """Raises FleetError without kubectl."""
    if found := shutil.which("kubectl"):
        return found
    raise FleetError(ABSENT)


@contextmanager
def proxy(flags: Sequence[str]) -> Iterator[str]:
    """The path of a socket with the cluster's API, for as long as this lasts. ``flags`` are kubectl's. Raises FleetError."""
    kubectl = program()
    with tempfile.TemporaryDirectory(prefix="oomward-") as directory:
        path = os.path.join(directory, "api")
        words = [kubectl, "proxy", f"--unix-socket={path}", "--disable-filter=true", *flags]
        with _served([*words, "--append-server-path=true"], words):
            yield path


@contextmanager
def _served(words: Sequence[str], older: Sequence[str]) -> Iterator[None]:
    """While the proxy runs. ``older``: what an older kubectl takes."""
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            said = _Said(process)
            if _is_up(process):
                said.pass_on()
                yield
                return
            why = said.all()
        finally:
            _end(process)
    if NO_PATH not in why or older == words:
        raise FleetError(f"kubectl could not be started: {safe(_sentence(why), LONGEST_WHY)}")
    with _served(older, older):
        yield


def _is_up(process: subprocess.Popen[bytes]) -> bool:
    """Its first line of output says that it serves; False: it has ended, or takes too long."""
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], START_S)
    return bool(ready) and bool(os.read(process.stdout.fileno(), MOST_SAID))


def _sentence(why: bytes) -> str:
    lines = [line for line in why.decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[0].removeprefix("error: ") if lines else "it gave no reason"


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(END_S)
        return
    process.kill()


class _Said:
    """What the process writes to standard error: kept until it serves, then passed on, without its log."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._said, self._passing, self._guard = b"", False, threading.Lock()
        assert process.stderr is not None
        self._thread = threading.Thread(target=self._read, args=(process.stderr,), daemon=True)
        self._thread.start()

    def all(self) -> bytes:
        """Of a process that has ended, or is too slow."""
        self._thread.join(1.0)
        with self._guard:
            return self._said

    def pass_on(self) -> None:
        with self._guard:
            self._passing = True

    def _read(self, stderr: IO[bytes]) -> None:
        with suppress(OSError, ValueError):  # closed meanwhile
            while piece := os.read(stderr.fileno(), MOST_SAID):
                with self._guard:
                    self._said = (self._said + piece)[:MOST_SAID]
                    passing = self._passing
                if passing:
                    print_piece(piece)


def print_piece(piece: bytes) -> None:
    """Of kubectl's standard error, without its log: such as the question of a credential plugin, which has no end of line."""
    shown = b"".join(line for line in piece.splitlines(keepends=True) if not KLOG.match(line))
    if shown and sys.stderr is not None:
        sys.stderr.write(shown.decode("utf-8", "replace"))
        sys.stderr.flush()


class Namespace:
    """The context's namespace, read beside everything else: kubectl needs a moment to start."""

    def __init__(self, flags: Sequence[str]) -> None:
        words = [program(), "config", "view", "--minify", "--output=jsonpath={..namespace}", *flags]
        self._process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    def name(self) -> str:
        """``default`` if the context has none, or if there is no context: then kubectl would take that, too.

        Raises FleetError if it is no name.
        """
        try:
            out, _ = self._process.communicate(timeout=START_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            out = b""
        name = out.decode("utf-8", "replace").strip() or "default"
        if not NAME.match(name):
            todo = "correct it, or give -n NAMESPACE"
            raise FleetError(f"the kubeconfig's namespace {safe(name, LONGEST_NAME)} is no name of one: {todo}")
        return name


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end this process in order, so that the proxy ends with it."""

    def end(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    numbers = (signal.SIGTERM, signal.SIGHUP) if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
