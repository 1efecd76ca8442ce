"""Waiting for what must come. The time-out is for a machine that is busy with other things: a test that passes doesn't wait it out."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_S = 60.0


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Return once ``condition`` holds. Raises AssertionError, naming ``what``, if it doesn't within PATIENCE_S."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, f"not within {PATIENCE_S:g} s: {what}"
        time.sleep(0.005)
