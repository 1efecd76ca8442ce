"""What is kept in the ledger: kills, how far counters are recorded, values from before our first write, last decisions."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from agent.model.kernel import TaskRow, Victim
from agent.model.memory import ContainerUse, MemoryUse, SeenProcess
from agent.model.modes import Mode, Source, Tolerance


class Scope(StrEnum):
    """Which limit was hit. None: NODE, where it is proved that the node was out of memory; NUMA, where one of the node's NUMA nodes was, or
    those that a cpuset or a memory policy allows; SYSRQ, where somebody asked the kernel for a kill (sysrq f), perhaps without a shortage.
    """

    CONTAINER = "container"
    POD = "pod"
    KUBEPODS = "kubepods"
    NODE = "node"
    NUMA = "numa"
    SYSRQ = "sysrq"


# Of Kata Containers' hypervisors and its file server, and of the older virtiofsd in C.
VM_COMMS = ("qemu-", "cloud-hyperviso", "firecracker", "dragonball", "stratovirt", "acrn-dm", "virtiofsd")
NO_LIMIT_SCOPES = frozenset({Scope.NODE, Scope.NUMA, Scope.SYSRQ})
NOT_OWN_SCOPES = NO_LIMIT_SCOPES | {Scope.KUBEPODS}  # no limit of the container or its pod was hit


class Outcome(StrEnum):
    SURVIVED = "survived"
    DIED = "died"


@dataclass(frozen=True, slots=True)
class OomKill:
    """The one record of a kill.

    The counter of the cgroup ``cgroup_inode`` showed it, in the boot ``boot_id``, as its kill number ``ordinal``; ``cgroup_path`` is
    another cgroup if a level above showed it first. ``processes`` is the number killed, by the counters; ``victims`` are those that
    the log names, perhaps fewer. Pod fields are None when the API did not know the pod, also ``container_id`` outside of pods.
    ``scope`` None: it is not known which limit was hit, or whether it was the node's memory. ``outcome`` None: not known yet (within 1 s).
    """

    boot_id: str
    cgroup_inode: int  # 0: the whole node's counter
    ordinal: int
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
    mode: Mode | None = None  # in force then, by memory.oom.group; None: unknown or v1
    group_kill: bool = False
    scope: Scope | None = None
    limit_bytes: int | None = None
    usage_bytes: int | None = None
    largest: tuple[TaskRow, ...] = ()
    outcome: Outcome | None = None
    sources: frozenset[str] = frozenset()  # of {"counters", "kmsg", "hierarchy"}
    details_missing: bool = False
    sandbox: bool = False  # in the pod's sandbox, which is none of its containers; False also where that is not known
    use: MemoryUse | None = None  # of the cgroup whose limit was hit
    containers: tuple[ContainerUse, ...] = ()  # at the pod's limit: those that run, the largest first
    seen: tuple[SeenProcess, ...] = ()  # the victims first, then others, the largest first
    report_sequence: int | None = None  # first kmsg record of its report; names the report within the boot
    at_monotonic_s: float | None = None  # CLOCK_MONOTONIC: the clock may have been set since; None: an older agent's

    @property
    def in_vm(self) -> bool:
        """Whether the sandbox is a virtual machine, which all processes of the pod's containers are in (Kata Containers)."""
        return self.sandbox and any(is_vm(victim.comm) for victim in self.victims)

    @property
    def kill_id(self) -> str:
        """Names the kill forever: one that is seen again is recognized."""
        return f"{kills_of_cgroup(self.boot_id, self.cgroup_inode)}{self.ordinal}"


def is_vm(comm: str) -> bool:
    """Whether a process of this name (15 bytes) runs a virtual machine or serves it files. Anyone may choose such a name: it is believed
    only of processes outside of containers.
    """
    return comm.startswith(VM_COMMS)


@dataclass(frozen=True, slots=True)
class KillSum:
    """Kills of one pod and container at one limit. ``survived``: kills that the container survived; ``last``: the newest kill."""

    kills: int
    processes: int
    survived: int
    last: OomKill


def kills_of_cgroup(boot_id: str, cgroup_inode: int) -> str:
    """The beginning of each ``kill_id`` of this cgroup's kills, and of no other's."""
    return f"{boot_id}-{cgroup_inode}-"


@dataclass(frozen=True, slots=True)
class Baseline:
    """The raw counters of one cgroup up to which kills are in the ledger; with the boot id, ``inode`` names the cgroup forever.

    ``ordinal`` is the number of the last kill that was named after this cgroup, or else its first ``oom_kill``: a kill takes at least one
    count, so no kill that a lost ledger had is as high as the next.
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
    """memory.oom.group of a cgroup before our first write in this boot."""

    inode: int
    path: str
    value: int
    pod_uid: str
    at_unix_s: float


@dataclass(frozen=True, slots=True)
class Exceeded:
    """A container's cgroup exceeded this tolerance: for the rest of its time, also when its kills are no longer kept."""

    inode: int
    tolerance: Tolerance


@dataclass(frozen=True, slots=True)
class KeptDecision:
    """The last decision for one container, for a start without the API. ``tolerance`` None: no limit.

    ``mode`` None, which is not kept: by the current rules none. ``labels`` are the pod's as JSON; None: not kept.
    """

    pod_uid: str
    cgroup_key: str
    namespace: str
    pod: str
    container: str
    container_id: str | None
    mode: Mode | None
    rule: str
    tolerance: Tolerance | None = None
    source: Source = Source.NONE
    labels: str | None = None
