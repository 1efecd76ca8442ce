"""Messages of the other threads to the loop."""

from __future__ import annotations

from dataclasses import dataclass

from agent.model.pods import Pod


@dataclass(frozen=True, slots=True)
class PodsListed:
    """A full list: whatever of our pods is not in it is gone. ``skipped`` objects could not be read (uids where known)."""

    pods: tuple[Pod, ...]
    resource_version: str
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PodChanged:
    """A pod as it is now. ``decides``: it is new, or modes may be others for it; False: it fares otherwise, no more.

    ``asks``: its labels, annotations or container names are others, so what it asks for may be something else.
    """

    pod: Pod
    decides: bool = True
    asks: bool = True


@dataclass(frozen=True, slots=True)
class PodDeleted:
    uid: str


@dataclass(frozen=True, slots=True)
class WatchTrouble:
    """The pod watch had to start again: ``reason`` is a short word for the metric, ``detail`` a sentence for people."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class PodSkipped:
    """An object of the stream that could not be read; the rest goes on."""

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class EventDelivered:
    """What became of one Event. ``outcome``: ``created`` | ``exists`` | ``patched`` | ``dropped_<why>``: final, all of them.

    ``count`` is how many occurrences that request spoke of.
    """

    name: str
    outcome: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class EventFailed:
    """One Event could not be sent and is to be tried again. ``status`` is the API's; None: no answer. ``why`` is for people."""

    name: str
    status: int | None
    why: str
    retry_after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ThreadDied:
    """A thread ended that should not have; the process ends with this reason."""

    thread: str
    why: str


Message = PodsListed | PodChanged | PodDeleted | PodSkipped | WatchTrouble | EventDelivered | EventFailed | ThreadDied
