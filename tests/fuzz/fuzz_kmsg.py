"""Fuzz target for the records of /dev/kmsg: any bytes as one record, and as what a descriptor gives, in pieces of any size.

The first byte says how large the pieces are; a piece of nothing but ``!`` is an overrun (EPIPE).
"""

from __future__ import annotations

import os
from pathlib import Path

from agent.kernel.kmsg import BadRecordError, Kmsg, parse_record
from agent.model import KmsgGap, KmsgRecord

AFTER = 7


def check(data: bytes) -> None:
    """Hold the record and the reader to what must always be true of them."""
    for line in data.split(b"\n"):
        _check_record(line)
    _check_reader(data)


def _check_record(raw: bytes) -> None:
    try:
        record = parse_record(raw)
    except BadRecordError:
        return
    head, _, body = raw.partition(b";")
    if record.facility << 3 | record.level != int(head.split(b",")[0]):
        raise AssertionError(f"another priority than it says: {record}")
    if record.text.encode("ascii", "surrogateescape") != body:
        raise AssertionError(f"another text than it has: {record}")


def _check_reader(data: bytes) -> None:
    size = 4 + (data[0] if data else 0)
    pieces = [data[at : at + size] for at in range(1, len(data), size)]

    def read(_fd: int, _most: int) -> bytes:
        if not pieces:
            raise BlockingIOError
        piece = pieces.pop(0)
        if not piece.strip(b"!"):
            raise BrokenPipeError
        return piece

    kmsg = Kmsg(Path(os.devnull), AFTER, read=read)
    items: list[KmsgRecord | KmsgGap] = []
    try:
        while pieces or kmsg._lines:
            items += kmsg.read(3)
    finally:
        kmsg.close()
    _check_order(items)


def _check_order(items: list[KmsgRecord | KmsgGap]) -> None:
    expected = AFTER + 1
    gap: KmsgGap | None = None
    for item in items:
        if isinstance(item, KmsgGap):
            if gap is not None or item.lost <= 0:
                raise AssertionError(f"a gap behind a gap, or of nothing: {item}")
            gap = item
            continue
        lost = 0 if gap is None else gap.lost
        if item.sequence != expected + lost:
            raise AssertionError(f"{item.sequence} after {expected - 1} with {lost} said to be lost")
        expected, gap = item.sequence + 1, None
    if gap is not None:
        raise AssertionError("a gap with no record behind it")
