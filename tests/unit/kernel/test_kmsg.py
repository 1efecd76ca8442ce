"""/dev/kmsg: records, order, gaps and errors."""

from __future__ import annotations

import errno
import os
import re
import select
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.kernel.kmsg import BadRecordError, Kmsg, KmsgUnavailableError, boot_id, open_kmsg, parse_record
from agent.model import KmsgGap, KmsgRecord

FOREVER = 1000


def line(sequence: int, text: str = "hello") -> bytes:
    return b"6,%d,%d,-;%s\n" % (sequence, sequence * 10, text.encode())


class Ring:
    """What read(2) on /dev/kmsg does: one record a call, EPIPE once after an overrun, EAGAIN at the end."""

    def __init__(self, *answers: bytes | int) -> None:
        self.answers: Iterator[bytes | int] = iter(answers)

    def __call__(self, fd: int, size: int) -> bytes:
        answer = next(self.answers, errno.EAGAIN)
        if isinstance(answer, int):
            raise OSError(answer, os.strerror(answer))
        assert len(answer) <= size, "the kernel would say EINVAL"
        return answer


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "kmsg"
    path.touch()
    return path


def read_all(path: Path, after: int | None, *answers: bytes | int) -> list[KmsgRecord | KmsgGap]:
    kmsg = Kmsg(path, after, read=Ring(*answers))
    try:
        return kmsg.read(FOREVER)
    finally:
        kmsg.close()


def sequences(items: list[KmsgRecord | KmsgGap]) -> list[int | tuple[int, int]]:
    return [item.sequence if isinstance(item, KmsgRecord) else (item.lost, item.next_sequence) for item in items]


def test_a_record_is_taken_apart() -> None:
    record = parse_record(b"6,339,5140900,-;NET: Registered protocol family 10\n")
    assert record == KmsgRecord(339, 5140900, 0, 6, False, "NET: Registered protocol family 10")


def test_key_value_lines_are_dropped() -> None:
    assert parse_record(b"7,160,424069,-;pci bridge\n SUBSYSTEM=acpi\n DEVICE=+acpi:PNP0A03:00\n").text == "pci bridge"


def test_fields_after_the_flags_are_accepted() -> None:
    """CONFIG_PRINTK_CALLER adds caller=T123 since 5.1; the kernel's document promises that more may come."""
    record = parse_record(b"4,7,9,c,caller=T12,new=thing;; a; b\n")
    assert (record.fragment, record.text) == (True, "; a; b")


@pytest.mark.parametrize(("flags", "fragment"), [("-", False), ("c", True)])
def test_flag_c_is_a_piece(flags: str, fragment: bool) -> None:
    assert parse_record(f"4,7,9,{flags};x".encode()).fragment is fragment


def test_a_record_of_user_space_has_its_facility() -> None:
    record = parse_record(b"12,4150,137360000,-;oom-kill:fake\n")
    assert (record.facility, record.level) == (1, 4)


def test_escapes_stay_as_they_are() -> None:
    assert parse_record(rb"6,1,2,-;a\x5cx2d\xc3").text == r"a\x5cx2d\xc3"


@pytest.mark.parametrize(
    "raw", [b"", b"hello", b";", b"6,1;x", b"a,1,2,-;x", b"6,-1,2,-;x", b"<EPIPE>", b"6,1," + b"9" * 5000 + b",-;x"]
)
def test_anything_else_is_a_bad_record(raw: bytes) -> None:
    with pytest.raises(BadRecordError, match="no kmsg record"):
        parse_record(raw)


@given(st.integers(0, 2**40), st.integers(0, 2**50), st.integers(0, 191), st.text("abc;, =\\x0", max_size=80))
def test_any_record_of_the_kernels_form_comes_back(sequence: int, at_us: int, priority: int, text: str) -> None:
    record = parse_record(f"{priority},{sequence},{at_us},-;{text}\n A=b\n".encode())
    assert record == KmsgRecord(sequence, at_us, priority // 8, priority % 8, fragment=False, text=text)


def test_without_a_position_reading_begins_at_the_end(log: Path) -> None:
    log.write_bytes(line(1) + line(2))
    kmsg = Kmsg(log, None)
    assert kmsg.read(FOREVER) == []
    with log.open("ab") as more:
        more.write(line(3))
    assert sequences(kmsg.read(FOREVER)) == [3]
    kmsg.close()


def test_with_a_position_what_was_seen_is_passed_over(log: Path) -> None:
    log.write_bytes(line(1) + line(2) + line(3))
    kmsg = Kmsg(log, 2)
    assert sequences(kmsg.read(FOREVER)) == [3]
    kmsg.close()


def test_records_lost_while_nobody_read_are_a_gap(log: Path) -> None:
    assert sequences(read_all(log, 4, line(9), line(10))) == [(4, 9), 9, 10]


def test_an_overrun_is_a_gap_as_long_as_the_sequence_numbers_say(log: Path) -> None:
    assert sequences(read_all(log, 0, line(1), errno.EPIPE, line(40), line(41))) == [1, (38, 40), 40, 41]


def test_an_overrun_before_the_first_record_is_a_gap_of_unknown_length(log: Path) -> None:
    assert sequences(read_all(log, None, errno.EPIPE, line(40))) == [(1, 40), 40]


def test_an_overrun_right_at_our_position_is_no_gap(log: Path) -> None:
    assert sequences(read_all(log, 4, errno.EPIPE, line(5))) == [5]


def test_a_limit_leaves_the_rest_for_the_next_read(log: Path) -> None:
    log.write_bytes(b"".join(line(i) for i in range(1, 8)))
    kmsg = Kmsg(log, 0)
    assert [sequences(kmsg.read(3)), sequences(kmsg.read(3)), sequences(kmsg.read(3))] == [[1, 2, 3], [4, 5, 6], [7]]
    kmsg.close()


def test_a_bad_record_is_counted_and_the_rest_goes_on(log: Path) -> None:
    kmsg = Kmsg(log, 0, read=Ring(line(1), b"rubbish\n", line(2)))
    assert sequences(kmsg.read(FOREVER)) == [1, 2]
    assert kmsg.bad_records == 1
    kmsg.close()


def test_the_longest_record_fits_the_buffer(log: Path) -> None:
    assert len(read_all(log, 0, line(1, "x" * 8000))) == 1


def test_a_fifo_does_as_well(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    kmsg = Kmsg(path, None)
    assert kmsg.read(FOREVER) == []
    with path.open("wb") as writer:
        writer.write(line(5)[:7])
        writer.flush()
        assert kmsg.read(FOREVER) == []
        writer.write(line(5)[7:])
        writer.flush()
        assert sequences(kmsg.read(FOREVER)) == [5]
    kmsg.close()


def test_a_fifo_whose_writer_has_gone_wakes_nobody(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    kmsg = Kmsg(path, None)
    with path.open("wb") as writer:
        writer.write(line(5))
    assert sequences(kmsg.read(FOREVER)) == [5]
    assert select.select([kmsg.fileno()], [], [], 0)[0] == []
    kmsg.close()


def test_a_missing_device_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(KmsgUnavailableError, match=r"nowhere: No such file or directory; mount the host's /dev/kmsg"):
        Kmsg(tmp_path / "nowhere", None)


@pytest.mark.parametrize(
    ("number", "mend"), [(errno.EPERM, "privileged"), (errno.EACCES, "CAP_SYSLOG"), (errno.EIO, "c 1:11")]
)
def test_a_refused_read_says_what_to_do(log: Path, number: int, mend: str) -> None:
    with pytest.raises(KmsgUnavailableError, match=mend) as caught:
        read_all(log, None, number)
    assert (caught.value.errno, caught.value.path) == (number, log)


def test_records_that_are_passed_over_are_bounded_in_each_read_too(log: Path) -> None:
    """8,000 of them, read at a start one by one, kept the loop for 46 ms."""
    reads: list[int] = []

    def read(_fd: int, _size: int) -> bytes:
        reads.append(1)
        return line(len(reads))

    kmsg = Kmsg(log, 8000, read=read)
    turns = 0
    while not (found := kmsg.read(25)):
        turns += 1
        assert (len(reads), kmsg.more) == (100 * turns, True)
    kmsg.close()
    assert (turns, sequences(found)[0]) == (80, 8001)


def test_a_file_that_gives_nonsense_without_end_keeps_nobody(log: Path) -> None:
    kmsg = Kmsg(log, None, read=lambda _fd, size: b"no record\n" * (size // 10))
    assert (kmsg.read(25), kmsg.bad_records, kmsg.more) == ([], 100, True)
    kmsg.close()


@pytest.mark.parametrize("kind", ["folder", "plain file", "/dev/null", "/dev/zero", "/dev/urandom", "socket"])
def test_any_other_kind_of_file_is_no_log(tmp_path: Path, kind: str) -> None:
    """They give no notice of new records (epoll_ctl(2), EPERM), or are never empty."""
    path = Path(kind) if kind.startswith("/") else tmp_path / kind
    if kind == "folder":
        path.mkdir()
    elif kind == "plain file":
        path.write_bytes(line(1))
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(path))
    with pytest.raises(KmsgUnavailableError, match=r"not the kernel's log device; check that .* \(c 1:11\)"):
        open_kmsg(path, None)


def test_a_fifo_may_stand_for_the_log_and_a_missing_one_says_what_to_do(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    open_kmsg(tmp_path / "fifo", None).close()
    with pytest.raises(KmsgUnavailableError, match="mount the host's /dev/kmsg"):
        open_kmsg(tmp_path / "nowhere", None)


def test_closing_twice_is_fine(log: Path) -> None:
    kmsg = Kmsg(log, None)
    assert kmsg.fileno() >= 0
    kmsg.close()
    kmsg.close()


def test_the_boot_id_is_a_uuid_and_stays() -> None:
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", boot_id())
    assert boot_id() == boot_id()


@pytest.mark.parametrize(
    ("flags", "fragment"), [("-", False), ("c", True), ("-,caller=C1", False), ("c,caller=T7", True)]
)
def test_only_the_flag_says_that_a_record_continues_the_one_before(flags: str, fragment: bool) -> None:
    assert parse_record(f"6,1,2,{flags};text".encode()).fragment is fragment
