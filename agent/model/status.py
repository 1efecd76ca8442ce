"""How a pod and its containers fare by the API's word, and what diagnosis makes of it.

Text in a PodStatus is as the
API has it, not made safe, and at most MOST_TEXT characters long; text in a Diagnosis is safe to print. None means not known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from agent.model.pods import ContainerKind

MOST_TEXT = (
    4096  # characters of a reason, message or image that are kept: the kubelet's own limit of a termination message
)


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
    container_id: str | None = None  # bare, of the instance that runs or has ended


@dataclass(frozen=True, slots=True)
class RestartRule:
    """One of a container's ``restartPolicyRules`` (KEP-5307): ``action`` when the exit code is (not) one of ``codes``."""

    action: str
    negated: bool
    codes: frozenset[int]


@dataclass(frozen=True, slots=True)
class ContainerStatus:
    """One container of the spec, with its status.

    ``last`` is the instance before, a state of phase NONE when there was none. ``restart_policy`` is the container's own, ""
    where the pod's counts. ``run_as_user`` is the container's or else the pod's. ``probes`` are of "liveness", "readiness",
    "startup".
    """

    name: str
    kind: ContainerKind
    image: str = ""
    state: ContainerState = ContainerState()
    last: ContainerState = ContainerState()
    restart_count: int = 0
    ready: bool = False
    started: bool | None = None
    restart_policy: str = ""
    restart_rules: tuple[RestartRule, ...] = ()
    limit_bytes: int | None = None
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
class Owner:
    """The controller that the pod belongs to."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class PodStatus:
    """How one pod fares; made once, at the edge (pods/parse_status.py).

    ``containers`` are in the spec's order, init containers first. ``index_failures`` is how often this index of an Indexed Job
    has failed before (annotation batch.kubernetes.io/job-index-failure-count). ``deadline_s`` is spec.activeDeadlineSeconds.
    """

    uid: str
    namespace: str
    name: str
    phase: str = "Unknown"
    reason: str = ""
    message: str = ""
    restart_policy: str = "Always"
    conditions: tuple[PodCondition, ...] = ()
    containers: tuple[ContainerStatus, ...] = ()
    owner: Owner | None = None
    index_failures: int | None = None
    deadline_s: int | None = None
    start_unix_s: float | None = None
    deletion_unix_s: float | None = None
    static: bool = False

    def condition(self, kind: str) -> PodCondition | None:
        """The condition of this type, None when it isn't there."""
        return next((one for one in self.conditions if one.kind == kind), None)


# ------------------------------------------------------------------------------------------------------- what the node knows


@dataclass(frozen=True, slots=True)
class ContainerFacts:
    """What this node knows of a running container beyond the API: its cgroup. None: not known, or it has no cgroup here."""

    limit_bytes: int | None = None
    peak_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """``containers`` by container name, of the one pod that is asked about."""

    now_unix_s: float
    containers: Mapping[str, ContainerFacts] = field(default_factory=lambda: MappingProxyType({}))


# ------------------------------------------------------------------------------------------------------------------ diagnosis


class Category(StrEnum):
    """What kind of failure it is: the label of the metric, bounded. The words are Kubernetes' own where it has one."""

    ERR_IMAGE_PULL = "ErrImagePull"
    IMAGE_PULL_BACK_OFF = "ImagePullBackOff"
    CREATE_CONFIG = "CreateContainerConfigError"
    CREATE = "CreateContainerError"
    RUN = "RunContainerError"
    INIT = "InitContainerError"
    PERMISSION = "PermissionDenied"
    CRASH_LOOP = "CrashLoopBackOff"
    OOM_CONTAINER = "OOMKilledContainer"
    OOM_PROCESS = "OOMKilledProcess"
    NODE_OOM = "NodeOOM"
    EVICTED = "Evicted"
    DEADLINE = "DeadlineExceeded"
    COMPLETED = "Completed"
    FAILED = "Failed"
    NOT_READY = "NotReady"
    NOT_STARTING = "NotStarting"
    PREEMPTED = "Preempted"
    NODE_SHUTDOWN = "NodeShutdown"
    REJECTED = "Rejected"
    UNKNOWN = "Unknown"


class Answer(StrEnum):
    """To a question that a status does not always settle."""

    YES = "yes"
    NO = "no"
    PERHAPS = "perhaps"


class Will(StrEnum):
    """What Kubernetes does by itself."""

    RESTART = "restart"  # the kubelet starts the container again
    PULL = "pull"  # the kubelet pulls the image again
    RETRY = "retry"  # the kubelet tries again to make or start it
    REPLACE = "replace"  # the controller makes another pod
    RUNS = "runs"  # it runs: nothing is to be done by Kubernetes
    WAIT = "wait"  # it waits for what it waits for, without an end
    NOTHING = "nothing"  # nobody will start it again


@dataclass(frozen=True, slots=True)
class NextStep:
    """What Kubernetes does by itself, in a sentence, and in numbers where the status shows them."""

    will: Will
    text: str
    back_off_s: float | None = None
    due_unix_s: float | None = None


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Why one container, or the pod as a whole (``container`` None), isn't well, and what to do. All text is safe to print.

    ``rule`` names the row of the decision table (docs/reference/diagnosis.md), finer than ``category``. ``transient``: it may pass
    without anybody's doing. ``retry_helps``: whether the same configuration tried again can do better. ``message`` is what the
    kubelet or the runtime said, "" when nothing.
    """

    namespace: str
    pod: str
    pod_uid: str
    container: str | None
    kind: ContainerKind | None
    category: Category
    rule: str
    transient: Answer
    retry_helps: Answer
    what: str
    message: str
    next_step: NextStep
    advice: str
