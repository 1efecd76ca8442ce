"""One command in one agent's container, by exec over a WebSocket: its output and its exit code.

Frames are binary; the first byte is the channel (k8s.io/apimachinery/pkg/util/remotecommand). Version 5 differs from 4 only in closing
standard input, which isn't used here: Kubernetes 1.30 and newer have it.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from agent.fleet import FleetError
from agent.fleet.frames import BINARY, CLOSE, Message
from agent.fleet.stream import LONGEST_WHY, TookTooLongError, WebSocket
from agent.wording.text import bytes_text, safe

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
STDOUT, STDERR, ERROR = 1, 2, 3
MOST_STDOUT = 64 << 20  # of one agent, which sends at most 8 MiB of rows, here with indentation
MOST_STDERR = 64 << 10
MOST_MESSAGE = 16 << 20
AFTER_STATUS_S = 1.0  # the end of the connection follows the exit status at once


@dataclass(frozen=True, slots=True)
class Finished:
    """What a command has written, and its exit code."""

    stdout: bytes
    stderr: bytes
    exit_code: int


@dataclass(slots=True)
class Output:
    """What a command has written so far. ``error``: the Status that ends it."""

    stdout: bytearray = field(default_factory=bytearray)
    stderr: bytearray = field(default_factory=bytearray)
    error: bytearray = field(default_factory=bytearray)

    def take(self, message: Message) -> None:
        """Raises FleetError if there is too much of it."""
        if message.opcode != BINARY or not message.data:
            return
        channel, data = message.data[0], message.data[1:]
        if channel == STDOUT:
            if len(self.stdout) + len(data) > MOST_STDOUT:
                raise FleetError(f"its answer has more than {bytes_text(MOST_STDOUT)}")
            self.stdout += data
        elif channel == STDERR:
            self.stderr += data[: MOST_STDERR - len(self.stderr)]
        elif channel == ERROR:
            self.error += data[: MOST_STDERR - len(self.error)]


def execute(
    socket_path: str, namespace: str, pod: str, container: str, words: Sequence[str], until_s: float
) -> Finished:
    """Run ``words`` there, until the monotonic clock says ``until_s``. Raises FleetError, TookTooLongError, OSError."""
    query = [("container", container), ("stdout", "true"), ("stderr", "true"), *(("command", word) for word in words)]
    try:
        path = f"/api/v1/namespaces/{quote(namespace, safe='')}/pods/{quote(pod, safe='')}/exec?{urlencode(query)}"
    except UnicodeError:  # half a character, in a name of the API server's
        raise FleetError("what it is to be asked is not UTF-8") from None
    output = Output()
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as connection:
        connection.settimeout(max(0.001, until_s - time.monotonic()))
        connection.connect(socket_path)
        web = WebSocket(connection, until_s, MOST_MESSAGE)
        _receive(web, web.open(path, PROTOCOLS), output)
        web.close()
    return Finished(bytes(output.stdout), bytes(output.stderr), exit_code(output.error))


def _receive(web: WebSocket, messages: list[Message] | None, output: Output) -> None:
    """Until the connection is closed, or nothing follows the status any more."""
    end_s: float | None = None
    while messages is not None:
        for message in messages:
            if message.opcode == CLOSE:
                return
            output.take(message)
        if output.error and end_s is None:
            end_s = time.monotonic() + AFTER_STATUS_S
        try:
            messages = web.receive(end_s)
        except TookTooLongError:
            if end_s is None:
                raise
            return


def exit_code(error: bytes | bytearray) -> int:
    """Of the Status that ends a command (NonZeroExitCode has it as a cause). Raises FleetError if the command did not run to its end."""
    if not error:
        raise FleetError("the connection ended before the command did")
    try:
        status: Any = json.loads(error)
        if status["status"] == "Success":
            return 0
        if status.get("reason") == "NonZeroExitCode":
            causes = status["details"]["causes"]
            return int(next(one["message"] for one in causes if one.get("reason") == "ExitCode"))
        message = status.get("message")
    except (ValueError, OverflowError, RecursionError, KeyError, TypeError, AttributeError, StopIteration):
        message = None
    why = safe(message, LONGEST_WHY) if isinstance(message, str) and message else "the reason can't be read"
    raise FleetError(f"the command could not be run: {why}")
