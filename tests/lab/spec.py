"""What the lab is asked to run: pods and containers, in few words; and what came of them, as the lab's own oracle."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Container:
    """``args`` are hog's (tests/lab/hog.c); ``limit_mib`` None: no limit. ``kind`` as the API's lists are named."""

    name: str
    args: tuple[str, ...]
    limit_mib: int | None = 64
    kind: str = "containers"  # containers | initContainers | sidecar | ephemeralContainers


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

    @property
    def qos(self) -> str:
        return "burstable" if any(c.limit_mib for c in self.containers) else "besteffort"

    @property
    def cgroup_key(self) -> str:
        return self.config_hash or self.uid


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
    started_s: float
    events: dict[str, int] = field(default_factory=dict)  # memory.events as read last, before removal
    exit_code: int | None = None
    ended_s: float | None = None

    @property
    def running(self) -> bool:
        return self.exit_code is None
