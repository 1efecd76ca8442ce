"""The kernel's log overruns without end, or can't be read any more: kills go on being counted, and the loop goes on turning."""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.kernel.kmsg import Kmsg
from agent.loop import log_reader
from agent.loop.log_reader import LogReader, Recorded
from agent.loop.loop import Loop
from agent.loop.mailbox import Mailbox
from agent.model import KmsgGap, KmsgRecord
from agent.settings import load
from tests.unit.loop.world import World, pod
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


class Log:
    """A FIFO as the kernel's log, whose reads fail while ``code`` is set; and a loop that reads it, in a thread of its own."""

    def __init__(self, tmp_path: Path, *, exists: bool = True) -> None:
        self.path = tmp_path / "kmsg"
        self.code: int | None = None
        self._writer: int | None = None
        if exists:
            self.make()
        self.world = World(tmp_path, kmsg=exists)
        self.world.metrics.kmsg_readable.set(exists)
        self.reader = LogReader(self._open, None, self.world.metrics, Recorded())
        self.mailbox = Mailbox()
        settings = load({"node_name": "n"}, {})
        self.loop = Loop(self.world.node, self.reader, self.mailbox, None, settings)
        self._thread = threading.Thread(target=self.loop.run, daemon=True)
        self._thread.start()

    def _open(self, after: int | None) -> Kmsg:
        return Kmsg(self.path, after, read=self._read)

    def _read(self, fd: int, size: int) -> bytes:
        if self.code is not None:
            raise OSError(self.code, os.strerror(self.code))
        return os.read(fd, size)

    def make(self) -> None:
        os.mkfifo(self.path)
        self._writer = os.open(self.path, os.O_RDWR)

    def say(self, *lines: str, sequence: int) -> None:
        assert self._writer is not None
        text = "".join(f"6,{number},{number},-;{line}\n" for number, line in enumerate(lines, sequence))
        os.write(self._writer, text.encode())

    def until(self, condition: Callable[[], bool]) -> None:
        def holds() -> bool:
            if condition():
                return True
            assert self._thread.is_alive(), "the loop has ended"
            return False

        wait_until(holds, "what the loop should do")

    def readable(self) -> bool:
        return self.world.metric("oomward_kmsg_readable") == 1

    def stop(self) -> None:
        self.loop.stop()
        self._thread.join(PATIENCE_S)
        self.reader.close()
        if self._writer is not None:
            os.close(self._writer)


@pytest.mark.parametrize("code", [errno.EPERM, errno.EIO, errno.ENODEV], ids=errno.errorcode.get)
def test_a_log_that_can_not_be_read_any_more_is_said_and_the_job_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    log = Log(tmp_path)
    world = log.world
    log.code = code
    try:
        log.say("x", sequence=1)
        log.until(lambda: not log.readable())
        log.until(lambda: any(os.strerror(code) in record.getMessage() for record in caplog.records))
        before = log.loop.last_beat_monotonic_s
        log.mailbox.wake()
        log.until(lambda: log.loop.last_beat_monotonic_s > before)
    finally:
        log.stop()
    world.told(pod())
    world.make(knob=0)
    world.kill()
    world.turn(after_s=0.1)
    assert len(world.ledger.kills()) == 1
    world.end()
    log.mailbox.close()


def test_a_log_that_was_lost_is_found_again_and_gives_names(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_reader, "RETRY_FIRST_S", 0.02)
    caplog.set_level(logging.INFO)
    log = Log(tmp_path)
    world = log.world
    log.code = errno.EIO
    log.say("x", sequence=1)
    log.until(lambda: not log.readable())
    log.code = None
    log.until(log.readable)
    log.say("y", sequence=2)
    log.until(lambda: log.reader.sequence == 2)
    log.stop()
    said = [record.getMessage() for record in caplog.records if "log can be read" in record.getMessage()]
    assert len(said) == 1
    world.told(pod())
    world.make(knob=0)
    world.kill()
    world.turn(after_s=0.0)
    assert not world.ledger.kills(), "its report is waited for"
    world.end()
    log.mailbox.close()


def test_a_log_that_was_not_there_at_the_start_is_read_once_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_reader, "RETRY_FIRST_S", 0.02)
    log = Log(tmp_path, exists=False)
    log.make()
    log.until(log.readable)
    log.say("x", sequence=7)
    log.until(lambda: log.reader.sequence == 7)
    log.stop()
    log.world.end()
    log.mailbox.close()
