"""Exec over WebSocket by the API's stand-in, as kube-apiserver serves it (versions 4 and 5 of the channel protocol), faults included.

Takes commands from the test (``ApiServer.commands``), by the pod's namespace and name; gives their output in frames, as slow, torn or
noisy as the test says. Sources: k8s.io/apimachinery/pkg/util/remotecommand, apiserver's wsstream; RFC 6455.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from tests.lab.apihandler import Handler

PATH = re.compile(r"/api/v1/namespaces/([^/]+)/pods/([^/]+)/exec\Z")
PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
STDOUT, STDERR, ERROR = b"\x01", b"\x02", b"\x03"
CONTINUATION, TEXT, BINARY, CLOSE, PING = 0, 1, 2, 8, 9
PIECE = 32 << 10  # of a stream's copy
LONGEST_WAIT_S = 5.0


class Ending(Enum):
    """Kinds of misbehaviour."""

    CLEAN = "all output, the status, a close frame"
    HALF = "half of the output, then a close frame without a status"
    CUT = "half of a frame, then the connection is cut"
    SILENT = "not a byte after the handshake"
    STALLED = "half of the output, then not a byte"
    NO_CLOSE = "all output and the status, and the connection stays open"
    STATUS_FIRST = "the status before the output"
    NO_STATUS_BODY = "a status that is no JSON"
    GARBAGE = "bytes that are no frames"
    MASKED = "a masked frame, as only clients may send"
    ENDLESS = "a frame whose length never comes"
    NOT_WEBSOCKET = "200 instead of an upgrade"
    OTHER_PROTOCOL = "an upgrade to another protocol"


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command did. ``failure``: it could not be run, and why. ``frame_bytes``: of each frame of output; ``fragments``: each
    message comes in so many frames; ``pings``: one before each message.
    """

    stdout: bytes = b""
    stderr: bytes = b""
    exit_code: int = 0
    failure: str | None = None
    ending: Ending = Ending.CLEAN
    delay_s: float = 0.0
    frame_bytes: int = PIECE
    fragments: int = 1
    pings: bool = False


Command = Callable[[Sequence[str]], Ran]


def frame(opcode: int, data: bytes, *, last: bool = True) -> bytes:
    """A server's frame."""
    first = bytes([(0x80 if last else 0) | opcode])
    if len(data) < 126:
        return first + bytes([len(data)]) + data
    if len(data) < 1 << 16:
        return first + b"\x7e" + len(data).to_bytes(2, "big") + data
    return first + b"\x7f" + len(data).to_bytes(8, "big") + data


def serve(handler: Handler, path: str) -> None:
    """Answer if the path is an exec."""
    match = PATH.match(path)
    if match is None:
        return
    namespace, pod = match.groups()
    for verb in ("get", "create"):  # both since Kubernetes 1.35
        if (verb, "pods/exec") in handler.api.forbidden:
            why = f'User "lab" cannot {verb} resource "pods/exec" in API group "" in the namespace "{namespace}"'
            handler.refuse(403, "Forbidden", f'pods "{pod}" is forbidden: {why}')
    command = handler.api.commands.get((namespace, pod))
    if command is None:
        handler.refuse(404, "NotFound", f'pods "{pod}" not found')
    if handler.headers.get("Upgrade", "").lower() != "websocket":
        handler.refuse(400, "BadRequest", "Upgrade request required")
    query = parse_qs(urlsplit(handler.path).query, keep_blank_values=True)
    ran = command(query.get("command", []))
    if ran.ending is Ending.NOT_WEBSOCKET:
        handler.send_json(200, {"kind": "Status", "status": "Success"})
    _shake_hands(handler, ran)
    _Session(handler, ran).run()


def _shake_hands(handler: Handler, ran: Ran) -> None:
    offered = [one.strip() for one in handler.headers.get("Sec-WebSocket-Protocol", "").split(",")]
    taken = next((one for one in handler.api.exec_protocols if one in offered), None)
    if taken is None:
        handler.refuse(400, "BadRequest", "no WebSocket protocol that is known here is offered")
    key = handler.headers["Sec-WebSocket-Key"]
    handler.send_response(101)
    handler.send_header("Upgrade", "websocket")
    handler.send_header("Connection", "Upgrade")
    accept = base64.b64encode(hashlib.sha1((key + GUID).encode(), usedforsecurity=False).digest()).decode()
    handler.send_header("Sec-WebSocket-Accept", accept)
    handler.send_header("Sec-WebSocket-Protocol", "other" if ran.ending is Ending.OTHER_PROTOCOL else taken)
    handler.end_headers()
    handler.close_connection = True


@dataclass
class _Session:
    handler: Handler
    ran: Ran

    def run(self) -> NoReturn:
        ran, released = self.ran, self.handler.api.faults.released
        if ran.delay_s:
            released.wait(ran.delay_s)
        match ran.ending:
            case Ending.SILENT:
                released.wait()
            case Ending.GARBAGE:
                self._send(os.urandom(64).replace(b"\x82", b"\x83") + b"\x7f\x7f")
            case Ending.MASKED:
                self._send(b"\x82\x82\x00\x00\x00\x00\x01x")
            case Ending.ENDLESS:
                self._send(b"\x82\x7f" + (1 << 62).to_bytes(8, "big") + b"\x01")
                released.wait(LONGEST_WAIT_S)
            case Ending.CUT:
                self._send(frame(BINARY, STDOUT + ran.stdout)[: max(3, len(ran.stdout) // 2)])
            case Ending.HALF | Ending.STALLED:
                self._stream(STDOUT, ran.stdout[: len(ran.stdout) // 2])
                if ran.ending is Ending.STALLED:
                    released.wait()
                else:
                    self._close()
            case Ending.STATUS_FIRST:
                self._message(ERROR + self._status())
                self._stream(STDOUT, ran.stdout)
                self._close()
            case _:
                self._whole()
        self.handler.hang_up()

    def _whole(self) -> None:
        ran = self.ran
        self._stream(STDERR, ran.stderr)
        self._stream(STDOUT, ran.stdout)
        self._message(ERROR + (b"<html>" if ran.ending is Ending.NO_STATUS_BODY else self._status()))
        if ran.ending is Ending.NO_CLOSE:
            self.handler.api.faults.released.wait(LONGEST_WAIT_S)
        else:
            self._close()

    def _status(self) -> bytes:
        ran = self.ran
        status: dict[str, object] = {"metadata": {}, "status": "Success"}
        if ran.failure is not None:
            status = {
                "metadata": {},
                "status": "Failure",
                "reason": "InternalError",
                "message": ran.failure,
                "code": 500,
            }
        elif ran.exit_code:
            causes = [{"reason": "ExitCode", "message": str(ran.exit_code)}]
            message = f"command terminated with non-zero exit code: {ran.exit_code}"
            status = {"metadata": {}, "status": "Failure", "reason": "NonZeroExitCode", "message": message}
            status["details"] = {"causes": causes}
        return json.dumps(status).encode()

    def _stream(self, channel: bytes, data: bytes) -> None:
        for at in range(0, len(data), self.ran.frame_bytes):
            self._message(channel + data[at : at + self.ran.frame_bytes])

    def _message(self, data: bytes) -> None:
        sent = frame(PING, b"still there?") if self.ran.pings else b""
        size = max(1, -(-len(data) // self.ran.fragments))
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        for number, piece in enumerate(pieces):
            sent += frame(CONTINUATION if number else BINARY, piece, last=number == len(pieces) - 1)
            sent += frame(PING, b"between") if self.ran.pings else b""
        self._send(sent)

    def _close(self) -> None:
        self._send(frame(CLOSE, (1000).to_bytes(2, "big")))
        self.handler.connection.settimeout(LONGEST_WAIT_S)
        while self.handler.rfile.read1():  # until the client has closed, so that nothing of ours is lost
            pass

    def _send(self, data: bytes) -> None:
        self.handler.wfile.write(data)
        self.handler.wfile.flush()
