"""Log lines on standard error: JSON for machines, text for terminals. One line per record, whatever it contains.

Formats the agent's records and other libraries' warnings; ``Once`` limits repeated messages.
"""

from __future__ import annotations

import json
import logging
import math
import sys
import threading
import time
from collections.abc import Callable
from typing import TextIO

from agent.wording.text import safe
from agent.wording.times import rfc3339

LINE_LIMIT = 8192
_ENCODER = json.JSONEncoder(ensure_ascii=True, default=str)
MOST_KEYS = 1000  # in one Once


def log(logger: logging.Logger, level: int, message: str, **fields: object) -> None:
    """Log a message with flat fields."""
    logger.log(level, "%s", message, extra={"fields": fields})


class JsonFormatter(logging.Formatter):
    """One JSON object per line, ASCII only: no content can break a line or a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": rfc3339(record.created, "microseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        line = getattr(record, "fields", {}) | line
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return _ENCODER.encode(line)


class TextFormatter(logging.Formatter):
    """``12:00:00.123 WARNING message``, safe for a terminal; a traceback keeps its lines."""

    def format(self, record: logging.LogRecord) -> str:
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        text = f"{clock}.{int(record.msecs):03d} {record.levelname:7} {safe(record.getMessage(), LINE_LIMIT)}"
        if not record.exc_info:
            return text
        traceback = self.formatException(record.exc_info).splitlines()
        return "\n".join([text, *(safe(line, LINE_LIMIT) for line in traceback)])


class _Stderr(logging.StreamHandler[TextIO]):
    """The agent's own handler: setup() replaces it and leaves other handlers in place."""


def setup(log_format: str | None, level: str) -> None:
    """Log to standard error: ``oomward`` from ``level`` up, other libraries from WARNING up, in one format.

    ``log_format`` None: text on a terminal, else JSON. A second call replaces the first.
    """
    terminal = sys.stderr is not None and sys.stderr.isatty()  # None: closed, and nothing is said
    text = log_format == "text" or (log_format is None and terminal)
    handler = _Stderr(sys.stderr)
    handler.setFormatter(TextFormatter() if text else JsonFormatter())
    ours, root = logging.getLogger("oomward"), logging.getLogger()
    ours.handlers[:] = [handler]
    ours.setLevel(level.upper())
    ours.propagate = False
    root.handlers[:] = [*(h for h in root.handlers if not isinstance(h, _Stderr)), handler]
    root.setLevel(logging.WARNING)


class Once:
    """Limits each key to once per ``interval_s``. Thread-safe and bounded."""

    def __init__(self, interval_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval_s = interval_s
        self._clock = clock
        self._last: dict[str, tuple[float, int]] = {}  # key -> time of its last turn, number left out since
        self._lock = threading.Lock()

    def due(self, key: str) -> int | None:
        """None: not now. Else how many calls with this key were left out since the last that was due."""
        now = self._clock()
        with self._lock:
            at, left_out = self._last.get(key, (-math.inf, 0))
            if now - at < self._interval_s:
                self._last[key] = at, left_out + 1
                return None
            self._last.pop(key, None)
            if len(self._last) >= MOST_KEYS:
                del self._last[next(iter(self._last))]  # the oldest
            self._last[key] = now, 0
            return left_out


def left_out_text(left_out: int) -> str:
    """What Once.due left out, to be put at the end of the log line; "": nothing."""
    return f" ({left_out} more since the last such line)" if left_out else ""
