"""A container under pressure becomes a metric, a log line and an Event: at its beginning, and again while it lasts.

An Event waits a second: a kill that comes at once says more. The end is no Event, since nobody has to do anything then.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

from agent.metrics.metrics import Metrics
from agent.model import (
    AtLimit,
    Cgroup,
    Identity,
    MemoryVolume,
    Notice,
    ObjectRef,
    Pod,
    Reason,
    SeenProcess,
    event_name,
)
from agent.pressure.policy import Sample
from agent.wording import pressure as wording
from agent.wording.filled import all_volumes, container_volumes
from agent.wording.logs import Once, log

logger = logging.getLogger("oomward")

EVENT_AFTER_S = 1.0
EVENT_AFTER_KILL_S = 10.0
LASTS_S = (0.0, 600.0, 3600.0, 6 * 3600.0)  # a new Event when it has lasted that long
LOGGED_AGAIN_S = 60.0  # of one container


@dataclass(eq=False)
class Episode:
    """The pressure in one container, since ``since_s`` (monotonic). ``calm_s``: since when no kill was seen in it."""

    container: Cgroup
    since_s: float
    shared: bool
    named: Identity | None = None  # None: nothing was reported
    calm_s: float = -inf
    counted_s: float = -inf
    stage: int = 0  # how many of LASTS_S have their Event
    logged: bool = field(default=False)


class Report:
    """``post`` takes an Event that may happen again: its group's open Event counts it. ``pod_of`` gives a pod by its uid."""

    def __init__(
        self,
        boot_id: str,
        metrics: Metrics,
        post: Callable[[Notice], None],
        largest: Callable[[Cgroup], list[SeenProcess]],
        unix_s: Callable[[], float],
        pod_of: Callable[[str], Pod | None],
    ) -> None:
        self._pod_of = pod_of
        self._boot_id = boot_id
        self._metrics = metrics
        self._post = post
        self._largest = largest
        self._unix_s = unix_s
        self._logged = Once(LOGGED_AGAIN_S)

    def goes_on(
        self, episode: Episode, names: Identity, reading: AtLimit, sample: Sample, now_s: float, *, events: bool
    ) -> None:
        """A reading of a container under pressure. Nothing is reported until it has a name."""
        if names.container is None or names.pod is None or names.namespace is None or names.pod_uid is None:
            return
        key = (names.namespace, names.pod, names.container)
        begins = episode.named is None
        if begins:
            episode.named, episode.counted_s, episode.calm_s = names, now_s, episode.since_s
        self._metrics.under_pressure(*key, seconds=now_s - episode.counted_s, lasts=True)
        episode.counted_s = now_s
        if sample.killed:
            episode.calm_s = now_s
        processes: list[SeenProcess] | None = None
        if begins and self._logged.due("/".join(key)) is not None:
            episode.logged = True
            processes = self._largest(
                episode.container
            )  # from here on the container may be gone: reading them may take long
            self._log_beginning(episode, names, reading, sample, processes)
        lasted_s = now_s - episode.since_s
        wait_s = EVENT_AFTER_S if episode.calm_s == episode.since_s else EVENT_AFTER_KILL_S
        if (
            events
            and now_s - episode.calm_s >= wait_s
            and episode.stage < len(LASTS_S)
            and lasted_s >= LASTS_S[episode.stage]
        ):
            stage = max(number for number, lasts_s in enumerate(LASTS_S) if lasted_s >= lasts_s)
            episode.stage = stage + 1
            self._event(
                episode,
                names,
                reading,
                sample,
                stage,
                self._largest(episode.container) if processes is None else processes,
            )

    def _log_beginning(
        self, episode: Episode, names: Identity, reading: AtLimit, sample: Sample, processes: list[SeenProcess]
    ) -> None:
        line = wording.pressure_line(names, reading, sample.stalled, processes, shared=episode.shared)
        fields = wording.pressure_fields(names, reading, sample.stalled, processes, shared=episode.shared)
        log(logger, logging.WARNING, line, event="memory_limit_pressure", **fields)

    def _event(
        self,
        episode: Episode,
        names: Identity,
        reading: AtLimit,
        sample: Sample,
        stage: int,
        processes: list[SeenProcess],
    ) -> None:
        about = ObjectRef("Pod", names.pod or "", names.namespace or "", names.pod_uid or "")
        note = wording.pressure_note(
            names.container or "",
            reading,
            sample.stalled,
            processes,
            lasts_s=LASTS_S[stage],
            shared=episode.shared,
            volumes=self._volumes(names, shared=episode.shared),
        )
        key = f"pressure-{self._boot_id[:8]}-{episode.container.inode}-{int(episode.since_s * 1000)}-{stage}"
        group = "/".join((about.uid, names.container or "", Reason.LIMIT_PRESSURE, str(stage)))
        name = event_name(about.name, key)
        self._post(Notice(name, about, Reason.LIMIT_PRESSURE, True, "WatchMemory", note, self._unix_s(), group=group))

    def _volumes(self, names: Identity, *, shared: bool) -> tuple[MemoryVolume, ...]:
        pod = self._pod_of(names.pod_uid or "")
        if pod is None:
            return ()
        return all_volumes(pod) if shared else container_volumes(pod, names.container)

    def ended(self, episode: Episode, now_s: float) -> None:
        """It is over, or its cgroup was removed."""
        names = episode.named
        if names is None or names.namespace is None or names.pod is None or names.container is None:
            return
        key = (names.namespace, names.pod, names.container)
        self._metrics.under_pressure(*key, seconds=max(0.0, now_s - episode.counted_s), lasts=False)
        if episode.logged:
            line = wording.pressure_ended_line(names, now_s - episode.since_s)
            log(logger, logging.INFO, line, event="memory_limit_pressure_ended", **wording.where(names))
