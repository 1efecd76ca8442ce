"""What can go wrong with an API server, switched on by a test: how, for which requests, how many times.

Takes Faults from the test; the server asks for the one that a request meets. Acts on nothing itself.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from enum import Enum


class How(Enum):
    """Kinds of misbehaviour."""

    STATUS = "answer with a status code"
    SLOW = "answer as usual, but delay_s late"
    CLOSE = "close the connection without a word"
    SILENT = "accept, and never send a byte"
    LOST_ANSWER = "do what was asked, and close the connection before answering"
    LATE_STATUS = "do what was asked, and answer with a status code as if it had failed"
    BODY = "answer with a body that the test gives, and 200 or its ``code``"
    TRUNCATE = "send a list whose body ends early, as if that were all"
    CUT_BODY = "promise a whole list and close the connection in the middle of it"
    SILENT_MIDWAY = "send the beginning of a watch, then nothing more, and keep the connection"
    CUT_MIDWAY = "break off in the middle of a chunk of a watch"
    END = "end a watch cleanly, right away"
    GARBAGE = "send a line of a watch that is no event (``body``)"
    GONE_EVENT = "410 as an ERROR event inside of the stream"
    ERROR_EVENT = "another ERROR event"
    POISON = "send an object with wrong types, then go on"
    HUGE = "send a line that is larger than any object"
    HUGE_OBJECT = "send a pod with an annotation of 1 MiB, then go on"


@dataclass(slots=True)
class Fault:
    """``times`` None: until cleared. ``verb``: list, watch, get, create, patch; "" is every one. ``path`` is a prefix.

    ``status``, ``reason``, ``message`` and ``retry_after_s`` (the header as it is sent) are for STATUS and LATE_STATUS, ``body`` for BODY
    and GARBAGE; ``delay_s`` comes before every kind.
    """

    how: How
    verb: str = ""
    path: str = ""
    times: int | None = 1
    status: int = 500
    reason: str = "InternalError"
    message: str = "the lab says so"
    retry_after_s: int | str | None = None
    delay_s: float = 0.0
    body: bytes = b"<html>502 Bad Gateway</html>"
    code: int = 200


class Faults:
    """Those switched on just now."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self.released = threading.Event()  # ends the silent ones

    def add(self, fault: Fault) -> None:
        """Switch one on, after those that are on already."""
        with self._lock:
            self._faults.append(fault)

    def drop(self, fault: Fault) -> None:
        """Switch one off, if it is on."""
        with self._lock:
            self._faults = [each for each in self._faults if each is not fault]

    def clear(self) -> None:
        """Switch all off, and end connections that are kept silent."""
        with self._lock:
            self._faults.clear()
            released, self.released = self.released, threading.Event()
        released.set()

    def take(self, verb: str, path: str) -> Fault | None:
        """The fault that this request meets, if any: the first that is on and meant for it."""
        with self._lock:
            for fault in self._faults:
                if fault.verb in ("", verb) and path.startswith(fault.path):
                    if fault.times is not None:
                        fault.times -= 1
                        if fault.times == 0:
                            self._faults.remove(fault)
                    return fault
        return None
