"""Events to be posted, in our words."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Reasons on Events, all on the pod (on the node for kills outside pods)."""

    PROCESS_OOM_KILLED = "ProcessOOMKilled"
    CONTAINER_OOM_KILLED = "ContainerOOMKilled"
    MODE_APPLIED = "OOMModeApplied"
    MODE_INVALID = "OOMModeInvalid"
    MODE_FAILED = "OOMModeFailed"
    TOLERANCE_EXCEEDED = "OOMToleranceExceeded"
    CONTAINER_RESTARTED = "OOMContainerRestarted"


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """What an Event is about. For the node, ``namespace`` is empty and ``uid`` is the node's name, as the kubelet does it."""

    kind: str
    name: str
    namespace: str
    uid: str


@dataclass(frozen=True, slots=True)
class Notice:
    """An Event to be posted, in our words; events/sender.py makes the API's object of it.

    ``name`` is made from what happened, so that a second create is a 409. ``note`` is at most 1024 characters and safe to
    print. ``count`` is the number of occurrences, the last of them at ``last_at_unix_s``. ``group`` names what may go on
    happening and then raises the count; "" for what happens once. ``sent_count`` is the count that the API has (0: it has no
    such Event yet), after so many ``requests``. ``first_s`` and ``last_s`` (the occurrences) and ``due_s`` (no request
    before) are of the monotonic clock of ``boot_id``; "": not known.
    """

    name: str
    about: ObjectRef
    reason: Reason
    warning: bool
    action: str
    note: str
    at_unix_s: float
    count: int = 1
    last_at_unix_s: float | None = None
    group: str = ""
    sent_count: int = 0
    requests: int = 0
    boot_id: str = ""
    first_s: float = 0.0
    last_s: float = 0.0
    due_s: float = 0.0

    @property
    def last_unix_s(self) -> float:
        """When it happened for the last time."""
        return self.at_unix_s if self.last_at_unix_s is None else self.last_at_unix_s


def event_name(object_name: str, key: str) -> str:
    """An Event's name: the beginning of its object's name and a key; at most 253 characters, as a DNS subdomain has (RFC 1123)."""
    return f"{object_name[:180].rstrip('-.')}.{key}"


@dataclass(frozen=True, slots=True)
class Budget:
    """So many at once, and after that one every ``every_s`` seconds."""

    burst: int
    every_s: float
