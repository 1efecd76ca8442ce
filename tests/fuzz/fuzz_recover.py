"""Fuzz target for recovery: any bytes as a pod that asks, in an opened namespace, and what is planned and asked of the API for it.

The bytes are JSON: keys of a pod that replace those of one whose image can't be had. Whatever it says, a step is of a known action,
its patch tests the pod's uid and the value before it changes anything, and it changes only what that action may change.
"""

from __future__ import annotations

import copy
import re

from agent.kube.api import decoded
from agent.model.recover import Action, Step
from agent.pods.parse import UnreadablePodError
from agent.recover.actions import fail, grow, image
from agent.recover.actions.request import PatchPod, Result, Seen
from agent.recover.asks import AskError
from tests.unit.recover.pods import Json, no_image, planned

PLAIN = {Action.IMAGE: image.advance, Action.GROW: grow.advance, Action.FAIL: fail.advance}
MAY_CHANGE = {
    Action.IMAGE: re.compile(r"/spec/(containers|initContainers)/\d+/image"),
    Action.GROW: re.compile(r"/spec/(containers|initContainers)/\d+/resources(/(limits|requests)/memory)?"),
    Action.FAIL: re.compile(r"/spec/activeDeadlineSeconds"),
}
SIGNATURE = re.compile(r"/metadata/annotations(/recover\.oomward\.dev~1(status|step))?")
MOST_DEPTH = 3


def check(data: bytes) -> None:
    """Plan, and look at the first request."""
    try:
        given = decoded(data)
    except ValueError:
        return
    if not isinstance(given, dict):
        return
    raw = _merged(no_image(), given, MOST_DEPTH)
    try:
        found = planned(raw)
    except (UnreadablePodError, AskError) as error:
        if not str(error):
            raise AssertionError("it does not say what is wrong") from error
        return
    if isinstance(found, Step):
        _check_step(found, raw)
    elif not found.why:
        raise AssertionError("nothing is done, and nothing says why")


def _check_step(step: Step, raw: Json) -> None:
    attempt = step.attempt
    if not 1 <= step.nth <= step.of or not attempt.cause:
        raise AssertionError(f"no step: {step}")
    if (advance := PLAIN.get(attempt.action)) is None:
        return
    request = advance(attempt, Seen(raw), "status")
    if isinstance(request, Result):
        return
    if not isinstance(request, PatchPod):
        raise AssertionError(f"{attempt.action} asks for {request}")
    tests = [one["path"] for one in request.patch if one["op"] == "test"]
    changes = [str(one["path"]) for one in request.patch if one["op"] != "test"]
    if "/metadata/uid" not in tests or request.patch[0]["op"] != "test":
        raise AssertionError(f"a patch without the uid as its first condition: {request.patch}")
    strange = [p for p in changes if not (MAY_CHANGE[attempt.action].fullmatch(p) or SIGNATURE.fullmatch(p))]
    if strange:
        raise AssertionError(f"{attempt.action} changes {strange}")


def _merged(before: Json, given: Json, depth: int) -> Json:
    """``before`` with the keys of ``given``; objects are merged down to a depth."""
    found = copy.copy(before)
    for key, value in given.items():
        old = found.get(key)
        found[key] = (
            _merged(old, value, depth - 1) if depth and isinstance(old, dict) and isinstance(value, dict) else value
        )
    return found
