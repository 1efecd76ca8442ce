"""The patch that gives a workload's containers their next limits: a strategic merge patch, with the command that applies it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.look.workloads import Workload
from agent.model import ContainerKind

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


@dataclass(frozen=True, slots=True)
class Raise:
    """``container`` None: the limit of pod-level resources. ``guaranteed``: the request is to stay the same as the limit."""

    container: str | None
    kind: ContainerKind
    limit: str
    guaranteed: bool


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
