"""Events to be posted."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

# reportingController of our Events: which of our programs posted it.
AGENT_CONTROLLER = "oomward.dev/agent"  # its reportingInstance is the node's name
RECOVER_CONTROLLER = "oomward.dev/recover"


class Reason(StrEnum):
    """Reasons of Events, all on the pod (on the node for kills outside of pods)."""

    PROCESS_OOM_KILLED = "ProcessOOMKilled"
    CONTAINER_OOM_KILLED = "ContainerOOMKilled"
    MODE_APPLIED = "OOMModeApplied"
    MODE_INVALID = "OOMModeInvalid"
    MODE_FAILED = "OOMModeFailed"
    TOLERANCE_EXCEEDED = "OOMToleranceExceeded"
    CONTAINER_RESTARTED = "OOMContainerRestarted"
    LIMIT_PRESSURE = "MemoryLimitPressure"
    STALL_RESOLVED = "StallResolved"


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """The object of an Event. For the node, ``namespace`` is empty and ``uid`` is the node's name, as in the kubelet's Events."""

    kind: str
    name: str
    namespace: str
    uid: str


@dataclass(frozen=True, slots=True)
class Notice:
    """An Event to be posted; events/sender.py makes the API's object from it.

    ``name`` follows from what happened, so that a second create is a 409. ``note`` is at most 1024 characters and safe to
    print. ``count`` is the number of occurrences, the last at ``last_at_unix_s``. ``group`` names what may happen again and then raises
    the count; "" for what happens once. ``sent_count`` is the count that the API has (0: no such Event yet), after that many
    ``requests``. ``first_s`` and ``last_s`` (the occurrences) and ``due_s`` (no request before) are of the monotonic clock of
    ``boot_id``; "": not known.
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
        """The time of the last occurrence."""
        return self.at_unix_s if self.last_at_unix_s is None else self.last_at_unix_s


def event_name(object_name: str, key: str) -> str:
    """The beginning of the object's name and a key; at most 253 characters, the limit of a DNS subdomain (RFC 1123)."""
    return f"{object_name[:180].rstrip('-.')}.{key}"


@dataclass(frozen=True, slots=True)
class Budget:
    """``burst`` at once, and after that one every ``every_s`` seconds."""

    burst: int
    every_s: float
