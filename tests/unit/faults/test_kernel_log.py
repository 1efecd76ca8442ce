"""The kernel's log overruns without end, or can't be read any more: kills go on being counted, and the loop goes on turning."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.kernel.kmsg import Kmsg
from agent.model import KmsgGap, KmsgRecord
from agent.node.log_reader import LogReader
from agent.node.loop import Loop
from agent.node.mailbox import Mailbox
from agent.settings import load
from tests.unit.node.world import World, pod
from tests.unit.patience import PATIENCE_S, wait_until

READS = 10_000


def test_a_log_that_is_overrun_at_every_read_does_not_keep_the_loop() -> None:
    """As when the kernel writes faster than anybody can read: each read(2) fails with EPIPE."""
    reads = []

    def read(_fd: int, _size: int) -> bytes:
        reads.append(1)
        assert len(reads) < READS, "it would never come back"
        raise BrokenPipeError

    kmsg = Kmsg(Path(os.devnull), 4, read=read)
    assert kmsg.read(200) == []
    kmsg.close()


def test_what_the_flood_took_is_a_gap_of_the_right_length_once_a_record_comes_through() -> None:
    answers: Iterator[Any] = iter([BrokenPipeError()] * 500 + [b"6,905,1,-;x\n"])

    def read(_fd: int, _size: int) -> bytes:
        answer = next(answers, BlockingIOError())
        if isinstance(answer, OSError):
            raise answer
        return bytes(answer)

    kmsg = Kmsg(Path(os.devnull), 4, read=read)
    found: list[KmsgRecord | KmsgGap] = []
    for _ in range(100):
        found += kmsg.read(200)
    kmsg.close()
    assert [item.lost if isinstance(item, KmsgGap) else item.sequence for item in found] == [900, 905]


@pytest.mark.parametrize("code", [errno.EPERM, errno.EIO, errno.ENODEV], ids=errno.errorcode.get)
def test_a_log_that_can_not_be_read_any_more_is_said_and_the_job_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    os.mkfifo(tmp_path / "kmsg")
    writer = os.open(tmp_path / "kmsg", os.O_RDWR)

    def read(_fd: int, _size: int) -> bytes:
        raise OSError(code, os.strerror(code))

    world = World(tmp_path, kmsg=True)
    world.metrics.kmsg_readable(True)
    log = LogReader(Kmsg(tmp_path / "kmsg", None, read=read), world.metrics, ())
    mailbox = Mailbox()
    loop = Loop(world.node, world.tree, log, mailbox, world.ledger, None, load({"node_name": "n"}, {}))
    thread = threading.Thread(target=loop.run, daemon=True)
    thread.start()
    try:
        os.write(writer, b"6,1,1,-;x\n")
        wait_for(lambda: world.metric("oomward_kmsg_readable") == 0, thread)
        wait_for(lambda: any(os.strerror(code) in record.getMessage() for record in caplog.records), thread)
        before = loop.last_beat_monotonic_s
        mailbox.wake()
        wait_for(lambda: loop.last_beat_monotonic_s > before, thread)
    finally:
        loop.stop()
        thread.join(PATIENCE_S)
        os.close(writer)
    world.told(pod())
    world.make(knob=0)
    world.kill()
    world.turn(after_s=0.1)
    assert len(world.ledger.kills()) == 1
    world.end()
    mailbox.close()


def wait_for(condition: Callable[[], bool], thread: threading.Thread) -> None:
    def holds() -> bool:
        if condition():
            return True
        assert thread.is_alive(), "the loop has ended"
        return False

    wait_until(holds, "what the loop should do")
