"""Messages of the other threads to the loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agent.model.pods import Pod
from agent.model.runtime import RuntimeMessage


@dataclass(frozen=True, slots=True)
class PodsListed:
    """A full list: a pod that is not in it was deleted. ``skipped``: uids of objects that could not be read."""

    pods: tuple[Pod, ...]
    resource_version: str
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PodChanged:
    """A pod as it is now. ``decides``: it is new, or its modes may differ; False: only its status does.

    ``asks``: its labels, annotations or container names differ, so that it may ask for something else.
    """

    pod: Pod
    decides: bool = True
    asks: bool = True


@dataclass(frozen=True, slots=True)
class PodDeleted:
    uid: str


@dataclass(frozen=True, slots=True)
class WatchTrouble:
    """The pod watch had to start again: ``reason`` is the metric's label, ``detail`` a sentence for people."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class PodSkipped:
    """Objects of the stream could not be read; the rest continues."""

    what: str
    why: str
    number: int = 1


@dataclass(frozen=True, slots=True)
class EventDelivered:
    """One Event's final ``outcome``: ``created`` | ``exists`` | ``patched`` | ``dropped_<why>``. ``count``: occurrences in that request."""

    name: str
    outcome: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class EventFailed:
    """One Event could not be sent and is to be tried again. ``status`` None: no answer. ``why`` is for people."""

    name: str
    status: int | None
    why: str
    retry_after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class StateAsked:
    """A command asks for the loop's state: ``answer`` gets a pods.state.NodeState, and must not wait."""

    answer: Callable[[Any], None]


@dataclass(frozen=True, slots=True)
class ThreadDied:
    """A thread ended too early; the process ends with this reason."""

    thread: str
    why: str


Message = (
    PodsListed
    | PodChanged
    | PodDeleted
    | PodSkipped
    | WatchTrouble
    | EventDelivered
    | EventFailed
    | StateAsked
    | ThreadDied
    | RuntimeMessage
)
