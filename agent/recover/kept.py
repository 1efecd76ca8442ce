"""The objects of a watch, within a number of bytes: what is in one namespace must not take the memory of all.

Beyond that, the oldest of the namespace with the most give way. Not thread-safe.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]


class Kept:
    """Keys are uids; sizes those of the objects' JSON, several times which they take in memory."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._spaces: dict[str, dict[str, tuple[Json, int]]] = {}  # by namespace and uid, the oldest first
        self._bytes: Counter[str] = Counter()  # by namespace
        self._space: dict[str, str] = {}  # by uid
        self._crowded: str | None = None

    def __iter__(self) -> Iterator[Json]:
        return (obj for space in self._spaces.values() for obj, _ in space.values())

    def put(self, uid: str, obj: Json) -> None:
        """As the newest. An object without a namespace is one."""
        self.pop(uid)
        metadata = obj["metadata"]
        name, size = str(metadata.get("namespace") or metadata.get("name")), len(json.dumps(obj))
        self._spaces.setdefault(name, {})[uid] = obj, size
        self._space[uid] = name
        self._bytes[name] += size
        while self._bytes.total() > self._most_bytes:
            self._crowded = max(self._bytes, key=self._bytes.__getitem__)
            self.pop(next(iter(self._spaces[self._crowded])))

    def pop(self, uid: str) -> bool:
        """Whether it was kept."""
        name = self._space.pop(uid, None)
        if name is None:
            return False
        self._bytes[name] -= self._spaces[name].pop(uid)[1]
        if not self._spaces[name]:
            del self._spaces[name], self._bytes[name]
        return True

    def crowded(self) -> str | None:
        """A namespace objects of which gave way since the last call."""
        found, self._crowded = self._crowded, None
        return found
