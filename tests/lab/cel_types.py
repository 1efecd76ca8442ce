"""Types of Kubernetes' objects for CEL, from the models of its Python client: what an expression names has to exist.

The API server checks policies so too (typechecking.go), but only those for resources, not for subresources such as pods/resize.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from cel_expr_python import cel
from google.protobuf import descriptor_pb2, descriptor_pool, struct_pb2, timestamp_pb2
from kubernetes.client import models

from tests.lab.cel import Environment

FIELD = descriptor_pb2.FieldDescriptorProto
FILES = ("struct", "timestamp")
PLAIN = {"str": FIELD.TYPE_STRING, "int": FIELD.TYPE_INT64, "bool": FIELD.TYPE_BOOL, "float": FIELD.TYPE_DOUBLE}
KNOWN = {
    "datetime": ".google.protobuf.Timestamp",
    "date": ".google.protobuf.Timestamp",
    "object": ".google.protobuf.Value",
}
LIST, MAP = re.compile(r"[lL]ist\[(.+)\]"), re.compile(r"(?:dict\(|Dict\[)str, (.+)[)\]]")
# k8s.io/apiserver pkg/admission/plugin/cel/compile.go, BuildRequestType and BuildNamespaceType: what matters here of them
GIVEN = {
    "Request": {
        "name": "str",
        "namespace": "str",
        "operation": "str",
        "subResource": "str",
        "userInfo": "V1UserInfo",
        "dryRun": "bool",
    },
    "Namespace": {"metadata": "NamespaceMeta", "spec": "V1NamespaceSpec", "status": "V1NamespaceStatus"},
    "NamespaceMeta": {
        "name": "str",
        "labels": "dict(str, str)",
        "annotations": "dict(str, str)",
        "finalizers": "list[str]",
        "uid": "str",
    },
}
NEWER = {"V1PodSpec": {"resources": "V1ResourceRequirements"}}  # than the oldest client that is supported


class _Types:
    """Adds models to a pool, each with those that it refers to."""

    def __init__(self) -> None:
        self.file = descriptor_pb2.FileDescriptorProto(name="k8s.proto", package="k8s", syntax="proto3")
        self.file.dependency.extend(f"google/protobuf/{name}.proto" for name in FILES)
        self.known: set[str] = set()

    def add(self, name: str) -> str:
        """The full name of its message."""
        if name not in self.known:
            self.known.add(name)
            message = descriptor_pb2.DescriptorProto(name=name)
            for number, (field, kind) in enumerate(_fields(name).items(), start=1):
                self._field(message, field, kind, number)
            self.file.message_type.append(message)
        return f"k8s.{name}"

    def _field(self, message: Any, name: str, kind: str, number: int) -> None:
        field = message.field.add(name=name, number=number, label=FIELD.LABEL_OPTIONAL)
        if match := LIST.fullmatch(kind):
            field.label, kind = FIELD.LABEL_REPEATED, match[1]
        elif match := MAP.fullmatch(kind):
            entry = message.nested_type.add(name=f"{name[0].upper()}{name[1:]}Entry")
            entry.options.map_entry = True
            self._field(entry, "key", "str", 1)
            self._field(entry, "value", "object" if LIST.fullmatch(match[1]) else match[1], 2)
            field.label, field.type = FIELD.LABEL_REPEATED, FIELD.TYPE_MESSAGE
            field.type_name = f".k8s.{message.name}.{entry.name}"
            return
        if kind in PLAIN:
            field.type = PLAIN[kind]
        else:
            field.type = FIELD.TYPE_MESSAGE
            field.type_name = KNOWN[kind] if kind in KNOWN else f".{self.add(kind)}"


def _fields(name: str) -> dict[str, str]:
    """JSON names and types."""
    if name in GIVEN:
        return GIVEN[name]
    model = getattr(models, name)
    return {**NEWER.get(name, {}), **{model.attribute_map[key]: kind for key, kind in model.openapi_types.items()}}


def typed(kind: str, **variables: Any) -> Environment:
    """Where ``object`` and ``oldObject`` are of a kind, such as V1Pod; ``variables``: types of the policy's own."""
    pool, names = _pool(kind)
    types = {key: cel.Type(name) for key, name in names.items()}
    return Environment({**types, **{f"variables.{name}": one for name, one in variables.items()}}, pool)


@cache
def _descriptors(kind: str) -> tuple[bytes, dict[str, str]]:
    made = _Types()
    names = {
        "object": made.add(kind),
        "request": made.add("Request"),
        "namespaceObject": made.add("Namespace"),
    }
    return made.file.SerializeToString(), {**names, "oldObject": names["object"]}


def _pool(kind: str) -> tuple[Any, dict[str, str]]:
    """Each environment has one of its own, to which it adds."""
    pool = descriptor_pool.DescriptorPool()
    for module in (struct_pb2, timestamp_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    file, names = _descriptors(kind)
    pool.AddSerializedFile(file)
    return pool, names
