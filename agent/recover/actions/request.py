"""What an action asks of the API, one request at a time, and how it ends. Pure: the executor sends them.

Every request has a precondition, so that it does nothing when it comes twice, late, or from a leader that is none any more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from agent.model.recover import STATUS_ANNOTATION, STEP_ANNOTATION, Attempt, State
from agent.recover.subject import Json, step_of

JsonPatch = Sequence[Mapping[str, object]]
GONE = "the pod was removed meanwhile"
OTHER_STEP = "another step was done meanwhile"


@dataclass(frozen=True, slots=True)
class PatchPod:
    """``subresource``: "" or ``resize``."""

    namespace: str
    name: str
    patch: JsonPatch
    subresource: str = ""


@dataclass(frozen=True, slots=True)
class PatchResource:
    """``path`` is the custom resource's in the API."""

    path: str
    patch: JsonPatch


@dataclass(frozen=True, slots=True)
class Evict:
    """Respects disruption budgets; only the pod with this uid."""

    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class CreatePod:
    namespace: str
    body: Json


Request = PatchPod | PatchResource | Evict | CreatePod


@dataclass(frozen=True, slots=True)
class Result:
    """The end of an attempt, as far as requests go."""

    state: State
    why: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """The objects of an attempt as they are now; None: there is none (of this uid), or it can't be read."""

    pod: Json | None
    replacement: Json | None = None
    resource: Json | None = None
    node: Json | None = None


Advance = Callable[[Attempt, Seen, str], Request | Result]


def resource_path(group: str, version: str, namespace: str, plural: str, name: str) -> str:
    return f"/apis/{group}/{version}/namespaces/{namespace}/{plural}/{name}"


def same_pod(attempt: Attempt) -> list[Mapping[str, object]]:
    """The tests that a patch of a pod begins with: a pod of the same name is another."""
    return [{"op": "test", "path": "/metadata/uid", "value": attempt.pod_uid}]


def signed(obj: Json, token: str, status: str) -> list[Mapping[str, object]]:
    """Operations that write the step (if there is one) and status annotations, and fail if another step was written since ``obj`` was read.

    A ``test`` for null succeeds in the API server where there is no value (evanphx/json-patch).
    """
    texts = {STATUS_ANNOTATION: status, **({STEP_ANNOTATION: token} if token else {})}
    metadata = obj.get("metadata")
    if not isinstance(metadata, dict) or not metadata.get("annotations"):
        none_yet = {"op": "test", "path": "/metadata/annotations", "value": None}
        return [none_yet, {"op": "add", "path": "/metadata/annotations", "value": texts}]
    before = {"op": "test", "path": pointer(STEP_ANNOTATION), "value": step_of(obj) or None}
    return [before, *({"op": "add", "path": pointer(key), "value": text} for key, text in texts.items())]


def pointer(annotation: str) -> str:
    return "/metadata/annotations/" + annotation.replace("~", "~0").replace("/", "~1")


def once(attempt: Attempt, obj: Json | None, request: Callable[[Json], Request]) -> Request | Result:
    """For a change that is one patch, which signs the object: done if it is signed, impossible if somebody else has signed it."""
    if obj is None:
        return Result(State.DROPPED, GONE)
    if attempt.wrote(step_of(obj)):
        return Result(State.DONE)
    if step_of(obj) != attempt.fence:
        return Result(State.DROPPED, OTHER_STEP)
    return request(obj)
