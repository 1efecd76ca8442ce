"""cgroup v1's notifications: eventfds on memory.oom_control, or on memory.pressure_level, all behind one descriptor.

Writes only ``cgroup.event_control``, which registers a notification and changes nothing else. Counts nothing: read memory.oom_control.
Documentation/admin-guide/cgroup-v1/memory.rst, section 10. The kernel signals the cgroup that hit its limit and every one
below it (mem_cgroup_oom_notify); a removed cgroup signals a last time. memory.oom_control's ``oom_kill`` exists since 4.13.
"""

from __future__ import annotations

import errno
import os
import select
from contextlib import ExitStack
from pathlib import Path

FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW


class V1EventsUnavailableError(Exception):
    """The kernel refuses this cgroup's notification: of OOMs, its kills show only when its counter is read for another reason."""

    def __init__(self, directory: Path, error: OSError) -> None:
        advice = "run as root with the v1 memory hierarchy mounted read-write"
        if error.errno == errno.EMFILE:
            advice = "raise the limit of open files"
        super().__init__(f"cgroup.event_control of {directory}: {error.strerror or error}; {advice}")


class V1Events:
    """Notifications of many v1 cgroups behind one descriptor for a selector: of OOMs, or of another ``file`` with ``more`` arguments."""

    def __init__(self, file: str = "memory.oom_control", more: bytes = b"") -> None:
        self._file = file
        self._more = more
        self._epoll = select.epoll()
        self._directories: dict[int, Path] = {}
        self._eventfds: dict[Path, int] = {}

    def fileno(self) -> int:
        return self._epoll.fileno()

    def register(self, directory: Path) -> bool:
        """Ask for this cgroup's OOM notifications; False when it is gone. A second time does nothing.

        Raises V1EventsUnavailableError when the kernel refuses. Follows no link below ``directory``'s own path.
        """
        if directory in self._eventfds:
            return True
        try:
            eventfd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        except OSError as error:  # EMFILE
            raise V1EventsUnavailableError(directory, error) from error
        try:
            _ask_for_events(directory, eventfd, self._file, self._more)
            self._epoll.register(eventfd, select.EPOLLIN)
        except OSError as error:
            os.close(eventfd)
            if error.errno in (errno.ENOENT, errno.ENOTDIR) or not directory.is_dir():  # ENODEV: removed meanwhile
                return False
            raise V1EventsUnavailableError(directory, error) from error
        self._directories[eventfd] = directory
        self._eventfds[directory] = eventfd
        return True

    def unregister(self, directory: Path) -> None:
        """Forget a cgroup, known or not; the kernel drops its side when the eventfd closes."""
        eventfd = self._eventfds.pop(directory, None)
        if eventfd is not None:
            del self._directories[eventfd]
            self._epoll.unregister(eventfd)
            os.close(eventfd)

    def mute(self, directory: Path) -> None:
        """Its signals are kept back until ``unmute``."""
        if (eventfd := self._eventfds.get(directory)) is not None:
            self._epoll.modify(eventfd, 0)

    def unmute(self, directory: Path) -> None:
        if (eventfd := self._eventfds.get(directory)) is not None:
            self._epoll.modify(eventfd, select.EPOLLIN)

    def read(self) -> list[Path]:
        """The cgroups signalled since the last call: an OOM in them or above them, or their removal. Never blocks."""
        signalled = [eventfd for eventfd, _ in self._epoll.poll(0, max(1, len(self._directories)))]
        for eventfd in signalled:
            os.eventfd_read(eventfd)
        return [self._directories[eventfd] for eventfd in signalled]

    def close(self) -> None:
        for directory in tuple(self._eventfds):
            self.unregister(directory)
        self._epoll.close()


def _ask_for_events(directory: Path, eventfd: int, file: str, more: bytes) -> None:
    with ExitStack() as opened:

        def open_at(path: str | Path, flags: int, dir_fd: int | None = None) -> int:
            fd = os.open(path, flags | FLAGS, dir_fd=dir_fd)
            opened.callback(os.close, fd)
            return fd

        top = open_at(directory, os.O_PATH | os.O_DIRECTORY)
        control = open_at(file, os.O_RDONLY, top)  # the kernel keeps the cgroup itself, not this descriptor
        arguments = b"%d %d %b" % (eventfd, control, more)
        os.write(open_at("cgroup.event_control", os.O_WRONLY, top), arguments.strip())
