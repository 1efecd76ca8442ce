"""How a pod and its containers fare, as the API has it: what diagnosis and ``explain`` need, and no mode is decided by.

Text is not made safe, and at most MOST_TEXT characters long. None means not known.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

MOST_TEXT = 4096  # characters of a reason, message or image that are kept: the kubelet's limit of a termination message


class Phase(StrEnum):
    """Which of its three states a container is in; ``none`` while the kubelet has reported nothing."""

    WAITING = "waiting"
    RUNNING = "running"
    TERMINATED = "terminated"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class ContainerState:
    """A container's ``state`` or ``lastState``. What a phase has no such field for is None or ""."""

    phase: Phase = Phase.NONE
    reason: str = ""
    message: str = ""
    exit_code: int | None = None
    signal: int | None = None
    started_unix_s: float | None = None
    finished_unix_s: float | None = None


@dataclass(frozen=True, slots=True)
class RestartRule:
    """One of a container's ``restartPolicyRules`` (KEP-5307): ``action`` when the exit code is (not) one of ``codes``."""

    action: str
    negated: bool
    codes: frozenset[int]


@dataclass(frozen=True, slots=True)
class ContainerStatus:
    """How one container fares, and what of its spec bears on that.

    ``last`` is the instance before, a state of phase NONE when there was none. ``restart_policy`` is the container's own, ""
    where the pod's counts. ``run_as_user`` is the container's or else the pod's. ``probes`` are of "liveness", "readiness",
    "startup".
    """

    image: str = ""
    state: ContainerState = ContainerState()
    last: ContainerState = ContainerState()
    restart_count: int = 0
    ready: bool = False
    started: bool | None = None
    restart_policy: str = ""
    restart_rules: tuple[RestartRule, ...] = ()
    run_as_user: int | None = None
    probes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class PodCondition:
    """One of ``status.conditions``; ``status`` is True, False or Unknown."""

    kind: str
    status: str
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Controller:
    """The object that makes the pod again: a ReplicaSet, a Job."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class PodStatus:
    """How one pod fares, and what of its spec bears on that.

    ``index_failures`` is how often this index of an Indexed Job has failed before (annotation
    batch.kubernetes.io/job-index-failure-count). ``deadline_s`` is spec.activeDeadlineSeconds. ``limit_bytes`` is the limit of
    pod-level resources (spec.resources), None when there are none.
    """

    phase: str = "Unknown"
    reason: str = ""
    message: str = ""
    restart_policy: str = "Always"
    conditions: tuple[PodCondition, ...] = ()
    controller: Controller | None = None
    index_failures: int | None = None
    deadline_s: int | None = None
    start_unix_s: float | None = None
    deletion_unix_s: float | None = None
    limit_bytes: int | None = None

    def condition(self, kind: str) -> PodCondition | None:
        """The condition of this type, None when it isn't there."""
        return next((one for one in self.conditions if one.kind == kind), None)
