"""The mailbox: how other threads' messages reach the loop. A deque and an eventfd that wakes the selector."""

from __future__ import annotations

import os
from collections import deque

from agent.model import Message


class Mailbox:
    """``put`` and ``wake`` are for any thread; ``fileno`` and ``take`` are the loop's."""

    def __init__(self) -> None:
        self._messages: deque[Message] = deque()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        return self._wake

    def put(self, message: Message) -> None:
        self._messages.append(message)
        self.wake()

    def wake(self) -> None:
        """Wake the loop without a message; safe in a signal handler."""
        os.eventfd_write(self._wake, 1)

    def take(self) -> list[Message]:
        try:
            os.eventfd_read(self._wake)
        except BlockingIOError:
            return []
        return [self._messages.popleft() for _ in range(len(self._messages))]

    def close(self) -> None:
        os.close(self._wake)
