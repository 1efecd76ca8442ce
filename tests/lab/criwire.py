"""The part of the CRI's messages (k8s.io/cri-api, runtime.v1) that the lab uses, made at run time from this list.

Each line is a message, its fields with number and type as in api.proto; ``*`` repeated, ``map`` from string to string. Fields left out
are kept or ignored by protobuf as usual.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "runtime.v1"
MESSAGES = """
VersionRequest version=1:string
VersionResponse version=1:string runtime_name=2:string runtime_version=3:string runtime_api_version=4:string
StatusRequest verbose=1:bool
StatusResponse status=1:RuntimeStatus info=2:map
RuntimeStatus conditions=1:*RuntimeCondition
RuntimeCondition type=1:string status=2:bool reason=3:string message=4:string
RunPodSandboxRequest config=1:PodSandboxConfig runtime_handler=2:string
RunPodSandboxResponse pod_sandbox_id=1:string
StopPodSandboxRequest pod_sandbox_id=1:string
StopPodSandboxResponse
RemovePodSandboxRequest pod_sandbox_id=1:string
RemovePodSandboxResponse
CreateContainerRequest pod_sandbox_id=1:string config=2:ContainerConfig sandbox_config=3:PodSandboxConfig
CreateContainerResponse container_id=1:string
StartContainerRequest container_id=1:string
StartContainerResponse
StopContainerRequest container_id=1:string timeout=2:int64
StopContainerResponse
RemoveContainerRequest container_id=1:string
RemoveContainerResponse
ContainerStatusRequest container_id=1:string verbose=2:bool
ContainerStatusResponse status=1:ContainerStatus info=2:map
UpdateContainerResourcesRequest container_id=1:string linux=2:LinuxContainerResources
UpdateContainerResourcesResponse
ExecSyncRequest container_id=1:string cmd=2:*string timeout=3:int64
ExecSyncResponse stdout=1:bytes stderr=2:bytes exit_code=3:int32
PodSandboxConfig metadata=1:PodSandboxMetadata hostname=2:string log_directory=3:string labels=6:map annotations=7:map linux=8:LinuxPodSandboxConfig
PodSandboxMetadata name=1:string uid=2:string namespace=3:string attempt=4:uint32
LinuxPodSandboxConfig cgroup_parent=1:string security_context=2:LinuxSandboxSecurityContext
LinuxSandboxSecurityContext namespace_options=1:NamespaceOption privileged=6:bool
NamespaceOption network=1:int32 pid=2:int32 ipc=3:int32
ContainerConfig metadata=1:ContainerMetadata image=2:ImageSpec command=3:*string args=4:*string envs=6:*KeyValue mounts=7:*Mount labels=9:map annotations=10:map log_path=11:string linux=15:LinuxContainerConfig
ContainerMetadata name=1:string attempt=2:uint32
ImageSpec image=1:string
KeyValue key=1:string value=2:string
Mount container_path=1:string host_path=2:string readonly=3:bool
LinuxContainerConfig resources=1:LinuxContainerResources security_context=2:LinuxContainerSecurityContext
LinuxContainerSecurityContext privileged=2:bool namespace_options=3:NamespaceOption
LinuxContainerResources cpu_shares=3:int64 memory_limit_in_bytes=4:int64 oom_score_adj=5:int64 unified=9:map
ContainerStatus id=1:string metadata=2:ContainerMetadata state=3:int32 created_at=4:int64 started_at=5:int64 finished_at=6:int64 exit_code=7:int32 reason=10:string message=11:string
"""  # noqa: E501
_FIELD = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "string": _FIELD.TYPE_STRING,
    "bytes": _FIELD.TYPE_BYTES,
    "bool": _FIELD.TYPE_BOOL,
    "int32": _FIELD.TYPE_INT32,
    "int64": _FIELD.TYPE_INT64,
    "uint32": _FIELD.TYPE_UINT32,
}


def _add_field(message: descriptor_pb2.DescriptorProto, written: str) -> None:
    name, rest = written.split("=")
    number, kind = rest.split(":")
    repeated = kind.startswith("*") or kind == "map"
    field = message.field.add(name=name, number=int(number))
    field.label = _FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL
    kind = kind.removeprefix("*")
    if kind == "map":
        kind = f"{message.name}.{name.title().replace('_', '')}Entry"
        entry = message.nested_type.add(name=kind.partition(".")[2])
        entry.options.map_entry = True
        for part in ("key=1:string", "value=2:string"):
            _add_field(entry, part)
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type, field.type_name = _FIELD.TYPE_MESSAGE, f".{PACKAGE}.{kind}"


def _messages() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="oomward-lab/cri.proto", package=PACKAGE, syntax="proto3")
    for line in MESSAGES.split("\n"):
        if line:
            name, *fields = line.split()
            message = file.message_type.add(name=name)
            for field in fields:
                _add_field(message, field)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        m.name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{m.name}"))
        for m in file.message_type
    }


MESSAGE = _messages()
