"""A pod and its containers, by the API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from agent.model.status import ContainerStatus, PodStatus

CONFIG_HASH_ANNOTATION = "kubernetes.io/config.hash"


class ContainerKind(StrEnum):
    REGULAR = "regular"
    INIT = "init"
    SIDECAR = "sidecar"  # an init container with restartPolicy Always
    EPHEMERAL = "ephemeral"


@dataclass(frozen=True, slots=True)
class MemoryVolume:
    """An emptyDir with ``medium: Memory``: its files count as the memory of the container that wrote them.

    ``size_limit_bytes`` None: it has no sizeLimit.
    """

    name: str
    size_limit_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class PodContainer:
    """One container of a pod. Equality leaves out ``status`` and ``memory_volumes``, on which no mode depends.

    ``container_id`` is the bare id (64 hex, without ``containerd://``) of the instance that the status names now, or None
    before the kubelet's report, up to seconds after the start. ``previous_id`` is the id in ``lastState.terminated``.
    ``limit_bytes`` is ``resources.limits.memory``, None for none.
    """

    name: str
    kind: ContainerKind
    container_id: str | None = None
    previous_id: str | None = None
    running: bool = False
    limit_bytes: int | None = None
    memory_volumes: tuple[MemoryVolume, ...] = field(default=(), compare=False)  # that it has mounted
    status: ContainerStatus = field(default=ContainerStatus(), compare=False)


@dataclass(frozen=True, slots=True)
class Identity:
    """The pod and container of a cgroup. All None: not known (yet), or not of a pod. ``sandbox``: it is known to be the pod's sandbox."""

    namespace: str | None = None
    pod: str | None = None
    pod_uid: str | None = None
    container: str | None = None
    container_id: str | None = None
    sandbox: bool = False


@dataclass(frozen=True, slots=True)
class Pod:
    """What oomward needs of a pod; made in pods/parse.py. Equality leaves out ``status``, on which no mode depends.

    ``config_hash`` is the annotation kubernetes.io/config.hash of a static pod's mirror, None for all others: such a pod's cgroup is
    named after it, not after the uid. ``annotations`` are oomward's only. ``containers`` are in the spec's order, init containers first.
    """

    uid: str
    namespace: str
    name: str
    node_name: str
    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    annotations: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    config_hash: str | None = None
    containers: tuple[PodContainer, ...] = ()
    status: PodStatus = field(default=PodStatus(), compare=False)

    def same_status(self, other: Pod) -> bool:
        """Whether the status is the same too. Of pods that are equal."""
        pairs = zip(self.containers, other.containers, strict=True)
        return self.status == other.status and all(one.status == before.status for one, before in pairs)

    def same_request(self, other: Pod) -> bool:
        """Whether the labels, annotations and container names are the same."""
        return (
            self.labels == other.labels
            and self.annotations == other.annotations
            and [one.name for one in self.containers] == [one.name for one in other.containers]
        )

    @property
    def cgroup_key(self) -> str:
        """Names this pod's cgroup: the config hash for static pods, else the uid."""
        return self.config_hash or self.uid

    def container(self, name: str) -> PodContainer | None:
        """The container of this name, of any kind; None: there is none."""
        return next((c for c in self.containers if c.name == name), None)
