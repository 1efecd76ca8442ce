"""Signals to processes that the lab has started and that may have ended."""

from __future__ import annotations

import os
import signal
from errno import ESRCH


def send(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Raises ProcessLookupError if it has ended; 0 is the pid of a container that has (CRI), and for kill(2) the caller's own group."""
    if pid <= 0:
        raise ProcessLookupError(ESRCH, "the process has ended")
    os.kill(pid, number)
