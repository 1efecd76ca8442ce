"""What was announced already, by what it is about. Goes with that, so that restarts of a living pod's container leave nothing behind."""

from __future__ import annotations

Subject = str | int  # a pod's uid, or a cgroup's inode


class Announced:
    """Of everything that is announced once."""

    def __init__(self) -> None:
        self._of: dict[Subject, set[tuple[str, ...]]] = {}

    def first_time(self, subject: Subject, *what: str) -> bool:
        """Whether it was not announced before; from now on it was."""
        known = self._of.setdefault(subject, set())
        if what in known:
            return False
        known.add(what)
        return True

    def forget(self, subject: Subject) -> None:
        """The pod or cgroup is gone."""
        self._of.pop(subject, None)

    def __len__(self) -> int:
        return len(self._of)
