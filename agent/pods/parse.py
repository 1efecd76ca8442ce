"""A pod's JSON becomes a Pod, once. Strict about types, but for the status (parse_status.py); errors name the field."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import ROUND_CEILING, Decimal
from sys import intern
from types import MappingProxyType
from typing import Any

from agent.model import CONFIG_HASH_ANNOTATION, ContainerKind, MemoryVolume, Pod, PodContainer
from agent.pods.parse_status import container_status, pod_status

OURS = "oomward.dev/"
CONFIG_MIRROR_ANNOTATION = "kubernetes.io/config.mirror"
CONFIG_HASH = re.compile(r"[0-9a-f]{32}\Z")
QUANTITY = re.compile(
    r"([+-]?[0-9]+(?:\.[0-9]*)?|[+-]?\.[0-9]+)(?:([eE][+-]?[0-9]{1,3})|(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|n|u))?\Z"
)
DECIMAL_UNITS = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
BINARY_UNITS = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
FACTORS = {unit: Decimal(10) ** power for unit, power in DECIMAL_UNITS.items()} | {
    unit: Decimal(2) ** power for unit, power in BINARY_UNITS.items()
}
MOST_BYTES = 2**63 - 1  # a Quantity's maximum: larger ones are capped (apimachinery, resource.Quantity)
MOST_QUANTITY_CHARACTERS = 64
MOST_CONTAINERS = 500  # 0.3 MB; the API takes 20,000 in a pod, which would be 13 MB and a second each time
MOST_VOLUMES, MOST_VOLUME_NAME = 4, 63  # emptyDirs in memory per container that are named in advice
KINDS = (
    ("initContainers", "initContainerStatuses", ContainerKind.INIT),
    ("containers", "containerStatuses", ContainerKind.REGULAR),
    ("ephemeralContainers", "ephemeralContainerStatuses", ContainerKind.EPHEMERAL),
)


class UnreadablePodError(ValueError):
    """The object is no usable pod: which field, and why."""


def parse_pod(obj: object) -> Pod:
    """Raises UnreadablePodError."""
    pod = _mapping(obj, "pod")
    metadata, spec, status = (_mapping(pod.get(key) or {}, key) for key in ("metadata", "spec", "status"))
    annotations = _texts(metadata.get("annotations") or {}, "metadata.annotations")
    return Pod(
        uid=_required(metadata, "uid", "metadata"),
        namespace=intern(_required(metadata, "namespace", "metadata")),
        name=_required(metadata, "name", "metadata"),
        node_name=intern(_optional(spec, "nodeName", "spec")),
        labels=MappingProxyType(_texts(metadata.get("labels") or {}, "metadata.labels")),
        annotations=MappingProxyType({k: v for k, v in annotations.items() if OURS in k}),
        config_hash=_config_hash(annotations),
        containers=tuple(_containers(spec, status)),
        status=pod_status(metadata, spec, status, _limit(spec, "spec")),
    )


def _config_hash(annotations: Mapping[str, str]) -> str | None:
    """Names a static pod's cgroup; None for all others.

    Nobody must claim another pod's cgroup by an annotation. So only a mirror pod's counts, which has its hash twice
    (CreateMirrorPod, pkg/kubelet/pod/mirror_client.go): the kubelet runs no such pod, and deletes those that it did not create.
    """
    found = annotations.get(CONFIG_HASH_ANNOTATION)
    mirrored = found is not None and found == annotations.get(CONFIG_MIRROR_ANNOTATION)
    return found if found is not None and mirrored and CONFIG_HASH.match(found) else None


def parse_quantity(text: object) -> int:
    """Bytes of a Kubernetes quantity (``256Mi``, ``1e9``), rounded up and capped as by the API. Raises ValueError."""
    match = QUANTITY.match(text[: MOST_QUANTITY_CHARACTERS + 1]) if isinstance(text, str) else None
    if match is None or len(match[0]) > MOST_QUANTITY_CHARACTERS:
        raise ValueError(f"{repr(text)[:80]} is no quantity")
    exponent = int(match[2][1:]) if match[2] else 0
    value = Decimal(match[1]).scaleb(exponent) * FACTORS[match[3] or ""]
    return max(-MOST_BYTES, min(MOST_BYTES, int(value.to_integral_value(rounding=ROUND_CEILING))))


def _containers(spec: Mapping[str, Any], status: Mapping[str, Any]) -> Iterator[PodContainer]:
    many = sum(len(_sequence(spec.get(field) or [], f"spec.{field}")) for field, _, _ in KINDS)
    if many > MOST_CONTAINERS:
        raise UnreadablePodError(f"it has {many} containers, more than the {MOST_CONTAINERS} that oomward reads")
    volumes = _memory_volumes(spec)
    for field, reported_in, kind in KINDS:
        reported = _reported(status, reported_in)
        for i, item in enumerate(_sequence(spec.get(field) or [], f"spec.{field}")):
            where = f"spec.{field}[{i}]"
            container = _mapping(item, where)
            sidecar = kind is ContainerKind.INIT and container.get("restartPolicy") == "Always"
            name = intern(_required(container, "name", where))
            found, its = reported.get(name, {}), f"status of container {name}"
            last = _inner(_inner(found, "lastState", its), "terminated", f"{its}.lastState")
            yield PodContainer(
                name=name,
                kind=ContainerKind.SIDECAR if sidecar else kind,
                container_id=_bare_id(found, its),
                previous_id=_bare_id(last, its),
                running="running" in _inner(found, "state", its),
                limit_bytes=_limit(container, where),
                memory_volumes=_mounted(container, volumes) if volumes else (),
                status=container_status(container, found, spec, _limit_in_force(found)),
            )


def _memory_volumes(spec: Mapping[str, Any]) -> dict[str, MemoryVolume]:
    """By name. What can't be read is left out: no mode depends on it."""
    found: dict[str, MemoryVolume] = {}
    for volume in _objects(spec.get("volumes")):
        name, source = volume.get("name"), volume.get("emptyDir")
        if isinstance(name, str) and isinstance(source, dict) and source.get("medium") == "Memory":
            found[name] = MemoryVolume(name[:MOST_VOLUME_NAME], _size_limit(source))
    return found


def _mounted(container: Mapping[str, Any], volumes: Mapping[str, MemoryVolume]) -> tuple[MemoryVolume, ...]:
    """Those of the pod's emptyDirs in memory that the container has mounted, each once."""
    names = [mount.get("name") for mount in _objects(container.get("volumeMounts"))]
    return tuple(volumes[name] for name in volumes if name in names)[:MOST_VOLUMES]


def _objects(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _size_limit(source: Mapping[str, Any]) -> int | None:
    try:
        return max(0, parse_quantity(source.get("sizeLimit"))) or None
    except ValueError:
        return None


def _reported(status: Mapping[str, Any], field: str) -> dict[str, Mapping[str, Any]]:
    """The containers' statuses by name."""
    where = f"status.{field}"
    items = [_mapping(item, where) for item in _sequence(status.get(field) or [], where)]
    return {_required(item, "name", where): item for item in items}


def _bare_id(item: Mapping[str, Any], where: str) -> str | None:
    """``containerd://<64 hex>`` without its scheme."""
    return _optional(item, "containerID", where).partition("://")[2] or None


def _limit(item: Mapping[str, Any], where: str) -> int | None:
    limits = _inner(_inner(item, "resources", where), "limits", f"{where}.resources")
    if limits.get("memory") is None:
        return None
    try:
        size = parse_quantity(limits["memory"])
    except ValueError as error:
        raise UnreadablePodError(f"{where}.resources.limits.memory: {error}") from error
    if size < 0:
        raise UnreadablePodError(f"{where}.resources.limits.memory: {size} is less than nothing")
    return size or None  # for the kubelet, 0 is no limit


def _limit_in_force(status: Mapping[str, Any]) -> int | None:
    """The memory limit in a container's status; None for none, or if it cannot be read: no mode depends on it."""
    resources = status.get("resources")
    limits = resources.get("limits") if isinstance(resources, dict) else None
    try:
        size = parse_quantity(limits.get("memory") if isinstance(limits, dict) else None)
    except ValueError:
        return None
    return size if size > 0 else None


def _inner(item: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    return _mapping(item.get(key) or {}, f"{where}.{key}")


def _mapping(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise UnreadablePodError(f"{where} is {type(value).__name__}, not an object")
    return value


def _sequence(value: object, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise UnreadablePodError(f"{where} is {type(value).__name__}, not a list")
    return value


def _texts(value: object, where: str) -> dict[str, str]:
    items = _mapping(value, where)
    if not all(isinstance(text, str) for text in items.values()):
        raise UnreadablePodError(f"{where} has a value that is no text")
    for text in (*items.keys(), *items.values()):
        _encodable(text, where)
    return {intern(key): text for key, text in items.items()}


def _encodable(text: str, where: str) -> None:
    """JSON's escapes allow half a surrogate pair, which no file, log or database takes."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UnreadablePodError(f"{where} has half a character ({text[:60]!a})") from error


def _required(item: Mapping[str, Any], key: str, where: str) -> str:
    value = item.get(key)
    if not isinstance(value, str) or not value:
        raise UnreadablePodError(f"{where}.{key} is {'missing' if value is None else repr(value)[:60]}")
    return _optional(item, key, where)


def _optional(item: Mapping[str, Any], key: str, where: str) -> str:
    """A text, "" for none."""
    value = item.get(key)
    if value is not None and not isinstance(value, str):
        raise UnreadablePodError(f"{where}.{key} is {type(value).__name__}, not str")
    _encodable(value or "", f"{where}.{key}")
    return value or ""
