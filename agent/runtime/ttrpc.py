"""ttrpc, gRPC for one connection on one machine: a header of ten bytes and a protobuf message. Pure.

The format is that of github.com/containerd/ttrpc, PROTOCOL.md and channel.go. Only calls of one request and one response are known.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from agent.runtime.frames import BrokenStreamError
from agent.runtime.nri_pb2 import Request, Response, Status

HEADER = struct.Struct(">IIBB")  # length, stream id, type, flags
MOST_LENGTH = 4 << 20
REQUEST, RESPONSE = 1, 2
UNIMPLEMENTED = 12  # google.rpc.Code


@dataclass(frozen=True, slots=True)
class Call:
    """A request of the peer: the answer goes to ``stream``."""

    stream: int
    service: str
    method: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """The peer's answer to our request on ``stream``. ``error`` "": none."""

    stream: int
    payload: bytes
    error: str


class Messages:
    """Bytes of one connection in, whole messages out."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Call | Reply]:
        """The messages that are complete with this data. Raises BrokenStreamError."""
        self._buffer += data
        while len(self._buffer) >= HEADER.size:
            length, stream, kind, _flags = HEADER.unpack_from(self._buffer)
            if length > MOST_LENGTH:
                raise BrokenStreamError(f"a message of {length} bytes, more than {MOST_LENGTH}")
            end = HEADER.size + length
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[HEADER.size : end])
            del self._buffer[:end]
            if kind in (REQUEST, RESPONSE):  # data of a stream belongs to a call that we neither make nor take
                yield _parsed(kind, stream, body)


def _parsed(kind: int, stream: int, body: bytes) -> Call | Reply:
    try:
        if kind == REQUEST:
            request = Request.FromString(body)
            return Call(stream, request.service, request.method, request.payload)
        response = Response.FromString(body)
    except DecodeError as error:
        raise BrokenStreamError(f"a message that is no protobuf: {error}") from error
    status = response.status
    failed = status.message or f"code {status.code}" if status.code else ""
    return Reply(stream, response.payload, failed)


def request(stream: int, service: str, method: str, payload: bytes) -> bytes:
    """A call of the peer's service. ``stream`` is odd and larger than that of the call before."""
    return _message(stream, REQUEST, Request(service=service, method=method, payload=payload).SerializeToString())


def response(stream: int, payload: bytes) -> bytes:
    """The answer to a call."""
    return _message(stream, RESPONSE, Response(payload=payload).SerializeToString())


def unimplemented(stream: int, method: str) -> bytes:
    """The answer to a call of a method that we don't have, as any server gives it."""
    status = Status(code=UNIMPLEMENTED, message=f"method {method} is not implemented")
    return _message(stream, RESPONSE, Response(status=status).SerializeToString())


def _message(stream: int, kind: int, body: bytes) -> bytes:
    return HEADER.pack(len(body), stream, kind, 0) + body
