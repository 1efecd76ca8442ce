"""What the loop waits for: descriptors in one epoll. Unlike the standard library's selectors it waits for PSI's triggers, too."""

from __future__ import annotations

import errno
import math
import select


class Waiting:
    """Descriptors, each with what to wait for (epoll(7)); by default, that it can be read."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._number = 0

    def register(self, descriptor: int, mask: int = select.EPOLLIN) -> None:
        self._epoll.register(descriptor, mask)
        self._number += 1

    def unregister(self, descriptor: int) -> None:
        """Also of one that is closed: with that, the kernel has left it out."""
        self._number -= 1
        try:
            self._epoll.unregister(descriptor)
        except OSError as error:
            if error.errno not in (errno.EBADF, errno.ENOENT):
                raise

    def wait(self, timeout_s: float) -> dict[int, int]:
        """The descriptors that are ready within that time, with what they are ready for; at least a millisecond unless it is 0."""
        timeout_s = math.ceil(timeout_s * 1e3) * 1e-3 if timeout_s > 0 else 0.0
        return dict(self._epoll.poll(timeout_s, max(1, self._number)))

    def close(self) -> None:
        self._epoll.close()
