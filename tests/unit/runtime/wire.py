"""What the runtime sends, made in a line; with all the fields that a real one has, also those that our nri.proto leaves out."""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf.descriptor import FieldDescriptor

from agent.model import Pod, RuntimeContainer, Sandbox
from agent.runtime.frames import HEADER
from agent.runtime.nri_pb2 import (
    Container,
    CreateContainerRequest,
    LinuxContainer,
    LinuxResources,
    PodOrContainerRequest,
    PodSandbox,
    StateChangeEvent,
    UpdateContainerRequest,
)

UID = "1b4e28ba-2fa1-11d2-883f-0016d3cca427"
SANDBOX_ID = "5" * 64
ID = "a" * 64
KUBELETS = {
    "io.kubernetes.pod.name": "herder-1",
    "io.kubernetes.pod.namespace": "default",
    "io.kubernetes.pod.uid": UID,
}
# Fields 1 memory {limit 256 MiB}, 2 cpu {shares {1024}}, 3 hugepage_limits {"2MB", 0}, 8 pids {64}, as bytes.
MEMORY = b"\x0a\x08\x0a\x06\x08\x80\x80\x80\x80\x01"
CPU = b"\x12\x05\x0a\x03\x08\x80\x08"
HUGEPAGES = b"\x1a\x05\x0a\x032MB"
PIDS = b"\x42\x02\x08\x40"
REQUESTED = MEMORY + CPU + HUGEPAGES + PIDS


def a_sandbox(
    labels: Mapping[str, str] | None = None, annotations: Mapping[str, str] | None = None, /, **others: str
) -> PodSandbox:
    known = {"id": SANDBOX_ID, "name": "herder-1", "uid": UID, "namespace": "default"} | others
    return PodSandbox(**known, labels=KUBELETS | dict(labels or {}), annotations=annotations or {})


def a_container(
    container_id: str = ID, name: str = "main", so_far: str | None = None, sandbox_id: str = SANDBOX_ID
) -> Container:
    unified = {} if so_far is None else {"memory.oom.group": so_far}
    linux = LinuxContainer(resources=LinuxResources(unified=unified))
    return Container(id=container_id, pod_sandbox_id=sandbox_id, name=name, linux=linux)


def create(container: Container | None = None, pod: PodSandbox | None = None) -> bytes:
    return CreateContainerRequest(pod=pod or a_sandbox(), container=container or a_container()).SerializeToString()


def update(requested: bytes = REQUESTED, unified: Mapping[str, str] | None = None) -> bytes:
    resources = LinuxResources.FromString(requested)
    resources.unified.update(unified or {})
    message = UpdateContainerRequest(pod=a_sandbox(), container=a_container(), linux_resources=resources)
    return message.SerializeToString()


def about(container: Container | None = None, pod: PodSandbox | None = None) -> bytes:
    """The request of RunPodSandbox, RemovePodSandbox, PostCreateContainer and RemoveContainer."""
    return PodOrContainerRequest(pod=pod or a_sandbox(), container=container or a_container()).SerializeToString()


def change(event: int, container: Container | None = None, pod: PodSandbox | None = None) -> bytes:
    """The request of StateChange."""
    message = StateChangeEvent(event=event, pod=pod or a_sandbox(), container=container or a_container())
    return message.SerializeToString()


def frame(connection: int, data: bytes) -> bytes:
    """As the runtime frames it: a message of any size in one."""
    return HEADER.pack(connection, len(data)) + data


def our_pod(labels: Mapping[str, str] | None = None, uid: str = UID) -> Pod:
    return Pod(uid, "default", "herder-1", "", labels=labels or {}, annotations={})


def our_sandbox(sandbox_id: str = SANDBOX_ID, labels: Mapping[str, str] | None = None, uid: str = UID) -> Sandbox:
    return Sandbox(sandbox_id, our_pod(labels, uid))


def our_container(container_id: str = ID, name: str = "main", sandbox_id: str = SANDBOX_ID) -> RuntimeContainer:
    return RuntimeContainer(container_id, name, sandbox_id)


def is_repeated(field: FieldDescriptor) -> bool:
    """``label`` is what protobuf before 6.31 has: 3 is LABEL_REPEATED."""
    found = field.is_repeated if hasattr(field, "is_repeated") else getattr(field, "label", None) == 3
    return bool(found)
