"""Asks the running agent over its socket. Imports next to nothing: a command beside the agent shares its memory limit."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress

from agent.serve.protocol import (
    CLIENT_TIME_S,
    MOST_ANSWER_BYTES,
    SOCKET,
    RefusedError,
    read_answer,
    request_line,
    socket_path,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from agent.wording.view import Shown

MOST_AT_ONCE = 1 << 16


class NoAgentError(Exception):
    """No agent answers, or it refuses to; the text says why."""


def ask(
    state_dir: str, command: str, arguments: Mapping[str, Any], *, document: bool, time_s: float = CLIENT_TIME_S
) -> Shown:
    """The agent's answer. Raises NoAgentError, and protocol.FailedError if the command itself failed."""
    path = os.path.join(state_dir, SOCKET)
    until_s = time.monotonic() + time_s
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(time_s)
            with socket_path(state_dir) as address:
                connection.connect(address)
            with suppress(BrokenPipeError):  # refused before it was asked: the reason is there to be read
                connection.sendall(request_line(command, arguments, document=document))
            line = _received(connection, until_s)
        return read_answer(line)
    except OSError as error:
        why = "it took too long" if isinstance(error, TimeoutError) else error.strerror or str(error)
        raise NoAgentError(f"no agent answers at {path} ({why})") from None
    except RefusedError as error:
        raise NoAgentError(f"the agent at {path} does not answer this: {error}") from None


def _received(connection: socket.socket, until_s: float) -> bytes:
    """All until the end. Raises OSError, RefusedError."""
    pieces: list[bytes] = []
    size = 0
    while True:
        connection.settimeout(max(0.001, until_s - time.monotonic()))
        try:
            piece = connection.recv(MOST_AT_ONCE)
        except ConnectionResetError:  # a refusal may leave a part of the request unread
            if not pieces:
                raise
            piece = b""
        if not piece:
            return b"".join(pieces)
        pieces.append(piece)
        size += len(piece)
        if size > MOST_ANSWER_BYTES:
            raise RefusedError("its answer does not end")
