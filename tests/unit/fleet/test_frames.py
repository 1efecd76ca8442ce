"""Frames of RFC 6455: however they are cut, fragmented or malformed."""

from __future__ import annotations

import tracemalloc
from builtins import len as length_of
from collections.abc import Sized

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.fleet import frames
from agent.fleet.frames import BINARY, CLOSE, CONTINUATION, PING, FramesError, Message, Reader, frame
from tests.lab.apiexec import frame as served
from tests.unit.profiles import examples

MOST = 1 << 20
SIZES = st.sampled_from([0, 1, 125, 126, 127, 65535, 65536, 70000])


@given(st.lists(st.tuples(SIZES, st.integers(1, 4), st.booleans()), max_size=5), st.integers(1, 5000))
@examples(60)
def test_messages_arrive_whole_however_they_are_cut(messages: list[tuple[int, int, bool]], step: int) -> None:
    sent, expected = b"", []
    for number, (size, fragments, ping) in enumerate(messages):
        data = bytes([number]) * size
        at = max(1, -(-size // fragments))
        pieces = [data[i : i + at] for i in range(0, size, at)] or [b""]
        for place, piece in enumerate(pieces):
            last = place == len(pieces) - 1
            if ping:  # a control frame between the fragments
                sent += served(PING, b"?")
                expected.append(Message(PING, b"?"))
            sent += served(CONTINUATION if place else BINARY, piece, last=last)
        expected.append(Message(BINARY, data))
    reader = Reader(MOST)
    found = [message for i in range(0, len(sent), step) for message in reader.feed(sent[i : i + step])]
    assert found == expected


@given(SIZES, st.binary(min_size=1, max_size=9), st.binary(min_size=4, max_size=4))
@examples(60)
def test_a_clients_frame_unmasked_is_what_was_sent(size: int, some: bytes, mask: bytes) -> None:
    data = (some * (size // len(some) + 1))[:size]
    made = frame(BINARY, data, mask)
    assert made[1] & 0x80  # masked, as a client's must be
    start = len(made) - len(data)
    assert made[start - 4 : start] == mask
    assert bytes(byte ^ mask[at & 3] for at, byte in enumerate(made[start:])) == data
    unmasked = bytes([made[0], made[1] & 0x7F]) + made[2 : start - 4] + data
    assert Reader(MOST).feed(unmasked) == [Message(BINARY, data)]


@given(st.binary(max_size=300), st.integers(1, 50))
@examples(300)
def test_any_bytes_are_messages_or_an_error_and_never_more_than_was_sent(data: bytes, step: int) -> None:
    reader, size = Reader(100), 0
    try:
        for at in range(0, len(data), step):
            size += sum(len(message.data) for message in reader.feed(data[at : at + step]))
    except FramesError:
        pass
    assert size <= len(data)


@pytest.mark.parametrize(
    ("what", "data"),
    [
        ("a reserved bit", b"\xc2\x00"),
        ("an unknown type", b"\x83\x00"),
        ("a masked frame", b"\x82\x80\x00\x00\x00\x00"),
        ("a long control frame", b"\x89\x7e\x00\x7e"),
        ("a control frame in parts", b"\x09\x00"),
        ("a continuation of nothing", b"\x80\x00"),
        ("a new message in the middle of another", b"\x02\x01a\x82\x01b"),
        ("a message that is too long by its header", b"\x82\x7f" + (1 << 62).to_bytes(8, "big")),
    ],
)
def test_what_the_protocol_does_not_allow_is_an_error(what: str, data: bytes) -> None:
    with pytest.raises(FramesError):
        Reader(1000).feed(data)


def test_fragments_together_may_not_be_longer_than_one_message() -> None:
    reader = Reader(100)
    reader.feed(served(BINARY, b"x" * 60, last=False))
    with pytest.raises(FramesError, match="more than 100 bytes"):
        reader.feed(served(CONTINUATION, b"x" * 60))


def test_a_close_frame_ends_nothing_by_itself() -> None:
    assert Reader(10).feed(served(CLOSE, b"\x03\xe8")) == [Message(CLOSE, b"\x03\xe8")]


@pytest.mark.parametrize("payload", [b"", b"x"])
def test_each_frame_of_a_message_costs_as_much_as_the_one_before(
    payload: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = 0

    def counted(what: Sized) -> int:
        nonlocal measured
        measured += 1
        return length_of(what)

    monkeypatch.setattr(frames, "len", counted, raising=False)
    Reader(MOST).feed(served(BINARY, payload, last=False) + served(CONTINUATION, payload, last=False) * 500)
    assert measured < 500 * 10


def test_frames_without_content_keep_nothing() -> None:
    reader = Reader(MOST)
    reader.feed(served(BINARY, b"a", last=False))
    tracemalloc.start()
    reader.feed(served(CONTINUATION, b"", last=False) * 50_000)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 50_000
    assert reader.feed(served(CONTINUATION, b"b")) == [Message(BINARY, b"ab")]
