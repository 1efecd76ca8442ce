"""Room for a number of series, shared by namespaces: a tenant with many pods takes no place of another's. Pure."""

from __future__ import annotations

from collections import Counter


class Room:
    """Where there is no room left, the newest key of the namespace with the most gives way to one of a namespace with fewer."""

    def __init__(self) -> None:
        self._namespaces: dict[str, str] = {}  # by key, the newest last
        self._sizes: Counter[str] = Counter()

    def enter(self, key: str, namespace: str, most: int) -> str | None:
        """The key without a place, perhaps this one; None: there is room, or it has its place already."""
        if key in self._namespaces:
            return None
        crowded = None
        if len(self._namespaces) >= most:
            largest = max(self._sizes, key=self._sizes.__getitem__)
            if self._sizes[largest] <= self._sizes[namespace] + 1:
                return key
            crowded = next(other for other in reversed(self._namespaces) if self._namespaces[other] == largest)
            self.leave(crowded)
        self._namespaces[key] = namespace
        self._sizes[namespace] += 1
        return crowded

    def leave(self, key: str) -> None:
        """Its place is free, if it had one."""
        namespace = self._namespaces.pop(key, None)
        if namespace is not None:
            self._sizes[namespace] -= 1
            if not self._sizes[namespace]:
                del self._sizes[namespace]
