"""The status of a pod and its containers by the API: for diagnosis and ``explain``; no mode depends on it.

Text is not safe to print, and at most MOST_TEXT characters long. None means not known.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

MOST_TEXT = 4096  # characters: the kubelet's limit of a termination message


class Phase(StrEnum):
    """The state of a container; ``none`` while the kubelet has reported nothing."""

    WAITING = "waiting"
    RUNNING = "running"
    TERMINATED = "terminated"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class ContainerState:
    """A container's ``state`` or ``lastState``. Fields that a phase does not have are None or ""."""

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
    """The status of one container, and the parts of its spec that matter for it.

    ``last`` is the instance before, with phase NONE when there was none. ``restart_policy`` is the container's own, "" where the
    pod's counts. ``run_as_user`` is the container's or else the pod's. ``probes``: of "liveness", "readiness", "startup".
    ``limit_bytes`` is the memory limit in force (status.containerStatuses[].resources, reported since Kubernetes 1.33); the
    spec's limit may be a resize that is not done.
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
    limit_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class PodCondition:
    """One of ``status.conditions``; ``status`` is True, False or Unknown, since ``changed_unix_s``."""

    kind: str
    status: str
    reason: str = ""
    message: str = ""
    changed_unix_s: float | None = None


@dataclass(frozen=True, slots=True)
class Controller:
    """The object that creates the pod again: a ReplicaSet, a Job."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class PodStatus:
    """The status of one pod, and the parts of its spec that matter for it.

    ``index_failures``: earlier failures of this index of an Indexed Job (annotation batch.kubernetes.io/job-index-failure-count).
    ``deadline_s`` is spec.activeDeadlineSeconds. ``limit_bytes`` is of pod-level resources (spec.resources), None for none.
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
    created_unix_s: float | None = None
    deletion_unix_s: float | None = None
    limit_bytes: int | None = None

    def condition(self, kind: str) -> PodCondition | None:
        """The condition of this type; None: there is none."""
        return next((one for one in self.conditions if one.kind == kind), None)
