"""Waits between tries: doubled, jittered, bounded."""

from __future__ import annotations

import random
from collections.abc import Callable

FIRST_S = 0.5
MOST_S = 30.0


class Backoff:
    """Waits grow from FIRST_S to MOST_S; each is between half and all of it, so that agents don't retry at the same time."""

    def __init__(self, rand: Callable[[], float] = random.random) -> None:
        self._rand = rand
        self._tries = 0

    def reset(self) -> None:
        self._tries = 0

    def next_s(self) -> float:
        whole = min(MOST_S, FIRST_S * 2 ** min(self._tries, 16))
        self._tries += 1
        return float(whole * (0.5 + self._rand() / 2))
