"""Log lines: JSON for machines, text for terminals. One line a record, whatever is in it."""

from __future__ import annotations

import json
import logging
import sys
import time
from datetime import UTC, datetime

from agent.report.wording import safe

LINE_LIMIT = 8192


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


def setup(log_format: str | None, level: str) -> None:
    """Send ``oomward``'s records to standard error. ``log_format`` None: text on a terminal, else JSON."""
    text = log_format == "text" or (log_format is None and sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(TextFormatter() if text else JsonFormatter())
    logger = logging.getLogger("oomward")
    logger.handlers[:] = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False
