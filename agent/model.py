"""The vocabulary: the frozen records that pass between rooms.

Owns no behaviour beyond what a record says of itself, does no input or output, and imports nothing of ours.
Units stand in the names: ``_bytes``, ``_s`` (seconds), ``_us`` (microseconds). ``at_monotonic_s`` is CLOCK_MONOTONIC,
``at_unix_s`` is wall-clock time. None always means "not known" unless the field says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType


class AgentError(RuntimeError):
    """Something that keeps the agent from working, in a sentence for people: what, where, and what to do."""


MODE_LABEL = "oomward.dev/mode"
MODE_ANNOTATION_PREFIX = "mode.oomward.dev/"
TOLERATE_ANNOTATION = "oomward.dev/tolerate"
TOLERATE_ANNOTATION_PREFIX = "tolerate.oomward.dev/"
ON_EXCEEDED_ANNOTATION = "oomward.dev/on-exceeded"
TOLERATE_SCOPE_ANNOTATION = "oomward.dev/tolerate-scope"
CONFIG_HASH_ANNOTATION = "kubernetes.io/config.hash"


class Mode(StrEnum):
    """What a workload asks of an OOM kill. The words are KEP-5507's."""

    SINGLE = "single"
    GROUP = "group"

    @property
    def oom_group(self) -> int:
        """The value of memory.oom.group that this mode means: 0 or 1 (cgroup-v2.rst, memory.oom.group, since 4.19)."""
        return 1 if self is Mode.GROUP else 0


# ---------------------------------------------------------------------------------------------------- pods (API)


class ContainerKind(StrEnum):
    REGULAR = "regular"
    INIT = "init"
    SIDECAR = "sidecar"  # an init container with restartPolicy Always
    EPHEMERAL = "ephemeral"


@dataclass(frozen=True, slots=True)
class PodContainer:
    """One container of a pod as spec and status tell of it.

    ``container_id`` is the bare id (64 hex, without ``containerd://``) of the instance that the status names now, or None
    while the kubelet has not reported one: the report follows the start by up to seconds. ``previous_id`` is the id in
    ``lastState.terminated``. ``limit_bytes`` is ``resources.limits.memory``, None when there is none. ``state`` is
    running, waiting or terminated, "" while nothing is reported, ``state_reason`` the kubelet's word for it (CrashLoopBackOff).
    ``last_…`` tell of the instance before, from ``lastState.terminated``; None when there was none. ``last_finished`` is the
    API's RFC 3339 text.
    """

    name: str
    kind: ContainerKind
    container_id: str | None = None
    previous_id: str | None = None
    running: bool = False
    restart_count: int = 0
    limit_bytes: int | None = None
    state: str = ""
    state_reason: str | None = None
    last_reason: str | None = None
    last_exit_code: int | None = None
    last_finished: str | None = None


@dataclass(frozen=True, slots=True)
class Pod:
    """A frozen snapshot of what oomward needs of a pod; made once, at the edge (kube/pods.py).

    ``uid`` is the API's. ``config_hash`` is the annotation kubernetes.io/config.hash of a static pod's mirror: such a pod's
    cgroup is named after it and not after the uid. ``annotations`` holds only oomward's own.
    """

    uid: str
    namespace: str
    name: str
    node_name: str
    resource_version: str
    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    annotations: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    config_hash: str | None = None
    phase: str = "Unknown"
    restart_policy: str = "Always"
    limit_bytes: int | None = None  # pod-level resources (spec.resources), None when there are none
    containers: tuple[PodContainer, ...] = ()

    @property
    def cgroup_key(self) -> str:
        """What this pod's cgroup is called by: the config hash for static pods, else the uid."""
        return self.config_hash or self.uid

    def container(self, name: str) -> PodContainer | None:
        """The container of this name, of whatever kind, or None when the pod has none."""
        return next((c for c in self.containers if c.name == name), None)


# ------------------------------------------------------------------------------------------------ policy: what should be


class Source(StrEnum):
    """Which kind of statement decided a mode; in order of precedence."""

    ANNOTATION = "annotation"
    LABEL = "label"
    RULE = "rule"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Decision:
    """What policy says of one container: ``mode`` None means leave it alone. ``rule`` names the annotation, label or rule."""

    mode: Mode | None
    source: Source
    rule: str
    why: str


class OnExceeded(StrEnum):
    """What becomes of a container when more was killed than is tolerated."""

    ARM = "arm"  # memory.oom.group becomes 1: the next OOM kill takes the whole container
    RESTART = "restart"  # its processes are killed at once


@dataclass(frozen=True, slots=True)
class Tolerance:
    """At most ``kills`` OOM-killed processes of one instance of a container within ``window_s`` seconds.

    ``any_scope``: also those that were not the container's own doing (scope kubepods, node). ``said_by`` names the
    annotation or rule.
    """

    kills: int
    window_s: float
    on_exceeded: OnExceeded = OnExceeded.ARM
    any_scope: bool = False
    said_by: str = ""


@dataclass(frozen=True, slots=True)
class BadWish:
    """A label or annotation that asks for something that can't be. ``value`` is as the user wrote it, not made safe."""

    source: Source
    key: str
    value: str
    container: str | None
    why: str


# --------------------------------------------------------------------------------------------------------- cgroups


class CgroupKind(StrEnum):
    KUBEPODS = "kubepods"
    QOS = "qos"
    POD = "pod"
    CONTAINER = "container"
    NESTED = "nested"  # below a container: a runtime's child (crun's ``container``) or the workload's own
    OTHER = "other"  # conmon scopes, mounts, anything that is no pod or container


@dataclass(frozen=True, slots=True)
class CgroupPlace:
    """What a path below the memory hierarchy is. ``pod_key`` is a uid with dashes (lower case) or a static pod's config hash."""

    path: str  # relative to the memory hierarchy's mount, no slash in front or behind
    kind: CgroupKind
    pod_key: str | None = None
    container_id: str | None = None
    runtime: str | None = None  # containerd | cri-o | docker | podman | nerdctl as far as the name tells


@dataclass(frozen=True, slots=True)
class Cgroup:
    """One live cgroup directory. (path, inode) is its identity: paths are used again, inodes within a boot are not."""

    place: CgroupPlace
    inode: int

    @property
    def path(self) -> str:
        return self.place.path


@dataclass(frozen=True, slots=True)
class MemoryEvents:
    """Counters of one cgroup's OOM kills since its making.

    ``oom_kill`` counts processes and everything below (v2: memory.events; unless the mount has memory_localevents). It
    counts the first victim of a group kill twice. ``oom_group_kill`` is None before kernel 5.17 and on v1. ``oom`` counts
    hits of this cgroup's limit and of those below; ``local_oom`` only this cgroup's own (memory.events.local), None
    where the kernel doesn't tell.
    """

    oom_kill: int
    oom: int = 0
    oom_group_kill: int | None = None
    local_oom: int | None = None


class Vanished:
    """The cgroup is gone. A value, not an error: normal flow."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "VANISHED"


VANISHED = Vanished()


class WriteOutcome(StrEnum):
    WRITTEN = "written"
    ALREADY = "already"
    DRY_RUN = "dry_run"
    GONE = "gone"
    DENIED = "denied"
    UNSUPPORTED = "unsupported"
    CONFLICT = "conflict"  # read back and it was not what we wrote


@dataclass(frozen=True, slots=True)
class KnobWrite:
    """What came of one attempt to hold memory.oom.group. ``before`` is the value found, None when it could not be read."""

    outcome: WriteOutcome
    before: int | None
    wanted: int
    detail: str = ""


class KillOutcome(StrEnum):
    """What came of one attempt to kill all processes of a container."""

    EMPTY = "empty"  # nobody is left
    GONE = "gone"  # nor is the cgroup
    KILLED = "killed"  # SIGKILL was sent to all that were there: look again whether all went
    DENIED = "denied"


@dataclass(frozen=True, slots=True)
class KillAttempt:
    """``detail`` says why it was denied, and what to do."""

    outcome: KillOutcome
    detail: str = ""


# what the tree tells the loop


@dataclass(frozen=True, slots=True)
class CgroupAppeared:
    cgroup: Cgroup
    at_monotonic_s: float


@dataclass(frozen=True, slots=True)
class CgroupGone:
    cgroup: Cgroup
    at_monotonic_s: float


@dataclass(frozen=True, slots=True)
class KnobTouched:
    """Somebody (we too) wrote memory.oom.group of this cgroup."""

    cgroup: Cgroup
    at_monotonic_s: float


@dataclass(frozen=True, slots=True)
class CountersTouched:
    """memory.events of this cgroup (or v1: its eventfd) told of a change: read it and take the difference."""

    cgroup: Cgroup
    at_monotonic_s: float


@dataclass(frozen=True, slots=True)
class TreeOverflowed:
    """Notifications were lost (queue overflow) or could not be asked for (watch limit): ``why`` says which."""

    why: str
    at_monotonic_s: float


TreeEvent = CgroupAppeared | CgroupGone | KnobTouched | CountersTouched | TreeOverflowed


# ---------------------------------------------------------------------------------------------------------- the kernel


@dataclass(frozen=True, slots=True)
class KmsgRecord:
    """One record of /dev/kmsg (Documentation/ABI/testing/dev-kmsg). ``text`` has the escapes ``\\xNN`` still in it."""

    sequence: int
    at_us: int  # CLOCK_MONOTONIC of the kernel's log
    facility: int  # 0 is the kernel's own; anybody who may write /dev/kmsg gets another
    level: int
    fragment: bool  # flag c: goes on from the record before
    text: str


@dataclass(frozen=True, slots=True)
class KmsgGap:
    """``lost`` records were overwritten before we read them, right before ``next_sequence``."""

    lost: int
    next_sequence: int


@dataclass(frozen=True, slots=True)
class Victim:
    """One process that the OOM killer killed. Sizes are resident bytes by kind; None where the line was lost or is older."""

    pid: int
    comm: str  # unescaped, not made safe: up to 15 bytes of anything
    uid: int | None = None
    total_vm_bytes: int | None = None
    anon_bytes: int | None = None
    file_bytes: int | None = None
    shmem_bytes: int | None = None
    oom_score_adj: int | None = None

    @property
    def resident_bytes(self) -> int | None:
        """anon + file + shmem; None when none of them is known."""
        parts = [p for p in (self.anon_bytes, self.file_bytes, self.shmem_bytes) if p is not None]
        return sum(parts) if parts else None


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A row of the report's task table: who used how much at that time."""

    pid: int
    comm: str
    rss_bytes: int
    uid: int | None = None
    oom_score_adj: int | None = None


@dataclass(frozen=True, slots=True)
class OomReport:
    """One kill as the kernel's log tells it, from however many of its lines were there.

    ``victims`` has each process once, the one that the kernel chose first. ``global_oom`` None: the line that tells
    was lost. ``oom_memcg`` and ``task_memcg`` are paths from the hierarchy's real root with the slash in front,
    unescaped; None when lost (rate limit: 10 reports in 5 s) or, for ``oom_memcg``, when global.
    """

    first_sequence: int
    last_sequence: int
    at_us: int
    victims: tuple[Victim, ...]
    global_oom: bool | None = None
    oom_memcg: str | None = None
    task_memcg: str | None = None
    group_memcg: str | None = None  # "Tasks in … are going to be killed": the cgroup killed as a group
    limit_bytes: int | None = None
    usage_bytes: int | None = None
    tasks: tuple[TaskRow, ...] = ()
    constraint: str | None = None


# --------------------------------------------------------------------------------------------------- what happened


class Scope(StrEnum):
    """Whose limit was hit."""

    CONTAINER = "container"
    POD = "pod"
    KUBEPODS = "kubepods"
    NODE = "node"


class Outcome(StrEnum):
    SURVIVED = "survived"
    DIED = "died"


@dataclass(frozen=True, slots=True)
class OomKill:
    """The one record of a kill that leaves attribute.py.

    ``kill_id`` names the kill for ever: boot id, cgroup inode and ordinal (``<boot>-<inode>-<n>``), so that whoever sees it
    again knows it. ``processes`` is how many died of it (the counters' word); ``victims`` those of them whose names the
    log told, so it may be shorter. Pod fields are None when the cgroup's pod was not known to the API, all of them and
    ``container_id`` when the kill was outside of pods. ``outcome`` None: not settled yet (within 1 s).
    """

    kill_id: str
    at_unix_s: float
    node: str
    cgroup_path: str
    processes: int
    namespace: str | None = None
    pod: str | None = None
    pod_uid: str | None = None
    container: str | None = None
    container_id: str | None = None
    victims: tuple[Victim, ...] = ()
    mode: Mode | None = None  # in force then: what memory.oom.group said; None when unknown or v1
    group_kill: bool = False
    scope: Scope | None = None
    limit_bytes: int | None = None
    usage_bytes: int | None = None
    largest: tuple[TaskRow, ...] = ()
    outcome: Outcome | None = None
    sources: frozenset[str] = frozenset()  # of {"counters", "kmsg", "hierarchy"}
    details_missing: bool = False
    report_sequence: int | None = None  # first kmsg record of the report that was used; names it within the boot


# -------------------------------------------------------------------------------------------- messages into the loop


@dataclass(frozen=True, slots=True)
class PodsListed:
    """A full list: whatever of our pods is not in it is gone. ``skipped`` objects could not be read (uids where known)."""

    pods: tuple[Pod, ...]
    resource_version: str
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PodChanged:
    pod: Pod


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
class ThreadDied:
    """A thread ended that should not have; the process ends with this reason."""

    thread: str
    why: str


Message = PodsListed | PodChanged | PodDeleted | PodSkipped | WatchTrouble | EventDelivered | ThreadDied


# -------------------------------------------------------------------------------------------------- Events to be posted


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
    """An Event to be posted, in our words; kube/events.py makes the API's object of it.

    ``name`` is made from what happened, so that a second create is a 409. ``note`` is at most 1024 characters and safe to
    print. ``count`` is the number of occurrences that it stands for, the last of them at ``last_at_unix_s``. ``series`` names what
    may go on happening and then raises the count; "" for what happens once. ``told`` is how many of the count the API
    has been told (0: it has no such Event yet), ``rounds`` in how many requests.
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
    series: str = ""
    told: int = 0
    rounds: int = 0

    @property
    def last_unix_s(self) -> float:
        """When it happened for the last time."""
        return self.at_unix_s if self.last_at_unix_s is None else self.last_at_unix_s


@dataclass(frozen=True, slots=True)
class Budget:
    """So many at once, and after that one every ``every_s`` seconds."""

    burst: int
    every_s: float


# ------------------------------------------------------------------------------------------------ configured rules


class Operator(StrEnum):
    """Kubernetes' set-based selector operators (labels.Requirement; ``=`` and ``==`` are In with one value, ``!=`` NotIn)."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


@dataclass(frozen=True, slots=True)
class Requirement:
    key: str
    operator: Operator
    values: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """All requirements must hold; none at all matches every pod. As in Kubernetes, NotIn also matches where the key is absent."""

    requirements: tuple[Requirement, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """One configured rule; first match wins. Globs are shell-style (``*``, ``?``, ``[…]``); an empty tuple matches everything."""

    name: str
    mode: Mode | None  # None: "leave alone", which also ends the search
    namespaces: tuple[str, ...] = ()
    pods: LabelSelector = LabelSelector()
    containers: tuple[str, ...] = ()
    tolerance: Tolerance | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """What the platform team configured. In namespaces that match ``disobeyed_namespaces`` labels and annotations don't count."""

    rules: tuple[Rule, ...] = ()
    disobeyed_namespaces: tuple[str, ...] = ()


# ------------------------------------------------------------------------------------------------ the ledger's records


@dataclass(frozen=True, slots=True)
class Baseline:
    """How far one cgroup's counters are accounted for; with the boot id, ``inode`` names the cgroup for ever.

    ``oom_kill`` and ``oom_group_kill`` are the raw counters up to which kills are in the ledger, ``ordinal`` the number of
    the last kill that was named after this cgroup (0: none yet).
    """

    inode: int
    path: str
    oom_kill: int
    oom_group_kill: int
    oom: int
    local_oom: int
    ordinal: int


@dataclass(frozen=True, slots=True)
class Original:
    """memory.oom.group of a cgroup as it was before our first write in this boot."""

    inode: int
    path: str
    value: int
    pod_uid: str
    at_unix_s: float


@dataclass(frozen=True, slots=True)
class KeptDecision:
    """The last decision about one container of a pod, for a start without the API. ``container`` "" is the pod as a whole.

    ``tolerance`` None: any number of kills.
    """

    pod_uid: str
    cgroup_key: str
    namespace: str
    pod: str
    container: str
    container_id: str | None
    mode: Mode
    rule: str
    tolerance: Tolerance | None = None
