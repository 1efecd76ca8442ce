"""A pod that may be recovered, with what the planner needs beyond its parsed form: who made it, and its JSON. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from agent.model import Pod
from agent.model.recover import REPLACES_ANNOTATION, STEP_ANNOTATION, Space, Strategy
from agent.pods.parse import UnreadablePodError, parse_pod
from agent.wording.times import unix_s

Json = Mapping[str, Any]
# The API server checks no name in an owner reference, and this one becomes a part of a path.
OBJECT_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*\Z")
MOST_NAME = 254  # characters: one more than the name of any object
GITOPS_KEYS = (
    "argocd.argoproj.io/tracking-id",
    "argocd.argoproj.io/instance",
    "kustomize.toolkit.fluxcd.io/name",
    "helm.toolkit.fluxcd.io/name",
    "configmanagement.gke.io/managed",
)


@dataclass(frozen=True, slots=True)
class Owner:
    """The object that attempts count for; ``api_version`` "" for the pod itself."""

    kind: str
    name: str
    api_version: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """``controller``: what creates the pod again, None for nothing. ``owner``: what its attempts count for."""

    pod: Pod
    raw: Json
    controller: Owner | None
    owner: Owner
    strategy: Strategy | None = None

    @property
    def key(self) -> str:
        """Names the owner in the journal."""
        return f"{self.pod.namespace}/{self.owner.kind}/{self.owner.name}"

    @property
    def other_owner(self) -> str:
        """Kind of an owner that does not control the pod, "" for none."""
        references = _maps(_map(self.raw.get("metadata")).get("ownerReferences"))
        return next((str(one.get("kind")) for one in references), "") if self.controller is None else ""

    @property
    def fence(self) -> str:
        """The pod's step annotation, "" for none."""
        return self.pod.annotations.get(STEP_ANNOTATION, "")

    @property
    def spec(self) -> Json:
        return _map(self.raw.get("spec"))

    def container(self, name: str) -> tuple[str, Json] | None:
        """See container_in."""
        return container_in(self.raw, name)

    def status_of(self, name: str) -> Json:
        """A container's status as the API has it; {} for none."""
        status = _map(self.raw.get("status"))
        found = (*_maps(status.get("containerStatuses")), *_maps(status.get("initContainerStatuses")))
        return next((one for one in found if one.get("name") == name), {})

    def ready_since_unix_s(self) -> float | None:
        """Since when the pod is ready, or has completed; None: it isn't."""
        status = _map(self.raw.get("status"))
        if status.get("phase") == "Succeeded":
            return 0.0
        for one in _maps(status.get("conditions")):
            if one.get("type") == "Ready" and one.get("status") == "True":
                changed = one.get("lastTransitionTime")
                return unix_s(changed) if isinstance(changed, str) else None
        return None

    def created_unix_s(self) -> float | None:
        created = _map(self.raw.get("metadata")).get("creationTimestamp")
        return unix_s(created) if isinstance(created, str) else None


def subject_of(raw: object, strategies: tuple[Strategy, ...] = ()) -> Subject:
    """Raises UnreadablePodError."""
    pod = parse_pod(raw)
    if not isinstance(raw, dict):
        raise UnreadablePodError("it is not an object")
    controller = _controller(raw)
    if (found := _resource(pod, controller, strategies)) is not None:
        return Subject(pod, raw, controller, *found)
    first = pod.annotations.get(REPLACES_ANNOTATION, "")
    return Subject(pod, raw, controller, controller or Owner("Pod", first if OBJECT_NAME.match(first) else pod.name))


def _controller(raw: Json) -> Owner | None:
    for one in _maps(_map(raw.get("metadata")).get("ownerReferences")):
        texts = [one.get(key) for key in ("kind", "name", "apiVersion")]
        if one.get("controller") is True and all(isinstance(text, str) and text for text in texts):
            return Owner(*(str(text)[:MOST_NAME] for text in texts))
    return None


def _resource(pod: Pod, controller: Owner | None, strategies: tuple[Strategy, ...]) -> tuple[Owner, Strategy] | None:
    """The custom resource that the pod runs, by the label that names it, or as its controller."""
    for one in strategies:
        version = f"{one.group}/{one.version}"
        name = pod.labels.get(one.label) if one.label else None
        if not name and controller is not None and controller.kind == one.kind:
            name = controller.name if controller.api_version.startswith(f"{one.group}/") else None
        if name and OBJECT_NAME.match(name):
            return Owner(one.kind, name, version), one
    return None


def container_in(pod: Json, name: str) -> tuple[str, Json] | None:
    """A container's JSON pointer and its item in the spec of a pod; None: there is none that can be changed."""
    for field in ("containers", "initContainers"):
        items = _map(pod.get("spec")).get(field)
        for i, item in enumerate(items if isinstance(items, list) else ()):
            if isinstance(item, dict) and item.get("name") == name:
                return f"/spec/{field}/{i}", item
    return None


def memory_in(item: Json, which: str) -> str | None:
    """The memory quantity of a container's or a status' resources, ``which``: limits or requests; None: there is none."""
    value = _map(_map(item.get("resources")).get(which)).get("memory")
    return value if isinstance(value, str) else None


def of_gitops(obj: Json) -> bool:
    """Whether a GitOps tool manages this object: what we change there it would change back."""
    metadata = _map(obj.get("metadata"))
    return any(key in _map(metadata.get(part)) for part in ("labels", "annotations") for key in GITOPS_KEYS)


def step_of(obj: Json) -> str:
    """The step annotation of any object, "" for none."""
    value = _map(_map(obj.get("metadata")).get("annotations")).get(STEP_ANNOTATION)
    return value if isinstance(value, str) else ""


def space_of(raw: Json) -> Space:
    """A namespace."""
    metadata = _map(raw.get("metadata"))
    return Space(str(metadata.get("name")), _map(metadata.get("labels")), _map(metadata.get("annotations")))


def _map(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def _maps(value: object) -> Iterator[Json]:
    return (one for one in value if isinstance(one, dict)) if isinstance(value, list) else iter(())
