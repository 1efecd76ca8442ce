"""nri.proto, the code that protoc made of it, and the runtime's own api.proto agree: every message, field, number and type."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from agent.runtime import nri_pb2
from tests.unit.runtime.wire import is_repeated

PROTO = (Path(nri_pb2.__file__).parent / "nri.proto").read_text()
TYPES = {
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_INT32: "int32",
}
# pkg/api/api.proto of containerd/nri (2026-08-20), and request.proto of containerd/ttrpc: the numbers on the wire.
ON_THE_WIRE = {
    "RegisterPluginRequest": {"plugin_name": 1, "plugin_idx": 2},
    "ConfigureRequest": {"runtime_name": 2, "runtime_version": 3},
    "ConfigureResponse": {"events": 2},
    "SynchronizeRequest": {"pods": 1, "containers": 2, "more": 3},
    "SynchronizeResponse": {"more": 2},
    "CreateContainerRequest": {"pod": 1, "container": 2},
    "CreateContainerResponse": {"adjust": 1},
    "UpdateContainerRequest": {"pod": 1, "container": 2, "linux_resources": 3},
    "UpdateContainerResponse": {"update": 1},
    "PodOrContainerRequest": {"pod": 1, "container": 2},
    "StateChangeEvent": {"event": 1, "pod": 2, "container": 3},
    "PodSandbox": {"id": 1, "name": 2, "uid": 3, "namespace": 4, "labels": 5, "annotations": 6},
    "Container": {"id": 1, "pod_sandbox_id": 2, "name": 3, "linux": 11},
    "LinuxContainer": {"resources": 3},
    "LinuxResources": {"unified": 6},
    "ContainerAdjustment": {"linux": 6},
    "LinuxContainerAdjustment": {"resources": 2},
    "ContainerUpdate": {"container_id": 1, "linux": 2, "ignore_failure": 3},
    "LinuxContainerUpdate": {"resources": 1},
    "Request": {"service": 1, "method": 2, "payload": 3},
    "Response": {"status": 1, "payload": 2},
    "Status": {"code": 1, "message": 2},
}


def in_the_proto() -> dict[str, set[tuple[str, int, str]]]:
    """By message: each field's name, number and type as written."""
    text = re.sub(r"//[^\n]*", "", PROTO)
    found = {}
    for name, body in re.findall(r"^message (\w+) \{(.*?)^\}", text, re.MULTILINE | re.DOTALL):
        fields = re.findall(r"((?:repeated )?[\w<>, ]+?) (\w+) = (\d+);", body)
        assert len(fields) == body.count(";"), f"{name} has a line that this test does not understand"
        found[name] = {(field, int(number), kind.strip()) for kind, field, number in fields}
    return found


def kind_of(field: FieldDescriptor) -> str:
    message = field.message_type
    if message is not None and message.GetOptions().map_entry:
        key, value = message.fields_by_name["key"], message.fields_by_name["value"]
        return f"map<{kind_of(key)}, {kind_of(value)}>"
    name = message.name if message is not None else TYPES[field.type]
    return f"repeated {name}" if is_repeated(field) else name


def fields_of(message: Descriptor) -> set[tuple[str, int, str]]:
    return {(field.name, field.number, kind_of(field)) for field in message.fields}


def test_the_generated_code_is_that_of_the_proto_file() -> None:
    made = nri_pb2.DESCRIPTOR.message_types_by_name
    assert {name: fields_of(message) for name, message in made.items()} == in_the_proto()
    assert f"package {nri_pb2.DESCRIPTOR.package};" in PROTO


def test_the_stub_names_the_same_messages_and_fields() -> None:
    stub = Path(nri_pb2.__file__).with_suffix(".pyi").read_text()
    found = {}
    for name, body in re.findall(r"^class (\w+)\(_message\.Message\):\n(.*?)(?=^class |\Z)", stub, re.M | re.DOTALL):
        found[name] = {m.lower() for m in re.findall(r"^    ([A-Z_]+)_FIELD_NUMBER:", body, re.MULTILINE)}
    assert found == {name: {field for field, _, _ in fields} for name, fields in in_the_proto().items()}


@pytest.mark.parametrize("message", ON_THE_WIRE)
def test_the_numbers_are_those_of_the_runtime(message: str) -> None:
    fields = nri_pb2.DESCRIPTOR.message_types_by_name[message].fields
    assert {field.name: field.number for field in fields} == ON_THE_WIRE[message]


def test_no_message_is_left_out_of_this_comparison() -> None:
    assert set(nri_pb2.DESCRIPTOR.message_types_by_name) == set(ON_THE_WIRE)


def test_the_package_is_the_one_that_the_services_are_called_by() -> None:
    assert nri_pb2.DESCRIPTOR.package == "nri.pkg.api.v1alpha1"
