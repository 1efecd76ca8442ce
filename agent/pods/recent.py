"""Readings that are used again for a while, so that very many kills in one cgroup don't read its files each time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """By path, the ``most`` newest. ``clock`` is monotonic, in seconds."""

    def __init__(self, again_s: float, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._again_s = again_s
        self._most = most
        self._clock = clock
        self._found: dict[str, tuple[float, T]] = {}

    def get(self, path: str, read: Callable[[str], T]) -> T:
        """What ``read`` returned for this path less than ``again_s`` ago, or else returns now."""
        now_s = self._clock()
        if path in self._found and now_s - self._found[path][0] < self._again_s:
            return self._found[path][1]
        self._found.pop(path, None)
        if len(self._found) >= self._most:
            del self._found[next(iter(self._found))]  # the oldest
        found = read(path)
        self._found[path] = now_s, found
        return found
