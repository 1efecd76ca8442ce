"""Fuzz target for pods as the API tells of them: any bytes as JSON, and what is decided and shown by what is read of it."""

from __future__ import annotations

from unicodedata import category

from agent.kube.api import decoded
from agent.model import ContainerKind, Mode, Pod, Rules
from agent.modes.policy import MOST_INVALID, candidates, decide, invalid_modes
from agent.modes.tolerance import invalid_tolerances, tolerance_of
from agent.pods.parse import UnreadablePodError, parse_pod
from agent.wording.notes import mode_invalid_note

RULES = Rules()
MOST_NOTE_BYTES = 1024
HARMFUL = ("Cc", "Cf", "Cs", "Zl", "Zp")


def check(data: bytes) -> None:
    """A Pod, or a sentence that says what is wrong, and nothing else."""
    try:
        obj = decoded(data)
    except ValueError:
        return
    try:
        _check_pod(parse_pod(obj))
    except UnreadablePodError as error:
        if not str(error):
            raise AssertionError("it does not say what is wrong") from error


def _check_pod(pod: Pod) -> None:
    if not (pod.uid and pod.namespace and pod.name):
        raise AssertionError(f"nobody's pod: {pod}")
    for container in pod.containers:
        if container.kind not in list(ContainerKind) or not 0 < (container.limit_bytes or 1) < 1 << 63:
            raise AssertionError(f"no container: {container}")
        decision = decide(pod, container.name, RULES)
        if decision.mode is not None and not isinstance(decision.mode, Mode):
            raise AssertionError(f"no mode: {decision}")
        tolerance = tolerance_of(pod, container.name, RULES)
        if tolerance is not None and (tolerance.kills < 0 or tolerance.window_s <= 0):
            raise AssertionError(f"no tolerance: {tolerance}")
    candidates(pod, (), 64 << 20)
    wishes = (*invalid_modes(pod, RULES), *invalid_tolerances(pod, RULES))
    if len(wishes) > 2 * MOST_INVALID + 1:
        raise AssertionError(f"{len(wishes)} bad wishes are told of one pod")
    for wish in wishes:
        note = mode_invalid_note(wish)
        if len(note.encode()) > MOST_NOTE_BYTES or any(category(char) in HARMFUL for char in note):
            raise AssertionError(f"a note that is too long, or moves the cursor: {note!r}")
