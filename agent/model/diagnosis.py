"""What diagnosis takes besides the pod, and what it gives. Text is safe to print. None means not known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from agent.model.pods import ContainerKind


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
