"""image: the next of the images that the pod names, on the live pod. The kubelet pulls it by itself; no template is touched."""

from __future__ import annotations

from collections.abc import Mapping

from agent.model import ContainerKind
from agent.model.diagnosis import Answer
from agent.model.recover import IMAGES_ANNOTATION_PREFIX, Action, Attempt, State
from agent.recover.actions.request import PatchPod, Request, Result, Seen, once, same_pod, signed
from agent.recover.asks import images_asked
from agent.recover.case import Case, Change
from agent.recover.subject import Json, container_in

MOST_IMAGE = 512  # characters, as those that a pod may name
UNCLEAR_S = 300.0  # an error that may pass is given that long


def plan(case: Case) -> Change | str:
    """Raises AskError."""
    pod, diagnosis = case.subject.pod, case.diagnosis
    found = case.subject.container(diagnosis.container or "")
    if diagnosis.container is None or diagnosis.kind is ContainerKind.EPHEMERAL or found is None:
        return "no container that can be changed"
    images = images_asked(pod.annotations, diagnosis.container)
    if not images:
        return f"the pod has no annotation {IMAGES_ANNOTATION_PREFIX}{diagnosis.container}"
    started = pod.status.start_unix_s
    if diagnosis.transient is Answer.PERHAPS and (started is None or case.now_unix_s - started < UNCLEAR_S):
        return "the image error may pass by itself"
    before = str(found[1].get("image") or "")
    if len(before) > MOST_IMAGE:
        return "the name of its image is too long"
    tried = {
        one.after
        for one in case.history.counted(case.subject.key, Action.IMAGE)
        if one.container == diagnosis.container and one.pod_uid == pod.uid and one.state is not State.DROPPED
    } | {before}
    for i, image in enumerate(images):
        if image not in tried:
            which = f"image {i + 2} of {len(images) + 1}"
            return Change(which, diagnosis.container, before, image, fence=case.subject.fence)
    return "all images that the pod names were tried"


def advance(attempt: Attempt, seen: Seen, status: str) -> Request | Result:
    return once(attempt, seen.pod, lambda pod: PatchPod(attempt.namespace, attempt.pod, _patch(attempt, pod, status)))


def _patch(attempt: Attempt, pod: Json, status: str) -> list[Mapping[str, object]]:
    return [*same_pod(attempt), *signed(pod, attempt.token, status), *_change(attempt, pod)]


def _change(attempt: Attempt, pod: Json) -> list[Mapping[str, object]]:
    found = container_in(pod, attempt.container)
    if found is None:
        return [{"op": "test", "path": "/spec", "value": None}]  # no such container: nothing may be written
    return [
        {"op": "test", "path": f"{found[0]}/name", "value": attempt.container},
        {"op": "test", "path": f"{found[0]}/image", "value": attempt.before},
        {"op": "replace", "path": f"{found[0]}/image", "value": attempt.after},
    ]
