"""The time of each container's last kill, and what its memory was used for then."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from time import time

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from agent.metrics.series import ContainerSeries, Key
from agent.model import MemoryUse, OomKill, kills_of_cgroup

KINDS = tuple(field.name for field in fields(MemoryUse) if field.name != "by_report")
Sample = tuple[tuple[str, ...], float]  # labels and value


class ScrapedGauge(Collector):
    """A gauge whose series are created at each scrape, not when a kill is recorded: the first kill of a container would create nine.

    ``samples`` gives them; the threads that serve the page call it.
    """

    _type = "gauge"  # this and _labelnames as the library's metrics have them: the reference is compared with both

    def __init__(self, name: str, text: str, labels: Sequence[str], registry: CollectorRegistry) -> None:
        self._name, self._text, self._labelnames = name, text, tuple(labels)
        self.samples: Callable[[], Iterable[Sample]] = tuple
        registry.register(self)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily(self._name, self._text, labels=self._labelnames)
        for labels, value in self.samples():
            family.add_metric(labels, value)
        yield family


@dataclass(frozen=True, slots=True)
class _Last:
    """``kill_id`` "": it is not known. ``counter`` is the beginning of it: of kills with the same one the ``ordinal`` rises."""

    at_unix_s: float
    kill_id: str = ""
    use: MemoryUse | None = None
    counter: str = ""
    ordinal: int = 0

    @classmethod
    def of(cls, at_unix_s: float, kill: OomKill) -> _Last:
        return cls(at_unix_s, kill.kill_id, kill.use, kills_of_cgroup(kill.boot_id, kill.cgroup_inode), kill.ordinal)

    def replaces(self, before: _Last, now_unix_s: float) -> bool:
        """Whether it was not before that one: by their time, but for a clock that was set back or is right only now."""
        if self.at_unix_s >= before.at_unix_s:
            return True
        if self.counter and self.counter == before.counter:
            return self.ordinal > before.ordinal
        return before.at_unix_s > now_unix_s


class LastKills:
    """Series of containers that had a kill; the others have none, since no time and no amount would be true of them."""

    def __init__(self, series: ContainerSeries, at: ScrapedGauge, memory: ScrapedGauge) -> None:
        self._series = series
        self._last: dict[Key, _Last] = {}
        at.samples, memory.samples = self._times, self._memory

    def seed(self, key: Key, at_unix_s: float, kill: OomKill | None) -> None:
        """From the ledger: the time of a container's last kill, and that kill if it is still kept."""
        self._put(key, _Last(at_unix_s) if kill is None else _Last.of(at_unix_s, kill))

    def put(self, key: Key, kill: OomKill) -> None:
        """A kill that is counted. One that was before the last one changes nothing."""
        self._put(key, _Last.of(kill.at_unix_s, kill))

    def amend(self, key: Key, kill: OomKill) -> None:
        """Details of a kill came late: they count if it is still the last one and has series."""
        last = self._last.get(key)
        if last is not None and last.kill_id == kill.kill_id:
            self._last[key] = replace(last, use=kill.use)

    def _put(self, key: Key, last: _Last) -> None:
        """Kills that are counted for the pod or for nobody have no series: the last of them says nothing about the others."""
        if not key[1] or not self._series.has_any(key):
            return
        before = self._last.get(key)
        if before is None or last.replaces(before, time()):
            self._last[key] = last

    def forget(self, dropped: Iterable[Key]) -> None:
        """The series of these containers were dropped."""
        for key in dropped:
            if not self._series.has_any(key):
                self._last.pop(key, None)

    # ------------------------------------------------------------------------------------------ threads that serve the page

    def _shown(self) -> list[tuple[Key, _Last]]:
        """Without those whose series were dropped, which is told later."""
        return [one for one in tuple(self._last.items()) if self._series.has_any(one[0])]

    def _times(self) -> Iterator[Sample]:
        for key, last in self._shown():
            yield key, last.at_unix_s

    def _memory(self) -> Iterator[Sample]:
        for key, last in self._shown():
            for kind in KINDS:
                if (used := getattr(last.use, kind, None)) is not None:
                    yield (*key, kind), used
