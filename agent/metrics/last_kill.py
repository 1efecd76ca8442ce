"""The time of each container's last kill, and what its memory was used for then."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from math import inf

from prometheus_client import Gauge

from agent.metrics.series import ContainerSeries, Key
from agent.model import MemoryUse, OomKill

NEVER = (-inf, "")
KINDS = tuple(field.name for field in fields(MemoryUse) if field.name != "by_report")


class LastKills:
    """Series of containers that had a kill; the others have none, since no time and no amount would be true of them."""

    def __init__(self, series: ContainerSeries, at: Gauge, memory: Gauge) -> None:
        self._series = series
        self._at = at
        self._memory = memory
        self._last: dict[Key, tuple[float, str]] = {}  # Unix time and kill id; no id: it is not known

    def seed(self, key: Key, at_unix_s: float, kill: OomKill | None) -> None:
        """From the ledger: the time of a container's last kill, and that kill if it is still kept."""
        kill_id, use = ("", None) if kill is None else (kill.kill_id, kill.use)
        self._put(key, at_unix_s, kill_id, use)

    def put(self, key: Key, kill: OomKill) -> None:
        """A kill. One that was before the last one changes nothing."""
        self._put(key, kill.at_unix_s, kill.kill_id, kill.use)

    def amend(self, key: Key, kill: OomKill) -> None:
        """Details of a kill came late: they count if it is still the last one and has series."""
        at_unix_s, kill_id = self._of(key)
        if kill_id == kill.kill_id:
            self._put(key, at_unix_s, kill_id, kill.use)

    def _put(self, key: Key, at_unix_s: float, kill_id: str, use: MemoryUse | None) -> None:
        """Kills that are counted for the pod or for nobody have no series: the last of them says nothing about the others."""
        if not key[1] or self._series.counted_as(key) != key or at_unix_s < self._of(key)[0]:
            return
        self._last[key] = at_unix_s, kill_id
        self._series.of(key, self._at).set(at_unix_s)
        for kind in KINDS:
            used = getattr(use, kind, None)
            if used is None:
                self._series.remove(key, self._memory, kind)
            else:
                self._series.of(key, self._memory, kind).set(used)

    def _of(self, key: Key) -> tuple[float, str]:
        return self._last.get(key, NEVER) if self._series.has(key, self._at) else NEVER

    def forget(self, dropped: Iterable[Key]) -> None:
        """The series of these containers were dropped."""
        for key in dropped:
            if not self._series.has(key, self._at):
                self._last.pop(key, None)
