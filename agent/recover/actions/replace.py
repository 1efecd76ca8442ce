"""replace and retry: the pod is evicted, so that its controller makes another; a pod without a controller is made again first.

The new pod is created before the old one goes, under a name that follows from the attempt: a kill in between loses no pod, and a
second create is a conflict. An eviction has the old pod's uid as its precondition, and respects disruption budgets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.model import ContainerKind
from agent.model.diagnosis import Answer
from agent.model.recover import (
    OPTIONAL_INIT_ANNOTATION,
    REPLACES_ANNOTATION,
    STATUS_ANNOTATION,
    STEP_ANNOTATION,
    Action,
    Attempt,
    State,
)
from agent.recover.actions.request import GONE, CreatePod, Evict, Request, Result, Seen
from agent.recover.asks import optional_inits
from agent.recover.case import Case, Change
from agent.recover.subject import Json, of_gitops, step_of

MOST_NAME = 200  # characters of the first pod's name in that of a replacement; a name may have 253
OF_API = ("name", "namespace", "labels", "annotations")  # all of the metadata that a new pod takes over
TOKEN_PREFIX = "kube-api-access-"  # the volume that admission adds, and adds again
MAKING = (Action.REPLACE, Action.RETRY)
ENDED = ("Failed", "Succeeded")


def plan_replace(case: Case) -> Change | str:
    """Without the init container that fails, if the pod calls it optional; or the same again, where that may help."""
    left_out, controller = _left_out(case), case.subject.controller
    if not left_out and case.diagnosis.kind is ContainerKind.INIT:
        return f"the pod does not call init container {case.diagnosis.container} optional ({OPTIONAL_INIT_ANNOTATION})"
    if not left_out:
        return _again(case, "another pod")
    if controller is not None:
        return f"the pod's {controller.kind} would make it with init container {left_out} again"
    return _not_ours(case) or _change(case, f"a pod without init container {left_out}", left_out)


def plan_retry(case: Case) -> Change | str:
    """The same once more."""
    return _again(case, "a new pod")


def _again(case: Case, what: str) -> Change | str:
    controller = case.subject.controller
    if case.diagnosis.retry_helps is Answer.NO:
        return "the same pod would fail again"
    if controller is not None and case.subject.pod.status.phase in ENDED:
        return f"its {controller.kind} replaces it"
    return _not_ours(case) or _change(case, what)


def _not_ours(case: Case) -> str | None:
    """Why a pod without a controller is not made again, or not once more: while it can't be evicted, each time would leave a pod behind."""
    subject = case.subject
    own = (one for one in case.history.of(subject.key) if one.action in MAKING and one.pod_uid == subject.pod.uid)
    if any(one.after and one.state in (State.DROPPED, State.REFUSED) for one in own):
        return "it was made again already, or that was refused"
    if subject.controller is None and of_gitops(subject.raw):
        return "the pod belongs to a GitOps tool, which would make it too"
    return f"the pod is owned by a {subject.other_owner}, which does not control it" if subject.other_owner else None


def _left_out(case: Case) -> str:
    """The optional init container that this failure is about, "" for none; the first optional one if it is about the pod."""
    optional = optional_inits(case.subject.pod.annotations)
    names = [one.name for one in case.subject.pod.containers if one.kind is ContainerKind.INIT and one.name in optional]
    if case.diagnosis.container is None:
        said = f"{case.diagnosis.what} {case.diagnosis.message}"
        return next((name for name in names if name in said), names[0] if names else "")
    return case.diagnosis.container if case.diagnosis.container in names else ""


def _change(case: Case, what: str, left_out: str = "") -> Change:
    """``after`` is the beginning of the replacement's name; "": its controller names it."""
    first = (
        case.subject.owner.name
        if case.subject.controller is None and case.subject.owner.kind == "Pod"
        else case.subject.pod.name
    )
    after = "" if case.subject.controller is not None else first[:MOST_NAME].rstrip("-.")
    return Change(what, case.diagnosis.container or "", case.subject.pod.name, after, left_out)


def replacement_name(attempt: Attempt) -> str:
    """The name of the new pod, "" if its controller makes it."""
    return f"{attempt.after}-r{attempt.number}" if attempt.after else ""


def advance(attempt: Attempt, seen: Seen, status: str) -> Request | Result:
    if replacement_name(attempt):
        if seen.replacement is None:
            body = None if seen.pod is None else replacement(attempt, seen.pod, status)
            return Result(State.DROPPED, GONE) if body is None else CreatePod(attempt.namespace, body)
        if not attempt.wrote(step_of(seen.replacement)):
            return Result(State.REFUSED, f"there is a pod {replacement_name(attempt)} already")
    if seen.pod is None or seen.pod["metadata"].get("deletionTimestamp"):
        return Result(State.DONE)
    return Evict(attempt.namespace, attempt.pod, attempt.pod_uid)


def replacement(attempt: Attempt, pod: Json, status: str) -> dict[str, Any]:
    """The same pod again: what the API and the scheduler have added is left out."""
    metadata: Mapping[str, Any] = pod["metadata"]
    own = {key: metadata[key] for key in OF_API if key in metadata}
    signature = {STEP_ANNOTATION: attempt.token, STATUS_ANNOTATION: status, REPLACES_ANNOTATION: attempt.after}
    spec = {key: value for key, value in pod["spec"].items() if key not in ("nodeName", "ephemeralContainers")}
    spec["volumes"] = [one for one in spec.get("volumes") or [] if not one["name"].startswith(TOKEN_PREFIX)]
    for field in ("initContainers", "containers"):
        if field in spec:
            spec[field] = [_without_token(one) for one in spec[field] if one["name"] != attempt.left_out]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            **own,
            "name": replacement_name(attempt),
            "annotations": {**(own.get("annotations") or {}), **signature},
        },
        "spec": spec,
    }


def _without_token(container: Json) -> dict[str, Any]:
    mounts = [one for one in container.get("volumeMounts") or [] if not one["name"].startswith(TOKEN_PREFIX)]
    return {**container, "volumeMounts": mounts}
