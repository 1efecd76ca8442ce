"""Waiting between tries: doubling, jittered, bounded; and a clock that tests can set."""

from __future__ import annotations

import random
from collections.abc import Callable

FIRST_S = 0.5
MOST_S = 30.0


class Backoff:
    """``next_s`` grows from FIRST_S to MOST_S, each between half and the whole, so that a node's agents don't come as one."""

    def __init__(self, rand: Callable[[], float] = random.random) -> None:
        self._rand = rand
        self._tries = 0

    def reset(self) -> None:
        """It worked."""
        self._tries = 0

    def next_s(self) -> float:
        """Seconds to wait before the next try."""
        whole = min(MOST_S, FIRST_S * 2 ** min(self._tries, 16))
        self._tries += 1
        return float(whole * (0.5 + self._rand() / 2))
