"""WebSocket frames (RFC 6455), as far as exec needs them: bytes in, messages out. Pure."""

from __future__ import annotations

from dataclasses import dataclass

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
KNOWN = (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG)
CONTROL = 0x8  # set in the opcodes of control frames
LAST, RESERVED, MASKED = 0x80, 0x70, 0x80
SHORT, LONG = 126, 127  # in place of a length: the length follows in 2 or 8 bytes
MOST_CONTROL = 125


class FramesError(Exception):
    """The peer doesn't keep to the protocol; the text says how."""


@dataclass(frozen=True, slots=True)
class Message:
    """A whole message; of a control frame its payload."""

    opcode: int
    data: bytes


def frame(opcode: int, data: bytes, mask: bytes) -> bytes:
    """One message of a client in one frame. ``mask``: four random bytes (section 5.3)."""
    length = len(data)
    head = bytes([LAST | opcode])
    if length < SHORT:
        head += bytes([MASKED | length])
    elif length < 1 << 16:
        head += bytes([MASKED | SHORT]) + length.to_bytes(2, "big")
    else:
        head += bytes([MASKED | LONG]) + length.to_bytes(8, "big")
    return head + mask + bytes(byte ^ mask[at & 3] for at, byte in enumerate(data))


class Reader:
    """A server's frames. ``most_bytes``: of one message; a longer one is an error by its header alone."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._left = bytearray()
        self._opcode: int | None = None  # of the message that is incomplete
        self._data = bytearray()  # of its frames so far

    def feed(self, data: bytes) -> list[Message]:
        """Messages that are complete now. Raises FramesError; after that the reader is of no more use."""
        self._left += data
        found = []
        while (taken := self._take()) is not None:
            first, payload = taken
            message = self._message(first & LAST != 0, first & 0xF, payload)
            if message is not None:
                found.append(message)
        return found

    def _take(self) -> tuple[int, bytes] | None:
        """The next frame's first byte and payload; None: it is not complete yet."""
        left = self._left
        if len(left) < 2:
            return None
        first, length, start = left[0], left[1], 2
        if first & RESERVED or first & 0xF not in KNOWN:
            raise FramesError("a frame has an unknown type")
        if length & MASKED:
            raise FramesError("a server's frame is masked")
        if first & CONTROL and (length > MOST_CONTROL or not first & LAST):
            raise FramesError("a control frame is too long or not whole")
        if length >= SHORT:
            start = 4 if length == SHORT else 10
            if len(left) < start:
                return None
            length = int.from_bytes(left[2:start], "big")
        if length + len(self._data) > self._most:
            raise FramesError(f"a message has more than {self._most} bytes")
        if len(left) < start + length:
            return None
        payload = bytes(left[start : start + length])
        del left[: start + length]
        return first, payload

    def _message(self, last: bool, opcode: int, payload: bytes) -> Message | None:
        if opcode & CONTROL:  # may stand between the frames of a message
            return Message(opcode, payload)
        if (opcode == CONTINUATION) != (self._opcode is not None):
            raise FramesError("the frames of a message are not in order")
        if opcode != CONTINUATION:
            self._opcode = opcode
        self._data += payload
        if not last or self._opcode is None:
            return None
        whole = Message(self._opcode, bytes(self._data))
        self._opcode, self._data = None, bytearray()
        return whole
