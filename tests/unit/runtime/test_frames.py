"""Several connections over one: however the bytes arrive, the same frames; and none that is too large, in either direction."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.runtime.frames import HEADER, MOST_PAYLOAD, SENT_AT_ONCE, BrokenStreamError, Frames, framed
from tests.unit.runtime.wire import frame

some_frames = st.lists(st.tuples(st.integers(0, 2**32 - 1), st.binary(max_size=40)), max_size=6)


def read(frames: Frames, *pieces: bytes) -> list[tuple[int, bytes]]:
    return [found for piece in pieces for found in frames.feed(piece)]


@given(some_frames, st.data())
def test_any_split_of_any_frames_gives_the_same_frames(sent: list[tuple[int, bytes]], data: st.DataObject) -> None:
    stream = b"".join(frame(connection, payload) for connection, payload in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert read(Frames(), *pieces) == sent


def test_a_frame_comes_with_its_last_byte_and_not_before() -> None:
    frames, stream = Frames(), frame(1, b"abc")
    assert read(frames, *(stream[at : at + 1] for at in range(len(stream) - 1))) == []
    assert read(frames, stream[-1:]) == [(1, b"abc")]


def test_an_empty_frame_is_a_frame() -> None:
    assert read(Frames(), frame(7, b"")) == [(7, b"")]


def test_the_largest_frame_of_the_runtime_is_read() -> None:
    assert [(n, len(data)) for n, data in read(Frames(), frame(1, bytes(MOST_PAYLOAD)))] == [(1, MOST_PAYLOAD)]


@pytest.mark.parametrize("length", [MOST_PAYLOAD + 1, 2**31, 2**32 - 1])
def test_a_longer_one_is_refused_by_its_header_alone(length: int) -> None:
    with pytest.raises(BrokenStreamError, match=rf"a frame of {length} bytes, more than {MOST_PAYLOAD}"):
        read(Frames(), HEADER.pack(1, length))


def test_the_frames_before_a_broken_one_still_count() -> None:
    frames = Frames().feed(frame(1, b"good") + b"\xff" * 8)
    assert next(frames) == (1, b"good")
    with pytest.raises(BrokenStreamError):
        next(frames)


@given(st.integers(0, 2**32 - 1), st.integers(0, 3 * SENT_AT_ONCE))
def test_what_is_sent_arrives_in_frames_that_the_runtime_can_read(connection: int, length: int) -> None:
    data = bytes(at % 251 for at in range(length))
    found = read(Frames(), framed(connection, data))
    assert b"".join(payload for _, payload in found) == data
    assert {number for number, _ in found} <= {connection}
    assert all(0 < len(payload) <= 4096 for _, payload in found)


def test_what_fits_into_one_frame_is_sent_in_one() -> None:
    assert framed(2, b"abc") == frame(2, b"abc")
    assert framed(2, bytes(SENT_AT_ONCE)) == frame(2, bytes(SENT_AT_ONCE))
