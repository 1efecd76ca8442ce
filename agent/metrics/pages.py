"""The page of metrics, made once for everybody who asks within a second, and packed once for everybody who takes gzip."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

KEPT_S = 1.0
LOOK_S = 0.1  # a client that is disconnected while it waits for a page leaves after that
LEVEL = 3  # 4 MB in 25 ms to a fifteenth; the interpreter's lock is released meanwhile
OPENMETRICS = "application/openmetrics-text"
ACCEPTED = {True: f"{OPENMETRICS}; version=1.0.0", False: ""}  # these two pages only, whatever else a client asks for
Page = Callable[[str], tuple[str, bytes]]  # from the Accept header to content type and body


class LeftError(ConnectionError):
    """The client was disconnected while it waited."""


@dataclass(slots=True)
class _Made:
    content_type: str
    body: bytes
    at_s: float
    packed: bytes | None = None


class SharedPage:
    """Any thread may ask. ``make`` is never called by two threads at once."""

    def __init__(self, make: Page, clock: Callable[[], float] = time.monotonic) -> None:
        self._make = make
        self._clock = clock
        self._made: dict[bool, _Made] = {}
        self._changed = threading.Condition()
        self._busy = False

    def get(self, accept: str, encodings: str, is_there: Callable[[], bool]) -> tuple[str, str, bytes]:
        """Content type, content encoding ("": none) and body, for the headers Accept and Accept-Encoding.

        ``is_there``: whether the client still waits. Raises LeftError if not, and what making the page raises.
        """
        openmetrics, packed = accepts(accept, OPENMETRICS), accepts(encodings, "gzip")
        with self._changed:
            while (made := self._fresh(openmetrics, packed=packed)) is None and self._busy:
                self._changed.wait(LOOK_S)
                if not is_there():
                    raise LeftError("disconnected, since others came")
            if made is not None:
                return _answer(made, packed=packed)
            self._busy = True
            made = self._fresh(openmetrics, packed=False)
        try:
            if made is None:
                made = _Made(*self._make(ACCEPTED[openmetrics]), self._clock())
            if packed and made.packed is None:
                made.packed = gzip.compress(made.body, LEVEL, mtime=0)
            self._made[openmetrics] = made
            return _answer(made, packed=packed)
        finally:
            with self._changed:
                self._busy = False
                self._changed.notify_all()

    def _fresh(self, openmetrics: bool, *, packed: bool) -> _Made | None:
        made = self._made.get(openmetrics)
        if made is None or self._clock() - made.at_s >= KEPT_S or (packed and made.packed is None):
            return None
        return made


def _answer(made: _Made, *, packed: bool) -> tuple[str, str, bytes]:
    if packed and made.packed is not None:
        return made.content_type, "gzip", made.packed
    return made.content_type, "", made.body


def accepts(header: str, wanted: str) -> bool:
    """Whether a list of values (RFC 9110, 12.4.2) names this one with a weight above 0."""
    for value in header.lower().split(","):
        name, *parameters = (part.strip() for part in value.split(";"))
        if name == wanted:
            weights = [parameter[2:] for parameter in parameters if parameter.startswith("q=")]
            return not weights or weights[0].strip("0.") != ""
    return False
