"""Log lines: JSON for machines, text for terminals. One line a record, whatever is in it.

Owns how the process's records are written, other libraries' warnings included; takes records with flat fields, gives lines to
standard error. Knows no secret and asks for none; ``Once`` keeps what happens every second from being said every second.
"""

from __future__ import annotations

import json
import logging
import math
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TextIO

from agent.wording.kills import safe

LINE_LIMIT = 8192
MOST_KEYS = 1000  # that one Once remembers


def log(logger: logging.Logger, level: int, message: str, **fields: object) -> None:
    """A record with flat fields beside its message."""
    logger.log(level, "%s", message, extra={"fields": fields})


class JsonFormatter(logging.Formatter):
    """One JSON object a line, ASCII only: nothing in it can break a line or a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC)
            .isoformat(timespec="microseconds")
            .replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        line = getattr(record, "fields", {}) | line
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=True, default=str)


class TextFormatter(logging.Formatter):
    """``12:00:00.123 WARNING message``, made safe for a terminal; a traceback keeps its lines."""

    def format(self, record: logging.LogRecord) -> str:
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        text = f"{clock}.{int(record.msecs):03d} {record.levelname:7} {safe(record.getMessage(), LINE_LIMIT)}"
        if not record.exc_info:
            return text
        traceback = self.formatException(record.exc_info).splitlines()
        return "\n".join([text, *(safe(line, LINE_LIMIT) for line in traceback)])


class _Stderr(logging.StreamHandler[TextIO]):
    """The agent's own handler, to be told from others' when set up again."""


def setup(log_format: str | None, level: str) -> None:
    """Send records to standard error: ``oomward``'s from ``level`` on, other libraries' from WARNING on, in one form.

    ``log_format`` None: text on a terminal, else JSON. Once more with other arguments replaces what was there.
    """
    text = log_format == "text" or (log_format is None and sys.stderr.isatty())
    handler = _Stderr(sys.stderr)
    handler.setFormatter(TextFormatter() if text else JsonFormatter())
    ours, root = logging.getLogger("oomward"), logging.getLogger()
    ours.handlers[:] = [handler]
    ours.setLevel(level.upper())
    ours.propagate = False
    root.handlers[:] = [*(h for h in root.handlers if not isinstance(h, _Stderr)), handler]
    root.setLevel(logging.WARNING)


class Once:
    """Says of each key whether it is due: the first time, and then once in ``interval_s``. Safe among threads, bounded."""

    def __init__(self, interval_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval_s = interval_s
        self._clock = clock
        self._said: dict[str, tuple[float, int]] = {}  # key -> when it was due last, how many were left out since
        self._lock = threading.Lock()

    def due(self, key: str) -> int | None:
        """None: not now. Else how many times of this key were left out since it was due last."""
        now = self._clock()
        with self._lock:
            at, left_out = self._said.get(key, (-math.inf, 0))
            if now - at < self._interval_s:
                self._said[key] = at, left_out + 1
                return None
            self._said.pop(key, None)
            if len(self._said) >= MOST_KEYS:
                del self._said[next(iter(self._said))]  # the one that was due longest ago
            self._said[key] = now, 0
            return left_out
