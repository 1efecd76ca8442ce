"""The screen while the demo runs: an updated table on a terminal, else lines, and at most 5 s without output.

Messages come from the part on the kernel as lines of JSON; a thread updates the screen twice per second.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from tests.demo.facts import Result, Row, result_of, rows_of
from tests.demo.summary import QUIET, short, table

LONGEST_SILENCE_S = 5.0
TICK_S = 0.5
DUE_S = LONGEST_SILENCE_S - 2 * TICK_S  # without output: then the next tick prints


class Screen:
    """To be used as a context manager. ``clock`` is monotonic, in seconds."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self.result: Result | None = None
        self._console = console
        self._clock = clock
        self._phase = ""
        self._rows: tuple[Row, ...] = ()
        self._title = ""
        self._phase_since_s = self._printed_s = clock()
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._ticker = threading.Thread(target=self._tick_on, name="ticker", daemon=True)
        redraws = console.is_terminal and not console.is_dumb_terminal
        self._live = Live(console=console, auto_refresh=False, transient=True) if redraws else None

    def __enter__(self) -> Screen:
        if self._live is not None:
            self._live.start()
        self._ticker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._ticker.join()
        if self._live is not None:
            self._live.stop()

    def phase(self, text: str) -> None:
        """The current phase, until the next one."""
        with self._lock:
            if self._live is None:
                self._print(Text(f"{text} …"))
            elif self._phase:
                self._print(Text(f"{self._phase}: {self._passed()}"))
            self._phase, self._phase_since_s = text, self._clock()

    def take(self, line: bytes) -> None:
        """One line from the part on the kernel: a message, or an error, which is shown unchanged."""
        with self._lock:
            try:
                message = json.loads(line)
                what = message["what"]
            except (ValueError, TypeError, KeyError):
                self._print(Text(line.decode(errors="replace").rstrip()))
                return
            if what == "phase":
                self.phase(message["text"])
            elif what == "state":
                self._rows = rows_of(message["rows"])
                self._title = f"After {message['seconds']:.0f} s ({message['left']:.0f} s left)"
            elif what == "result":
                self.result = result_of(message)

    def tick(self) -> None:
        """Update the table, or print a line if it is due."""
        with self._lock:
            if self._live is not None:
                self._live.update(self._picture(), refresh=True)
            elif self._clock() - self._printed_s >= DUE_S:
                self._print(Text(self._line()))

    def _tick_on(self) -> None:
        while not self._over.wait(TICK_S):
            self.tick()

    def _print(self, text: Text) -> None:
        self._console.print(text)
        self._printed_s = self._clock()

    def _passed(self) -> str:
        return f"{self._clock() - self._phase_since_s:.0f} s"

    def _picture(self) -> RenderableType:
        waiting = Text(f"{self._phase} … {self._passed()}", QUIET)
        return Group(table(self._rows, self._title), waiting) if self._rows else waiting

    def _line(self) -> str:
        return f"  … {self._passed()}. {short(self._rows)}" if self._rows else f"  … {self._passed()}"
