"""What diagnosis needs besides the pod, and its result. Text is safe to print. None means not known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from agent.model.pods import ContainerKind


@dataclass(frozen=True, slots=True)
class ContainerFacts:
    """Of a running container's cgroup. None: not known, or it has no cgroup here."""

    limit_bytes: int | None = None
    peak_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """``containers`` of the one pod, by name."""

    now_unix_s: float
    containers: Mapping[str, ContainerFacts] = field(default_factory=lambda: MappingProxyType({}))


class Category(StrEnum):
    """The kind of failure: the metric's label. The words are Kubernetes' own where it has one."""

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
    OOM_SANDBOX = "OOMKilledSandbox"
    NODE_OOM = "NodeOOM"
    EVICTED = "Evicted"
    DEADLINE = "DeadlineExceeded"
    COMPLETED = "Completed"
    FAILED = "Failed"
    NOT_READY = "NotReady"
    NOT_STARTING = "NotStarting"
    RESTARTED = "Restarted"
    RESIZE = "ResizePending"
    PREEMPTED = "Preempted"
    NODE_SHUTDOWN = "NodeShutdown"
    REJECTED = "Rejected"
    UNKNOWN = "Unknown"


class Answer(StrEnum):
    """To a question that a status does not always decide."""

    YES = "yes"
    NO = "no"
    PERHAPS = "perhaps"


class Will(StrEnum):
    """What Kubernetes does by itself."""

    RESTART = "restart"  # the kubelet starts the container again
    PULL = "pull"  # the kubelet pulls the image again
    RETRY = "retry"  # the kubelet tries again to create or start it
    REPLACE = "replace"  # the controller creates another pod
    RUNS = "runs"  # it runs
    WAIT = "wait"  # it goes on waiting, without an end
    NOTHING = "nothing"  # it is not started again


@dataclass(frozen=True, slots=True)
class NextStep:
    """What Kubernetes does by itself; numbers where the status shows them."""

    will: Will
    text: str
    back_off_s: float | None = None
    due_unix_s: float | None = None


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Why one container, or the whole pod (``container`` None), isn't well, and what to do.

    ``rule`` names the row of the decision table (docs/reference/diagnosis.md). ``transient``: it may pass by itself. ``retry_helps``:
    the same configuration may succeed later. ``message`` is the kubelet's or the runtime's, "" for none.
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
