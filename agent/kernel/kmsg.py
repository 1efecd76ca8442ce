"""/dev/kmsg: the kernel's log as records, with the gaps in it. Never writes.

Format and errno values: Documentation/ABI/testing/dev-kmsg; ``caller=`` (5.1, optional) from kernel/printk/printk.c.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections import deque
from collections.abc import Callable
from pathlib import Path

from agent.model import KmsgGap, KmsgRecord

BUFFER_BYTES = 32 * 1024  # the longest record is 8 KiB (CONSOLE_EXT_LOG_MAX, PRINTK_MESSAGE_MAX): never EINVAL
MOST_OVERRUNS = 16  # in one read(): the loop has other things to do
PASSED_OVER = 4  # records that are passed over cost a quarter of one that is given
DEVICE = (1, 11)  # Documentation/admin-guide/devices.txt
_HEAD = re.compile(rb"(\d{1,20}),(\d{1,20}),(\d{1,20})(?:,([^,;]*))?(?:,[^;]*)?;")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

_MOUNT = "mount the host's /dev/kmsg into the container, or name it with --kmsg"
_FIX = {
    errno.EPERM: "run privileged (the device cgroup must let c 1:11 pass) and with CAP_SYSLOG where kernel.dmesg_restrict is 1",
    errno.EACCES: "run as root, or give the agent CAP_SYSLOG and read permission on the file",
    errno.ENOENT: _MOUNT,
    errno.ENXIO: _MOUNT,
}


class BadRecordError(ValueError):
    """These bytes are no record of /dev/kmsg."""


class KmsgUnavailableError(Exception):
    """The log can't be opened or read: kills are still counted, but the victims are unknown."""

    def __init__(self, path: Path, error: OSError) -> None:
        fix = _FIX.get(error.errno or 0, "check that it is the kernel's log device (c 1:11)")
        super().__init__(f"{path}: {error.strerror or error}; {fix}")
        self.path, self.errno = path, error.errno


def parse_record(raw: bytes) -> KmsgRecord:
    """One record of /dev/kmsg: ``prio,seq,usec,flags[,…];text``, then ``KEY=value`` lines, which are dropped. Raises BadRecordError.

    Bytes beyond ASCII, which the kernel never writes, become lone surrogates.
    """
    head = _HEAD.match(raw)
    if head is None:
        raise BadRecordError(f"no kmsg record (prio,seq,usec,flags;text): {raw[:60]!r}")
    priority, sequence, at_us, flags = head.groups()
    end = raw.find(b"\n", head.end())
    text = raw[head.end() : end if end >= 0 else None].decode("ascii", "surrogateescape")
    facility, level = divmod(int(priority), 8)
    return KmsgRecord(int(sequence), int(at_us), facility, level, flags is not None and b"c" in flags, text)


def boot_id(path: Path = BOOT_ID) -> str:
    """This boot's random id (proc(5), since 2.4). With a record's sequence number it names the record forever."""
    return path.read_text(encoding="ascii").strip()


class Kmsg:
    """A reader of /dev/kmsg, of a recorded file or of a FIFO; it never blocks. Raises KmsgUnavailableError.

    ``after_sequence`` None: only records that come from now on. Else: from the oldest one still there, without those up to
    ``after_sequence``, which must be of this boot. A FIFO is opened for writing, too: one without a writer is always readable.
    """

    def __init__(self, path: Path, after_sequence: int | None, read: Callable[[int, int], bytes] | None = None) -> None:
        self._path = path
        self._read_fd = read or os.read
        self._expected = None if after_sequence is None else after_sequence + 1
        self._overrun = False
        self._half_line = b""
        self._lines: deque[bytes] = deque()
        self.bad_records = 0
        self.more = False  # whether the last read() stopped at its limit
        try:
            fifo = stat.S_ISFIFO(path.stat().st_mode)
            self._fd = os.open(path, (os.O_RDWR if fifo else os.O_RDONLY) | os.O_NONBLOCK | os.O_CLOEXEC)
            if after_sequence is None and not fifo:
                os.lseek(self._fd, 0, os.SEEK_END)
        except OSError as error:
            raise KmsgUnavailableError(path, error) from error

    def fileno(self) -> int:
        """The descriptor, for a selector."""
        return self._fd

    def read(self, limit: int) -> list[KmsgRecord | KmsgGap]:
        """Up to ``limit`` records that are there now, with a KmsgGap in front of one that follows lost records.

        A gap before the very first record of a reader that began at the end counts 1: their number is unknown. Lines that are no
        record are counted in ``bad_records`` and passed over, as are those up to ``after_sequence``, up to PASSED_OVER times
        ``limit`` of both; ``more`` then says that there may be more. Raises KmsgUnavailableError.
        """
        items: list[KmsgRecord | KmsgGap] = []
        room = PASSED_OVER * limit
        while room > 0 and self._fill():
            room -= 1
            try:
                record = parse_record(self._lines.popleft())
            except BadRecordError:
                self.bad_records += 1
                continue
            if self._expected is not None and record.sequence < self._expected:
                continue
            if (lost := self._lost_before(record)) > 0:
                items.append(KmsgGap(lost, record.sequence))
            self._expected, self._overrun = record.sequence + 1, False
            items.append(record)
            room -= PASSED_OVER - 1
        self.more = room <= 0
        return items

    def _lost_before(self, record: KmsgRecord) -> int:
        if self._expected is None:
            return 1 if self._overrun else 0
        return record.sequence - self._expected

    def _fill(self) -> bool:
        """Whether there are lines; reads more when there are none."""
        overruns = 0
        while not self._lines and overruns < MOST_OVERRUNS:
            try:
                chunk = self._read_fd(self._fd, BUFFER_BYTES)
            except BlockingIOError:
                return False
            except BrokenPipeError:  # overrun: the next read gives the oldest record still there
                self._overrun = True
                overruns += 1
                continue
            except OSError as error:
                raise KmsgUnavailableError(self._path, error) from error
            if not chunk:
                return False
            *lines, self._half_line = (self._half_line[-BUFFER_BYTES:] + chunk).split(b"\n")
            self._lines.extend(line for line in lines if line and not line.startswith(b" "))
        return bool(self._lines)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def open_kmsg(path: Path, after_sequence: int | None) -> Kmsg:
    """A Kmsg of the kernel's log device or of a FIFO; any other kind of file gives no notice of new records, or is no log.

    Raises KmsgUnavailableError.
    """
    try:
        status = path.stat()
        if not (is_kmsg(status) or stat.S_ISFIFO(status.st_mode)):
            raise OSError(errno.ENODEV, "not the kernel's log device")
    except OSError as error:
        raise KmsgUnavailableError(path, error) from error
    return Kmsg(path, after_sequence)


def is_kmsg(status: os.stat_result) -> bool:
    """Whether a file is the kernel's log device."""
    return stat.S_ISCHR(status.st_mode) and (os.major(status.st_rdev), os.minor(status.st_rdev)) == DEVICE
