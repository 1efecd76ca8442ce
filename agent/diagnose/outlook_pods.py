"""What Kubernetes will do about a pod as a whole: one that is over, has no node, or waits for a resize.

Sources: controllers replace pods that are over (pkg/controller: IsPodActive in replicaset, daemon, statefulset), Jobs only
failed ones; KEP-3850 (a Job's failures by index); pkg/scheduler/backend/queue (a pod is tried again after at most 5 min);
KEP-1287 (resizes); KEP-5532 (RestartAllContainers).
"""

from __future__ import annotations

from agent.diagnose.case import ALL_RESTARTING, SCHEDULED, At, Case
from agent.model import Pod
from agent.model.diagnosis import NextStep, Will
from agent.wording.text import count, safe

REPLACED = ("ReplicaSet", "ReplicationController", "StatefulSet", "DaemonSet")  # also where a pod has succeeded
LIMIT = "backoffLimit (default 6)"
RESIZES = {
    "Deferred": NextStep(Will.RETRY, "the kubelet resizes the pod as soon as the node has room for it"),
    "Infeasible": NextStep(
        Will.NOTHING, "the kubelet never does this resize; the pod keeps running with the limits in force"
    ),
}
RESIZING = NextStep(Will.RETRY, "the kubelet keeps trying; the limits in force are those in the status")
UNSEEN = NextStep(Will.WAIT, "the pod waits until the kubelet of its node starts it")
UNSCHEDULED = NextStep(Will.WAIT, "the scheduler tries again when the cluster changes, and at least every 5 min")
GATED = NextStep(Will.WAIT, "the scheduler does not look at it until its schedulingGates are removed")
UNOFFERED = NextStep(Will.WAIT, "nothing, until a scheduler looks at it")
TERMINATING = NextStep(
    Will.WAIT, "the pod is removed once its kubelet reports that its containers ended, and its finalizers are gone"
)
RESTARTED = NextStep(Will.RESTART, "the kubelet starts all its containers again, init containers first")
BY_PHASE = {
    "Running": NextStep(Will.RUNS, "the pod keeps running"),
    "Succeeded": NextStep(Will.NOTHING, "the pod has succeeded"),
    "Unknown": NextStep(
        Will.WAIT,
        "Kubernetes waits for the node; if it does not return, its pods are deleted after 5 min, unless they tolerate more",
    ),
}


def of_whole(case: Case) -> NextStep:
    """The next step of a case that is about a whole pod, except for one that is being created."""
    if case.at is At.TERMINATING:
        return TERMINATING
    if case.at is At.RESIZE:
        return RESIZES.get(case.reason, RESIZING)
    if case.at is At.SCHEDULING:
        return _of_scheduling(case.pod)
    return of_pod(case.pod, case.pod.status.phase)


def _of_scheduling(pod: Pod) -> NextStep:
    condition = pod.status.condition(SCHEDULED)
    if condition is None:
        return UNSEEN if pod.node_name else UNOFFERED
    if condition.status == "True":
        return UNSEEN
    return GATED if condition.reason == "SchedulingGated" else UNSCHEDULED


def of_pod(pod: Pod, phase: str) -> NextStep:
    """What follows a failed pod."""
    controller, failures = pod.status.controller, pod.status.index_failures
    if pod.config_hash is not None or (controller is not None and controller.kind == "Node"):
        return NextStep(Will.REPLACE, "the kubelet restarts static pods")
    restarting = pod.status.condition(ALL_RESTARTING)
    if restarting is not None and restarting.status == "True":
        return RESTARTED
    replaced = controller is not None and controller.kind in REPLACED
    if phase != "Failed" and not (phase == "Succeeded" and replaced):
        return BY_PHASE.get(phase, NextStep(Will.WAIT, "the status shows no next step"))
    if controller is None:
        return NextStep(Will.NOTHING, "no controller owns the pod, so it is not replaced")
    name = safe(controller.name, 253)
    if controller.kind != "Job":
        return NextStep(Will.REPLACE, f"{safe(controller.kind)} {name} creates another pod")
    before = "" if failures is None else f"; this index has failed {count(failures, 'time')} before"
    return NextStep(Will.REPLACE, f"Job {name} creates another pod until its {LIMIT} is used up{before}")
