"""Fuzz target for the WebSocket frames of kubectl oomward: any bytes as what a server sends, in pieces of any size.

The first byte says how large the pieces are.
"""

from __future__ import annotations

from agent.fleet.frames import CONTROL, KNOWN, MOST_CONTROL, FramesError, Message, Reader, frame

MOST_BYTES = 300


def check(data: bytes) -> list[Message]:
    """The same messages, or trouble at the same place, however the bytes arrive; no message is larger than allowed."""
    size, sent = 1 + (data[0] if data else 0), data[1:]
    whole, trouble = _read([sent])
    pieces, again = _read([sent[at : at + size] for at in range(0, len(sent), size)])
    if (trouble is None) != (again is None) or pieces[: len(whole)] != whole or (trouble is None and pieces != whole):
        raise AssertionError(f"by pieces of {size} bytes: {pieces} and {again}, not {whole} and {trouble}")
    if trouble == "" or sum(len(one.data) for one in whole) > len(sent):
        raise AssertionError(f"out of {sent!r} came {whole}, {trouble!r}")
    for one in pieces:
        most = MOST_CONTROL if one.opcode & CONTROL else MOST_BYTES
        if one.opcode not in KNOWN or len(one.data) > most:
            raise AssertionError(f"no message: {one}")
        _check_own(one)
    return whole


def _read(pieces: list[bytes]) -> tuple[list[Message], str | None]:
    """What came before the first trouble, by whole pieces; and the trouble."""
    reader, found = Reader(MOST_BYTES), []
    for piece in pieces:
        try:
            found += reader.feed(piece)
        except FramesError as error:
            return found, str(error)
    return found, None


def _check_own(message: Message) -> None:
    """A client's frame is masked: unmasked it is what a server would send."""
    mask = b"\x01\x02\x03\x04"
    made = frame(message.opcode, message.data, mask)
    start = len(made) - len(message.data)
    masked, payload = made[: start - 4], bytes(byte ^ mask[at & 3] for at, byte in enumerate(made[start:]))
    (read,) = Reader(MOST_BYTES).feed(bytes([masked[0], masked[1] & 0x7F]) + masked[2:] + payload)
    if read != message:
        raise AssertionError(f"{message} became {read}")
