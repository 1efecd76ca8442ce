"""Several connections over one, as the runtime's NRI socket has them: frames of connection id, length and payload. Pure.

The format is that of github.com/containerd/nri, pkg/net/multiplex/mux.go.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

HEADER = struct.Struct(">II")  # connection id, length of the payload
MOST_PAYLOAD = (4 << 20) + 10  # a ttrpc message and its header
# The runtime reads a frame at once into a buffer of that size (Go's bufio), and gives the connection up where it does not fit.
SENT_AT_ONCE = 4096


class BrokenStreamError(ValueError):
    """The peer does not keep to the protocol; the message says how. The connection is of no use any more."""


class Frames:
    """Bytes in, whole frames out."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """The frames that are complete with this data: connection id and payload. Raises BrokenStreamError."""
        self._buffer += data
        while len(self._buffer) >= HEADER.size:
            connection, length = HEADER.unpack_from(self._buffer)
            if length > MOST_PAYLOAD:
                raise BrokenStreamError(f"a frame of {length} bytes, more than {MOST_PAYLOAD}")
            end = HEADER.size + length
            if len(self._buffer) < end:
                return
            payload = bytes(self._buffer[HEADER.size : end])
            del self._buffer[:end]
            yield connection, payload


def framed(connection: int, data: bytes) -> bytes:
    """Data for one connection, in frames that the runtime can read."""
    parts = [data[at : at + SENT_AT_ONCE] for at in range(0, len(data), SENT_AT_ONCE)]
    return b"".join(HEADER.pack(connection, len(part)) + part for part in parts)
