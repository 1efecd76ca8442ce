"""A pod and its containers, as the API tells of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

CONFIG_HASH_ANNOTATION = "kubernetes.io/config.hash"


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
class Identity:
    """The pod and container that a cgroup belongs to. All None: not known (yet), or not of a pod."""

    namespace: str | None = None
    pod: str | None = None
    pod_uid: str | None = None
    container: str | None = None
    container_id: str | None = None


@dataclass(frozen=True, slots=True)
class Pod:
    """A frozen snapshot of what oomward needs of a pod; made once, at the edge (pods/watch.py).

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
