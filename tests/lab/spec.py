"""What the lab is asked to run: pods and containers, in few words; and what came of them, as the lab's own oracle."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of the host's in a container: ``inside`` the container, ``outside`` on the host."""

    inside: str
    outside: str
    writable: bool = False


@dataclass(frozen=True, slots=True)
class Program:
    """A program of the host's in a container, in the hog's stead (tests/lab/programs.py)."""

    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()
    folders: tuple[Folder, ...] = ()
    cwd: str = "/"
    uid: int = 0
    gid: int = 0
    oom_score_adj: int = 0


@dataclass(frozen=True, slots=True)
class Container:
    """``args`` are hog's (tests/lab/hog.c); ``limit_mib`` None: no limit. ``kind`` as the API's lists are named."""

    name: str
    args: tuple[str, ...]
    limit_mib: int | None = 64
    kind: str = "containers"  # containers | initContainers | sidecar | ephemeralContainers
    program: Program | None = None  # what runs in the hog's stead
    memory_volume: str = ""  # an emptyDir in memory by the API, which the program has at /tmp; "": that is no volume


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod for the stand-in kubelet. ``runtime`` is runc or crun; ``config_hash`` makes it a static pod."""

    name: str
    containers: tuple[Container, ...]
    namespace: str = "default"
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    restart_policy: str = "Always"
    runtime: str = "crun"
    config_hash: str | None = None
    limit_mib: int | None = None  # of the pod's cgroup, where it isn't the containers' sum
    uid: str = field(default_factory=lambda: str(uuid.uuid4()))
    guaranteed: bool = False  # no level for the QoS class in its path

    @property
    def qos(self) -> str:
        """guaranteed, burstable or besteffort, as paths have it."""
        if self.guaranteed:
            return "guaranteed"
        return "burstable" if self.limit_mib or any(c.limit_mib for c in self.containers) else "besteffort"

    @property
    def cgroup_key(self) -> str:
        """What the pod's cgroup is called by."""
        return self.config_hash or self.uid

    @property
    def sum_of_limits_mib(self) -> int | None:
        """The limit of the pod's cgroup: its own, else the sum of its containers' when all have one, else None."""
        limits = [c.limit_mib for c in self.containers if c.kind in ("containers", "sidecar")]
        return self.limit_mib or (sum(limit for limit in limits if limit) if limits and all(limits) else None)

    def restarts(self, container: Container, exit_code: int) -> bool:
        """Whether the kubelet starts this container again after that exit code."""
        if container.kind == "sidecar":
            return True
        if container.kind == "ephemeralContainers" or self.restart_policy == "Never":
            return False
        return exit_code != 0 or (self.restart_policy == "Always" and container.kind == "containers")


@dataclass(slots=True)
class Instance:
    """One start of one container: the oracle's record."""

    pod: Pod
    container: str
    container_id: str
    path: str  # of the cgroup with the processes, below the mount
    inode: int
    pid: int
    restart: int
    started_s: float  # CLOCK_MONOTONIC, before the runtime was asked
    events: dict[str, int] = field(default_factory=dict)  # memory.events after PID 1's end, before removal
    exit_code: int | None = None
    ended_s: float | None = None
    next_start_s: float | None = None  # CLOCK_MONOTONIC of the restart that waits for the back-off; None: none does

    @property
    def backing_off(self) -> bool:
        """Whether it ended and the container's next start waited, or waits, for the back-off."""
        return self.next_start_s is not None

    @property
    def running(self) -> bool:
        """Whether its PID 1 has not ended yet, as far as the lab has noticed."""
        return self.exit_code is None

    @property
    def lasted_s(self) -> float:
        """How long it ran, or runs."""
        return (time.monotonic() if self.ended_s is None else self.ended_s) - self.started_s
