"""fail: a scheduled pod that can never start gets a deadline in the past, so that its controller's own retries begin."""

from __future__ import annotations

from collections.abc import Mapping

from agent.model.diagnosis import Answer
from agent.model.recover import Attempt
from agent.model.status import Phase
from agent.recover.actions.request import PatchPod, Request, Result, Seen, once, same_pod, signed
from agent.recover.case import Case, Change
from agent.recover.subject import Json

# What makes another pod when one fails, a bounded number of times.
RETRYING = ("Job", "TaskRun", "Workflow", "Workload", "CustomRun")
PATIENCE_S = 300.0  # for somebody who corrects what is missing: each failure costs one of the controller's retries
DEADLINE_S = 1  # the least that the API takes; it counts from the pod's start time


def plan(case: Case) -> Change | str:
    """Whether it never started and never will."""
    pod, controller = case.subject.pod, case.subject.controller
    if controller is None or controller.kind not in RETRYING:
        return "nothing retries a pod of this kind when it fails"
    if not pod.node_name or pod.status.start_unix_s is None:
        return "the pod is not scheduled"
    if pod.status.phase != "Pending" or any(_has_run(one.status.last.phase, one.running) for one in pod.containers):
        return "a container has run already"
    if case.diagnosis.retry_helps is not Answer.NO or case.now_unix_s - pod.status.start_unix_s < PATIENCE_S:
        return "the pod may still start"
    if pod.status.deadline_s is not None and pod.status.deadline_s <= DEADLINE_S:
        return "its deadline is over already"
    before = "" if pod.status.deadline_s is None else str(pod.status.deadline_s)
    return Change(f"a retry by its {controller.kind}", before=before, fence=case.subject.fence)


def _has_run(last: Phase, running: bool) -> bool:
    return running or last is not Phase.NONE


def advance(attempt: Attempt, seen: Seen, status: str) -> Request | Result:
    return once(attempt, seen.pod, lambda pod: PatchPod(attempt.namespace, attempt.pod, _patch(attempt, pod, status)))


def _patch(attempt: Attempt, pod: Json, status: str) -> list[Mapping[str, object]]:
    return [
        *same_pod(attempt),
        {"op": "test", "path": "/status/phase", "value": "Pending"},
        *signed(pod, attempt.token, status),
        {"op": "add", "path": "/spec/activeDeadlineSeconds", "value": DEADLINE_S},
    ]
