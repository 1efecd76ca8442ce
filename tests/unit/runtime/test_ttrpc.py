"""ttrpc: what is written is what is read, however it arrives; what is no message ends the connection, what is unknown does not."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.runtime.frames import BrokenStreamError
from agent.runtime.nri_pb2 import Response, Status
from agent.runtime.ttrpc import (
    HEADER,
    MOST_LENGTH,
    REQUEST,
    RESPONSE,
    Call,
    Messages,
    Reply,
    request,
    response,
    unimplemented,
)

words = st.text(st.characters(codec="utf-8"), max_size=20)
streams = st.integers(0, 2**32 - 1)
calls = st.builds(Call, streams, words, words, st.binary(max_size=50))
replies = st.builds(Reply, streams, st.binary(max_size=50), st.just(""))


def read(*pieces: bytes) -> list[Call | Reply]:
    messages = Messages()
    return [found for piece in pieces for found in messages.feed(piece)]


def written(messages: Iterable[Call | Reply]) -> bytes:
    return b"".join(
        request(m.stream, m.service, m.method, m.payload) if isinstance(m, Call) else response(m.stream, m.payload)
        for m in messages
    )


def message(kind: int, body: bytes, stream: int = 3, flags: int = 0) -> bytes:
    return struct.pack(">IIBB", len(body), stream, kind, flags) + body


@given(st.lists(calls | replies, max_size=5), st.data())
def test_what_is_written_is_what_is_read_in_any_pieces(sent: list[Call | Reply], data: st.DataObject) -> None:
    stream = written(sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    assert read(*(stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True))) == sent


def test_the_header_is_that_of_the_specification() -> None:
    assert response(0x01020304, b"x") == b"\0\0\0\x03" + b"\x01\x02\x03\x04" + b"\x02" + b"\0" + b"\x12\x01x"
    assert (
        request(1, "s", "m", b"p") == b"\0\0\0\x09" + b"\0\0\0\x01" + b"\x01" + b"\0" + b"\x0a\x01s\x12\x01m\x1a\x01p"
    )


def test_messages_of_unknown_types_are_left_out_and_the_next_is_read() -> None:
    unknown = b"".join(message(kind, b"\xff\xff") for kind in (0, 3, 4, 255))
    assert read(unknown + response(1, b"x")) == [Reply(1, b"x", "")]


@pytest.mark.parametrize("flags", [1, 2, 4, 255])
def test_flags_change_nothing(flags: int) -> None:
    body = Response(payload=b"x").SerializeToString()
    assert read(message(RESPONSE, body, 5, flags)) == [Reply(5, b"x", "")]


def test_the_largest_message_is_read() -> None:
    room = MOST_LENGTH - 5  # a tag, and a length of four bytes
    (found,) = read(response(1, bytes(room)))
    assert isinstance(found, Reply)
    assert len(found.payload) == room


@pytest.mark.parametrize("length", [MOST_LENGTH + 1, 2**32 - 1])
@pytest.mark.parametrize("kind", [REQUEST, RESPONSE, 3])
def test_a_larger_one_is_refused_by_its_header_alone(length: int, kind: int) -> None:
    with pytest.raises(BrokenStreamError, match=rf"a message of {length} bytes, more than {MOST_LENGTH}"):
        read(HEADER.pack(length, 1, kind, 0))


@pytest.mark.parametrize("kind", [REQUEST, RESPONSE])
@pytest.mark.parametrize("body", [b"\xff", b"\x0a\x05ab", b"\x1f"])
def test_what_is_no_protobuf_breaks_the_stream(kind: int, body: bytes) -> None:
    with pytest.raises(BrokenStreamError, match="a message that is no protobuf"):
        read(message(kind, body))


def test_a_service_that_is_no_utf_8_breaks_the_stream() -> None:
    with pytest.raises(BrokenStreamError, match="no protobuf"):
        read(message(REQUEST, b"\x0a\x02\xff\xfe"))


@given(st.binary(max_size=60))
def test_any_bytes_are_messages_or_a_broken_stream(data: bytes) -> None:
    with contextlib.suppress(BrokenStreamError):
        read(data)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (Status(), ""),
        (Status(code=0, message="fine"), ""),
        (Status(code=3, message="invalid plugin index"), "invalid plugin index"),
        (Status(code=14), "code 14"),
        (Status(code=-1, message="x"), "x"),
    ],
)
def test_a_status_other_than_0_is_an_error(status: Status, error: str) -> None:
    body = Response(status=status, payload=b"p").SerializeToString()
    assert read(message(RESPONSE, body)) == [Reply(3, b"p", error)]


def test_unknown_fields_of_the_envelope_are_no_fault() -> None:
    more = b"\x20\x80\x94\xeb\xdc\x03" + b"\x2a\x03abc" + b"\x9a\x06\x01z"  # timeout_nano 4, metadata 5, and 99
    body = b"\x0a\x01s\x12\x01m\x1a\x01p" + more
    assert read(message(REQUEST, body)) == [Call(3, "s", "m", b"p")]


def test_a_method_that_we_do_not_have_is_answered_with_an_error_that_names_it() -> None:
    assert read(unimplemented(9, "StopPodSandbox")) == [Reply(9, b"", "method StopPodSandbox is not implemented")]
    status = Response.FromString(unimplemented(9, "x")[HEADER.size :]).status
    assert status.code == 12, "google.rpc.Code: UNIMPLEMENTED"
