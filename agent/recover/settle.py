"""How a step ended: a success only when the pod has stayed ready for a while. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from agent.model.diagnosis import Diagnosis
from agent.model.recover import Action, Attempt, Bounds, State
from agent.recover.actions.grow import QUICKEST_S, killed_unix_s, same
from agent.recover.case import Case
from agent.recover.circuits import OF_IMAGES
from agent.recover.subject import Subject, memory_in
from agent.recover.table import PRESSURE_RULE

GIVE_UP_S = 1800.0  # a pod that is not ready by then was not recovered
IN_FORCE_S = 300.0  # for a resize to be in force
RESTART_S = 300.0  # longer, while the container waits for its restart: the longest back-off of the kubelet
PULL_S = 300.0  # for an image to be pulled, if nothing is said about it
SEEN_S = 10.0  # until the watch shows what a step did
ON_THE_POD = (Action.GROW, Action.IMAGE)
SLACK_S = 2.0  # the API's times are whole seconds


def settled(attempt: Attempt, subjects: Iterable[Subject], bounds: Bounds, now_unix_s: float) -> Attempt | None:
    """The attempt with its result; None: it is not known yet. ``subjects``: the pods of its owner."""
    if now_unix_s < attempt.last_unix_s + SEEN_S:
        return None
    theirs = [one for one in subjects if shown_by(attempt, one)]
    state, why = _result(attempt, theirs, bounds, now_unix_s)
    return None if state is State.DONE else replace(attempt, state=state, result=why, changed_unix_s=now_unix_s)


def _result(attempt: Attempt, theirs: Sequence[Subject], bounds: Bounds, now_unix_s: float) -> tuple[State, str]:
    """The state, still DONE while nothing is known, and why."""
    if attempt.action in ON_THE_POD and not theirs:
        return State.FAILED, "the pod was removed, or asks no more"
    if attempt.action is Action.GROW and (why := _not_grown(attempt, theirs[0], now_unix_s)) is not None:
        return State.REFUSED, why
    for one in theirs:
        since = one.ready_since_unix_s()
        if since is None or (attempt.action is Action.GROW and not in_force(attempt, one)):
            continue
        if now_unix_s >= max(since, attempt.last_unix_s) + bounds.stable_s or one.pod.status.phase == "Succeeded":
            return State.SUCCEEDED, ""
    over = now_unix_s - attempt.last_unix_s >= GIVE_UP_S
    return (State.FAILED, "the pod did not stay ready") if over else (State.DONE, "")


def may_still_help(case: Case) -> bool:
    """Whether the failure is perhaps still that of before the last step on this pod: the kubelet shows it until the container runs."""
    name, uid = case.diagnosis.container, case.subject.pod.uid
    own = [one for one in case.history.of(case.subject.key) if one.state is State.DONE and one.action in ON_THE_POD]
    last = next((one for one in reversed(own) if one.pod_uid == uid and one.container == name), None)
    if last is None or case.diagnosis.rule == PRESSURE_RULE:
        return False
    if last.action is Action.IMAGE:
        unclear = case.diagnosis.category in OF_IMAGES and last.after not in case.diagnosis.message
        return unclear and case.now_unix_s < last.last_unix_s + PULL_S
    killed = killed_unix_s(case, last.container)
    return killed is None or killed < last.at_unix_s + QUICKEST_S


def about(attempt: Attempt, diagnosis: Diagnosis) -> bool:
    """Whether this failure may show that the attempt was of no help: a change of one container says nothing about another."""
    return attempt.action not in ON_THE_POD or attempt.container == diagnosis.container


def shown_by(attempt: Attempt, subject: Subject) -> bool:
    """Whether the pod shows what the step did: the same pod, or one that its owner has made since."""
    if subject.key != attempt.owner:
        return False
    if attempt.action in ON_THE_POD:
        return subject.pod.uid == attempt.pod_uid
    created = subject.created_unix_s()
    return subject.pod.uid != attempt.pod_uid and created is not None and created >= attempt.at_unix_s - SLACK_S


def in_force(attempt: Attempt, subject: Subject) -> bool:
    """Whether the kubelet has the new limit in force: not the spec's, but the status' resources count."""
    return same(memory_in(subject.status_of(attempt.container), "limits"), attempt.after)


def _not_grown(attempt: Attempt, subject: Subject, now_unix_s: float) -> str | None:
    """Why the kubelet does not resize the container; None: it may still, or has."""
    if in_force(attempt, subject):
        return None
    pending = subject.pod.status.condition("PodResizePending")
    if pending is not None and pending.status == "True" and pending.reason in ("Deferred", "Infeasible"):
        return f"the resize is {pending.reason}: {pending.message}"
    item = subject.container(attempt.container)
    limit = memory_in(item[1], "limits") if item is not None else None
    if not same(limit, attempt.after):
        return f"something changed the limit {'back ' if limit == attempt.before else ''}to {limit or 'none'}"
    one = subject.pod.container(attempt.container)
    wait_s = IN_FORCE_S + (0.0 if one is not None and one.running else RESTART_S)
    if now_unix_s - attempt.last_unix_s >= wait_s:
        going = subject.pod.status.condition("PodResizeInProgress")
        message = f": {going.message}" if going is not None else ""
        return f"the new limit is not in force after {wait_s / 60:.0f} minutes{message}"
    return None
