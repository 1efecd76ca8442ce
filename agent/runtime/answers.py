"""The answers that set memory.oom.group, and nothing else. Pure."""

from __future__ import annotations

from agent.runtime.nri_pb2 import (
    Container,
    ContainerAdjustment,
    ContainerUpdate,
    CreateContainerResponse,
    LinuxContainerAdjustment,
    LinuxContainerUpdate,
    LinuxResources,
    UpdateContainerResponse,
)

OOM_GROUP = "memory.oom.group"  # a key of the OCI runtime specification's linux.resources.unified


def oom_group_so_far(container: Container) -> str | None:
    """The value that the kubelet, or a plugin before us, asks for. None: not known, since containerd 2.1 leaves the kubelet's out."""
    return container.linux.resources.unified.get(OOM_GROUP)


def created_with(oom_group: int) -> CreateContainerResponse:
    resources = LinuxResources(unified={OOM_GROUP: str(oom_group)})
    return CreateContainerResponse(adjust=ContainerAdjustment(linux=LinuxContainerAdjustment(resources=resources)))


def updated_with(container_id: str, requested: LinuxResources, oom_group: int) -> UpdateContainerResponse:
    """All of the requested resources again, and our value: with our value alone containerd loses the new memory limit (measured, 2.1.9).

    A plugin before us may have changed one of these resources. Then the runtime ignores our answer instead of refusing the update
    (nri, pkg/adaptation/result.go), and file enforcement corrects the value.
    """
    resources = LinuxResources()
    resources.CopyFrom(requested)
    resources.unified[OOM_GROUP] = str(oom_group)
    update = ContainerUpdate(
        container_id=container_id, linux=LinuxContainerUpdate(resources=resources), ignore_failure=True
    )
    return UpdateContainerResponse(update=[update])
