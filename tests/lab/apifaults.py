"""What can go wrong with an API server, switched on by a test: how, for which requests, how many times."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from enum import Enum


class How(Enum):
    """Kinds of misbehaviour."""

    STATUS = "answer with a status code"
    CLOSE = "close the connection without a word"
    SILENT = "accept, and never send a byte"
    SILENT_MIDWAY = "send the beginning of a watch, then nothing more, and keep the connection"
    CUT_MIDWAY = "break off in the middle of a chunk"
    TRUNCATE = "send a list whose body ends early"
    GARBAGE = "send a line that is no event"
    GONE_EVENT = "410 as an ERROR event inside of the stream"
    ERROR_EVENT = "another ERROR event"
    POISON = "send an object with wrong types, then go on"
    HUGE = "send a line that is larger than any object"
    SLOW = "answer, but late"


@dataclass(slots=True)
class Fault:
    """``times`` None: until cleared. ``verb``: list, watch, get, create, patch; "" is every one."""

    how: How
    verb: str = ""
    path: str = ""
    times: int | None = 1
    status: int = 500
    reason: str = "InternalError"
    message: str = "the lab says so"
    retry_after_s: int | None = None
    delay_s: float = 0.0


class Faults:
    """Those switched on just now."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self.released = threading.Event()  # ends the silent ones

    def add(self, fault: Fault) -> None:
        """Switch one on."""
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        """Switch all off, and end connections that are kept silent."""
        with self._lock:
            self._faults.clear()
        self.released.set()
        self.released = threading.Event()

    def take(self, verb: str, path: str) -> Fault | None:
        """The fault that this request meets, if any."""
        with self._lock:
            for fault in self._faults:
                if fault.verb in ("", verb) and path.startswith(fault.path):
                    if fault.times is not None:
                        fault.times -= 1
                        if fault.times == 0:
                            self._faults.remove(fault)
                    return fault
        return None
