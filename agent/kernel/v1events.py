"""cgroup v1's word that something ran out of memory: eventfds on memory.oom_control, all behind one descriptor.

Owns the eventfds and an epoll. Takes cgroup directories, gives those that fired. Writes only ``cgroup.event_control``,
which registers a notification and changes nothing else. Counts nothing: read memory.oom_control and take the difference.

Documentation/admin-guide/cgroup-v1/memory.rst, section 10. The kernel signals the cgroup whose limit was hit and every one
below it (mem_cgroup_oom_notify); a removed cgroup signals a last time. memory.oom_control's ``oom_kill`` exists since 4.13.
"""

from __future__ import annotations

import os
import select
from pathlib import Path


class V1EventsUnavailableError(Exception):
    """This cgroup's OOM notification can't be had: its kills show only when its counter is read for another reason."""

    def __init__(self, directory: Path, error: OSError) -> None:
        super().__init__(
            f"cgroup.event_control of {directory}: {error.strerror or error}; "
            "run as root with the v1 memory hierarchy mounted read-write"
        )
        self.directory = directory


class V1Events:
    """OOM notifications of many v1 cgroups behind one descriptor for a selector."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._directories: dict[int, Path] = {}
        self._eventfds: dict[Path, int] = {}

    def fileno(self) -> int:
        """The descriptor, for a selector: readable means that ``read`` has something to tell."""
        return self._epoll.fileno()

    def register(self, directory: Path) -> bool:
        """Ask to be told of this cgroup's OOMs; False when it is gone. A second time does nothing.

        Raises V1EventsUnavailableError when the kernel refuses. No link is followed below ``directory``'s own path.
        """
        if directory in self._eventfds:
            return True
        eventfd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        try:
            _ask_for_events(directory, eventfd)
        except (FileNotFoundError, NotADirectoryError):
            os.close(eventfd)
            return False
        except OSError as error:
            os.close(eventfd)
            if not directory.is_dir():  # ENODEV: removed after we opened it
                return False
            raise V1EventsUnavailableError(directory, error) from error
        self._directories[eventfd] = directory
        self._eventfds[directory] = eventfd
        self._epoll.register(eventfd, select.EPOLLIN)
        return True

    def unregister(self, directory: Path) -> None:
        """Forget a cgroup; the kernel drops its side when the eventfd closes. One that isn't known is passed over."""
        eventfd = self._eventfds.pop(directory, None)
        if eventfd is not None:
            del self._directories[eventfd]
            self._epoll.unregister(eventfd)
            os.close(eventfd)

    def read(self) -> list[Path]:
        """The cgroups that fired since the last call: an OOM in them or above them, or their removal. Never blocks."""
        fired: list[Path] = []
        for eventfd, _ in self._epoll.poll(0, max(1, len(self._directories))):
            os.eventfd_read(eventfd)
            fired.append(self._directories[eventfd])
        return fired

    def close(self) -> None:
        """Give all descriptors back; a second time does nothing."""
        for directory in tuple(self._eventfds):
            self.unregister(directory)
        self._epoll.close()


def _ask_for_events(directory: Path, eventfd: int) -> None:
    flags = os.O_CLOEXEC | os.O_NOFOLLOW
    held = os.open(directory, os.O_PATH | os.O_DIRECTORY | flags)
    try:
        control = os.open("memory.oom_control", os.O_RDONLY | flags, dir_fd=held)
        try:
            asking = os.open("cgroup.event_control", os.O_WRONLY | flags, dir_fd=held)
            try:
                os.write(asking, b"%d %d" % (eventfd, control))
            finally:
                os.close(asking)
        finally:
            os.close(control)  # the kernel holds the cgroup itself, not this descriptor
    finally:
        os.close(held)
