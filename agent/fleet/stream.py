"""A connection to the proxy's socket that is upgraded to a WebSocket, with one deadline for all of it."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import socket
import time
from contextlib import suppress
from typing import Any

from agent.fleet import FleetError
from agent.fleet.frames import CLOSE, PING, PONG, FramesError, Message, Reader, frame
from agent.wording.text import safe

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
MOST_HEAD, MOST_BODY = 64 << 10, 64 << 10
MOST_AT_ONCE = 1 << 18
LONGEST_WHY = 300
HEAD_END = b"\r\n\r\n"
STATUS = re.compile(r"HTTP/1\.[0-9] +([0-9]{3})(?: |$)")  # RFC 9112, section 4


class TookTooLongError(FleetError):
    """The deadline has passed."""


class WebSocket:
    """``until_s``: the deadline on the monotonic clock."""

    def __init__(self, connection: socket.socket, until_s: float, most_bytes: int) -> None:
        self._connection = connection
        self._until_s = until_s
        self._reader = Reader(most_bytes)

    def open(self, path: str, protocols: tuple[str, ...]) -> list[Message]:
        """Shake hands; the messages that came with the answer. Raises FleetError with the server's reason for a refusal."""
        key = base64.b64encode(os.urandom(16))
        lines = [
            f"GET {path} HTTP/1.1",
            "Host: localhost",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {key.decode()}",
            f"Sec-WebSocket-Protocol: {', '.join(protocols)}",
        ]
        with suppress(BrokenPipeError):  # refused already: the reason is there to be read
            self._send("\r\n".join(lines).encode() + HEAD_END)
        code, headers, rest = self._head()
        if code != 101:
            raise FleetError(refusal(code, self._body(headers, rest)))
        accepted = base64.b64encode(hashlib.sha1(key + GUID, usedforsecurity=False).digest()).decode()
        if headers.get("sec-websocket-accept") != accepted or headers.get("sec-websocket-protocol") not in protocols:
            raise FleetError("the API server does not speak exec's protocol over WebSocket")
        return self._messages(rest)

    def receive(self, wait_until_s: float | None = None) -> list[Message] | None:
        """Messages that have arrived; None: the connection has ended. Raises FleetError, TookTooLongError."""
        try:
            data = self._receive(wait_until_s)
        except ConnectionResetError:
            data = b""
        return self._messages(data) if data else None

    def close(self) -> None:
        """Say that we are done, if anybody listens."""
        with suppress(OSError, FleetError):
            self._send(frame(CLOSE, (1000).to_bytes(2, "big"), os.urandom(4)))

    def _messages(self, data: bytes) -> list[Message]:
        try:
            found = self._reader.feed(data)
        except FramesError as error:
            raise FleetError(f"its answer can't be read: {error}") from None
        for message in found:
            if message.opcode == PING:
                self._send(frame(PONG, message.data, os.urandom(4)))
        return found

    def _left_s(self, until_s: float | None = None) -> float:
        left_s = min(self._until_s, until_s or self._until_s) - time.monotonic()
        if left_s <= 0:
            raise TookTooLongError("timed out")
        return left_s

    def _send(self, data: bytes) -> None:
        self._connection.settimeout(self._left_s())
        self._connection.sendall(data)

    def _receive(self, until_s: float | None = None) -> bytes:
        self._connection.settimeout(self._left_s(until_s))
        try:
            return self._connection.recv(MOST_AT_ONCE)
        except TimeoutError:
            raise TookTooLongError("timed out") from None

    def _head(self) -> tuple[int, dict[str, str], bytes]:
        """The answer's status code, its headers by lower-case name, and what was read beyond them."""
        data, seen = bytearray(), 0
        while HEAD_END not in data[seen:]:  # the first frames may come with it
            if len(data) > MOST_HEAD:
                raise FleetError("its answer is not HTTP")
            seen = max(0, len(data) - len(HEAD_END))
            piece = self._receive()
            if not piece:
                raise FleetError("the connection ended before there was an answer")
            data += piece
        head, _, rest = bytes(data).partition(HEAD_END)
        first, *lines = head.decode("latin-1").split("\r\n")
        status = STATUS.match(first)
        if status is None:
            raise FleetError("its answer is not HTTP")
        pairs = (line.partition(":") for line in lines)
        return int(status[1]), {name.strip().lower(): value.strip() for name, _, value in pairs}, rest

    def _body(self, headers: dict[str, str], data: bytes) -> bytes:
        """Of a refusal: as much as is there, at most ``MOST_BODY`` bytes."""
        length = headers.get("content-length", "")
        most = int(length) if len(length) < len(str(MOST_BODY)) and length.isascii() and length.isdigit() else MOST_BODY
        with suppress(OSError, TookTooLongError):
            while len(data) < most and (piece := self._receive()):
                data += piece
        return data[:most]


def refusal(code: int, body: bytes) -> str:
    """Why the API server, or a proxy before it, refuses: the message of a Status, else its text."""
    try:
        status: Any = json.loads(body)
    except (ValueError, RecursionError):
        message: object = " ".join(body.decode("utf-8", "replace").split())
    else:
        message = status.get("message") if isinstance(status, dict) else None
    return safe(message, LONGEST_WHY) if isinstance(message, str) and message else f"the API server answers {code}"
