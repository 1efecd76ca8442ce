"""The socket in the state directory by which commands ask the agent. One thread, which only commands wait for.

Only root and the agent's own user may connect: the socket's mode is 0600, and the kernel names each peer (SO_PEERCRED, unix(7)).
A client has CLIENT_TIME_S in all; of too many clients, or answers that nobody takes, the oldest is disconnected. Trouble with the
socket is logged and ends no agent: commands then read the node themselves.
"""

from __future__ import annotations

import logging
import os
import selectors
import socket
import stat
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from pathlib import Path

from agent.serve.protocol import CLIENT_TIME_S, MOST_ANSWER_BYTES, MOST_REQUEST_BYTES, SOCKET, refused_line, socket_path
from agent.wording.logs import Once, left_out_text

logger = logging.getLogger("oomward")

MOST_CLIENTS = 8
ACCEPT_PAUSE_S = 0.2  # without descriptors, say, the client stays in the queue
END_WAIT_S = 1.0
TOO_LONG = refused_line(f"a request has at most {MOST_REQUEST_BYTES} bytes")
NOT_ALLOWED = refused_line("only root may ask the agent")


@dataclass(eq=False)
class _Client:
    """``request`` until its line is complete, then what is left of the answer in ``answer``."""

    connection: socket.socket
    until_s: float
    request: bytearray = field(default_factory=bytearray)
    answer: memoryview = field(default_factory=lambda: memoryview(b""))

    @property
    def answered(self) -> bool:
        return len(self.answer) > 0


class CommandServer:
    """Listens from the beginning, and serves after start(). ``trouble`` None: it listens; else why not.

    The caller has the state directory's AgentLock, so that a socket that is there was left by an agent that is gone. ``answer``
    never raises. ``at_request`` is called before each answer.
    """

    def __init__(
        self,
        state_dir: Path,
        answer: Callable[[bytes], bytes],
        at_request: Callable[[], None] = lambda: None,
        client_time_s: float = CLIENT_TIME_S,
    ) -> None:
        self._answer, self._at_request, self._client_time_s = answer, at_request, client_time_s
        self._path = state_dir / SOCKET
        self._clients: list[_Client] = []  # the oldest first
        self._selector = selectors.DefaultSelector()
        self._accept_after_s = -inf
        self._failures = Once(60.0)
        self._waker, self._wake = socket.socketpair()
        self._listener: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, name="commands", daemon=True)
        self.trouble: str | None = None
        try:
            self._listener = self._listen()
        except OSError as error:
            why = error.strerror or str(error)
            self.trouble = (
                f"no socket for commands at {self._path} ({why}): they read the node themselves, with more memory"
            )

    def _listen(self) -> socket.socket:
        """Nobody can connect before listen(), so nobody can before the mode is set."""
        with suppress(FileNotFoundError):
            if not stat.S_ISSOCK(os.lstat(self._path).st_mode):
                raise FileExistsError(0, "something else has this name")
            os.unlink(self._path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            with socket_path(str(self._path.parent)) as address:
                listener.bind(address)
            os.chmod(self._path, 0o600)
            listener.listen(MOST_CLIENTS)
        except OSError:
            listener.close()
            raise
        return listener

    def start(self) -> None:
        if self._listener is not None:
            self._thread.start()

    def close(self) -> None:
        """Remove the socket, and end the thread. An answer that still waits for the loop keeps nobody: the process ends without it."""
        self._waker.close()
        if self._listener is not None:
            with suppress(OSError):
                os.unlink(self._path)
        if self._thread.is_alive():
            self._thread.join(END_WAIT_S)
        if not self._thread.is_alive():
            self._wake.close()
            if self._listener is not None:
                self._listener.close()

    # -------------------------------------------------------------------------------------------------- the thread

    def _run(self) -> None:
        assert self._listener is not None
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._selector.register(self._listener, selectors.EVENT_READ)
        while True:
            ready = self._selector.select(self._wait_s())
            now_s = time.monotonic()
            if any(key.fileobj is self._wake for key, _ in ready):
                break
            try:
                self._turn({key.data for key, _ in ready}, now_s)
            except Exception as error:  # nothing about a command may end the agent
                if (left_out := self._failures.due(str(type(error)))) is not None:
                    logger.exception("the socket for commands failed%s", left_out_text(left_out))
                self._drop_all()
                self._pause(now_s)
        self._drop_all()
        self._selector.close()

    def _wait_s(self) -> float | None:
        """None: nobody waits."""
        times = [client.until_s for client in self._clients]
        times += [self._accept_after_s] if self._accept_after_s > -inf else []
        return max(0.0, min(times) - time.monotonic()) if times else None

    def _turn(self, ready: set[_Client | None], now_s: float) -> None:
        for client in [one for one in self._clients if one.until_s <= now_s]:
            self._drop(client)
        if -inf < self._accept_after_s <= now_s and self._listener is not None:
            self._accept_after_s = -inf
            self._selector.register(self._listener, selectors.EVENT_READ)
        elif None in ready:
            self._accept(now_s)
        for client in [one for one in self._clients if one in ready]:
            try:
                if client in self._clients:  # it may have made room for another
                    self._send(client) if client.answered else self._receive(client)
            except OSError:  # it is gone
                self._drop(client)

    def _accept(self, now_s: float) -> None:
        assert self._listener is not None
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:  # it has left again
            return
        except OSError as error:
            if (left_out := self._failures.due("accept")) is not None:
                logger.warning("can't take a command (%s; %d more like it)", error.strerror, left_out)
            self._pause(now_s)
            return
        connection.setblocking(False)
        if peer_uid(connection) not in (0, os.geteuid()):
            with suppress(OSError):
                connection.send(NOT_ALLOWED)
            connection.close()
            return
        if len(self._clients) >= MOST_CLIENTS:
            self._drop(self._clients[0])
        client = _Client(connection, now_s + self._client_time_s)
        self._clients.append(client)
        self._selector.register(connection, selectors.EVENT_READ, client)

    def _pause(self, now_s: float) -> None:
        """Take no client for a moment: don't spin."""
        if self._accept_after_s == -inf and self._listener is not None:
            self._accept_after_s = now_s + ACCEPT_PAUSE_S
            self._selector.unregister(self._listener)

    def _receive(self, client: _Client) -> None:
        """Raises OSError."""
        try:
            received = client.connection.recv(MOST_REQUEST_BYTES)
        except BlockingIOError:
            return
        client.request += received
        if b"\n" in client.request:
            line, _, more = bytes(client.request).partition(b"\n")
            self._at_request()
            answer = self._answer(line + b"\n") if not more else refused_line("a connection is for one request")
        elif len(client.request) >= MOST_REQUEST_BYTES:
            answer = TOO_LONG
        elif not received:
            self._drop(client)
            return
        else:
            return
        self._make_room(len(answer), client)
        client.answer = memoryview(answer)
        self._selector.modify(client.connection, selectors.EVENT_WRITE, client)
        self._send(client)

    def _make_room(self, size: int, keep: _Client) -> None:
        """Answers that wait for their clients take no more memory than one of the longest."""
        while sum(len(one.answer) for one in self._clients) + size > MOST_ANSWER_BYTES:
            oldest = next((one for one in self._clients if one.answered and one is not keep), None)
            if oldest is None:
                return
            self._drop(oldest)

    def _send(self, client: _Client) -> None:
        """Raises OSError."""
        try:
            sent = client.connection.send(client.answer)
        except BlockingIOError:
            return
        client.answer = client.answer[sent:]
        if not client.answered:
            self._drop(client)

    def _drop_all(self) -> None:
        for client in list(self._clients):
            self._drop(client)

    def _drop(self, client: _Client) -> None:
        self._clients.remove(client)
        self._selector.unregister(client.connection)
        client.connection.close()


def peer_uid(connection: socket.socket) -> int:
    """The user that connected, as the kernel saw it then."""
    _, uid, _ = struct.unpack(
        "iII", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("iII"))
    )
    return int(uid)
