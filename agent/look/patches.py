"""The patch that gives a workload's containers their next limits: a strategic merge patch, with the command that applies it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.look.workloads import Workload
from agent.model import ContainerKind
from agent.wording.text import is_object_name

TEMPLATE = ("spec", "template", "spec")
PLACES = {
    "Deployment": TEMPLATE,
    "StatefulSet": TEMPLATE,
    "DaemonSet": TEMPLATE,
    "ReplicaSet": TEMPLATE,
    "ReplicationController": TEMPLATE,
    "CronJob": ("spec", "jobTemplate", *TEMPLATE),
    "Pod": ("spec",),
}
LISTS = {
    ContainerKind.REGULAR: "containers",
    ContainerKind.INIT: "initContainers",
    ContainerKind.SIDECAR: "initContainers",
}
BY_HAND = {
    "Job": "a Job's template cannot be changed: change it where the Job is made",
    "StaticPod": "change its manifest on the node",
    "Pod": "change its manifest, and create it again: it is over, or its kind of container cannot be resized in place",
}
OF_A_SUM = "raise the limits of its containers: the pods have no limit of their own, so theirs is the sum"
IN_ITS_MANIFEST = "change it in the manifest that it is made of"
QUANTITY = re.compile(r"[0-9]{1,19}(?:[KMGT]i)?\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Raise:
    """``container`` None: the limit of pod-level resources. ``guaranteed``: the request is to stay the same as the limit."""

    container: str | None
    kind: ContainerKind
    limit: str
    guaranteed: bool


@dataclass(frozen=True, slots=True)
class Patch:
    """Of a workload with a next limit. ``patch`` and ``kubectl_command`` None: none can change it, and ``advice`` says what can."""

    namespace: str
    workload_kind: str
    workload: str
    reasons: tuple[str, ...]
    patch: dict[str, Any] | None
    kubectl_command: str | None
    advice: str | None


def patch_for(workload: Workload, limits: Sequence[Raise], reasons: Sequence[str], *, by_command: bool = True) -> Patch:
    """``by_command`` False: no command can change it. None does for names that no object has: a node's answer may be made to harm."""
    named = is_object_name(workload.name) and is_object_name(workload.namespace)
    patch = patch_of(workload, limits) if by_command and named else None
    return Patch(
        workload.namespace,
        workload.kind,
        workload.name,
        tuple(reasons),
        patch,
        command_of(workload, patch) if patch is not None else None,
        None if patch is not None else by_hand(workload, limits),
    )


def reason_text(container: str | None, quantity: str, why: str) -> str:
    of = f"container {container}" if container is not None else "the pod"
    return f"{of} to {quantity}: {why}"


def patch_of(workload: Workload, limits: Sequence[Raise]) -> dict[str, Any] | None:
    """None: no patch can change it."""
    place = PLACES.get(workload.kind)
    if place is None or not limits or (workload.kind == "Pod" and not all(map(_resizable, limits))):
        return None
    spec: dict[str, Any] = {}
    for one in limits:
        resources = {"resources": _resources(one)}
        if one.container is None:
            spec |= resources
        else:
            spec.setdefault(LISTS[one.kind], []).append({"name": one.container, **resources})
    for key in reversed(place):
        spec = {key: spec}
    return spec


def _resizable(one: Raise) -> bool:
    """In place, by Kubernetes 1.33 and newer (KEP-1287): containers that keep running."""
    return one.container is not None and one.kind is not ContainerKind.INIT


def _resources(one: Raise) -> dict[str, dict[str, str]]:
    """A Guaranteed pod has requests equal to its limits; a running pod's class cannot be changed (KEP-1287)."""
    memory = {"memory": one.limit}
    return {"limits": memory, "requests": memory} if one.guaranteed else {"limits": memory}


def command_of(workload: Workload, patch: Mapping[str, Any]) -> str:
    """For a shell."""
    what = [workload.kind.lower(), workload.name, "--namespace", workload.namespace]
    how = ["--subresource", "resize"] if workload.kind == "Pod" else []
    merged = ["--type", "strategic", "--patch", json.dumps(patch, ensure_ascii=True, separators=(",", ":"))]
    return shlex.join(["kubectl", "patch", *what, *how, *merged])


def by_hand(workload: Workload, limits: Sequence[Raise]) -> str:
    """What to do where there is no patch."""
    if not limits:
        return OF_A_SUM
    return BY_HAND.get(workload.kind, IN_ITS_MANIFEST)


def raises_in(kind: str, patch: object) -> list[Raise]:
    """What a patch of ``patch_of`` for this kind of workload raises; whatever else is in it is left out."""
    spec = patch
    for key in PLACES.get(kind, ()):
        spec = spec.get(key) if isinstance(spec, dict) else None
    if kind not in PLACES or not isinstance(spec, dict):
        return []
    return list(_raises_in(spec))


def _raises_in(spec: Mapping[str, Any]) -> Iterator[Raise]:
    """An init container in it is shown as a sidecar: a patch does not say which of the two it is."""
    yield from _raise_in(None, ContainerKind.REGULAR, spec)
    for key, kind in (("containers", ContainerKind.REGULAR), ("initContainers", ContainerKind.SIDECAR)):
        found = spec.get(key)
        for one in found if isinstance(found, list) else ():
            if isinstance(one, dict) and isinstance(one.get("name"), str):
                yield from _raise_in(one["name"], kind, one)


def _raise_in(container: str | None, kind: ContainerKind, given: Mapping[str, Any]) -> Iterator[Raise]:
    """One, or none."""
    resources = given.get("resources")
    of = {key: resources.get(key) for key in ("limits", "requests")} if isinstance(resources, dict) else {}
    limit, request = (
        one.get("memory") if isinstance(one, dict) else None for one in (of.get("limits"), of.get("requests"))
    )
    if isinstance(limit, str) and QUANTITY.match(limit):
        yield Raise(container, kind, limit, guaranteed=request is not None)
