"""Who writes to which control file, and when, as the kernel tells it: fanotify(7) over the whole cgroup mount.

The oracle for "nothing but this file is written" and for "how long after the runtime's write came ours". Owns one fanotify
descriptor; takes a mount, gives Writes with the writer's pid. Needs root. Reads no file's contents and writes none.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# linux/fanotify.h
FAN_CLOEXEC, FAN_NONBLOCK, FAN_UNLIMITED_QUEUE = 0x1, 0x2, 0x10
FAN_MARK_ADD, FAN_MARK_MOUNT = 0x1, 0x10
FAN_MODIFY, FAN_Q_OVERFLOW = 0x2, 0x4000
AT_FDCWD = -100
METADATA = struct.Struct("=IBBHQii")  # event_len, vers, reserved, metadata_len, mask, fd, pid
BUFFER_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Write:
    """One write(2), or several in a row of one process to one file. ``path`` is relative to the mount; the file is its last part."""

    at_ns: int  # CLOCK_MONOTONIC, when it was read here
    pid: int
    path: str


class Writes:
    """Everything that is written below ``mount`` from now on. Raises OSError where fanotify is not to be had."""

    def __init__(self, mount: Path) -> None:
        self.vanished = 0  # writes that can't be told of: their cgroup was removed first
        self._front = f"{mount}/"
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = libc.fanotify_init(FAN_CLOEXEC | FAN_NONBLOCK | FAN_UNLIMITED_QUEUE, os.O_RDONLY | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "fanotify_init: run as root, on a kernel with CONFIG_FANOTIFY")
        mask = ctypes.c_uint64(FAN_MODIFY)
        if libc.fanotify_mark(self._fd, FAN_MARK_ADD | FAN_MARK_MOUNT, mask, AT_FDCWD, os.fsencode(mount)) < 0:
            os.close(self._fd)
            raise OSError(ctypes.get_errno(), f"fanotify_mark of {mount}")

    def fileno(self) -> int:
        """For a selector: readable means that there are writes to be told of."""
        return int(self._fd)

    def read(self) -> list[Write]:
        """What was written and not told yet, without waiting."""
        found: list[Write] = []
        while True:
            try:
                buffer = os.read(self._fd, BUFFER_BYTES)
            except BlockingIOError:
                return found
            except OSError as error:
                if error.errno not in (errno.ENODEV, errno.ENOENT):
                    raise
                self.vanished += (
                    1  # of a cgroup that is gone by now: the kernel can't open it for us, and drops the event
                )
                continue
            found += self._told(buffer, time.monotonic_ns())

    def _told(self, buffer: bytes, at_ns: int) -> Iterator[Write]:
        at = 0
        while at < len(buffer):
            length, _, _, _, mask, fd, pid = METADATA.unpack_from(buffer, at)
            at += length
            if mask & FAN_Q_OVERFLOW:
                raise OverflowError("fanotify lost writes: what was written is not known")
            # A cgroup that was removed meanwhile: " (deleted)" behind its path.
            path = os.readlink(f"/proc/self/fd/{fd}").removesuffix(" (deleted)")
            os.close(fd)
            yield Write(at_ns, pid, path.removeprefix(self._front))

    def close(self) -> None:
        """Nothing more is told."""
        os.close(self._fd)
