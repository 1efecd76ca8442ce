"""What Kubernetes will do about a failing container or pod: when it retries, or that it does not. Pure.

Sources: kubelet's kuberuntime (doBackOff: from the end of the last instance on, 10 s doubling to 5 min, reset after ten
minutes of running), KEP-4603 and KEP-5593 (a node may have other values: the status message shows the one in force),
KEP-753 (sidecars), KEP-5307 (a container's own restartPolicy and its rules), KEP-3850 (a Job's failures by index).
"""

from __future__ import annotations

import re

from agent.diagnose.case import At, Case
from agent.model import ContainerKind, Pod, PodContainer
from agent.model.diagnosis import NextStep, Will
from agent.model.status import Controller
from agent.wording.text import safe

FIRST_S, MOST_S = 10.0, 300.0
LADDER_S = (10.0, 20.0, 40.0, 80.0, 160.0, 300.0)
BACK_OFF = re.compile(r"back-off ((?:[0-9]{1,6}(?:\.[0-9]{1,9})?(?:h|ms|m|s)){1,4}) restarting failed", re.IGNORECASE)
PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(h|ms|m|s)")
UNIT_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
OVER = ("Failed", "Succeeded")
UNPULLABLE = ("ErrImageNeverPull", "InvalidImageName")
STAYS = "the status shows no next step"
AS_IT_IS = {
    "Succeeded": "the pod has succeeded",
    "Unknown": "Kubernetes waits for the node; if it does not return, its pods are deleted after 5 min, unless they tolerate more",
}
LIMIT = "backoffLimit (default 6)"


def outlook(case: Case) -> NextStep:
    """The next step of any case."""
    match case.at:
        case At.POD:
            return _of_pod(case.pod, case.pod.status.phase)
        case At.RUNNING:
            return _running(case)
        case At.CREATING:
            return NextStep(Will.WAIT, "the kubelet keeps trying")
        case At.PULL | At.PULL_BACK_OFF:
            return _pull(case)
        case At.CONFIG | At.CREATE | At.WAITING:
            return NextStep(Will.RETRY, "the kubelet keeps retrying, about every 10 s to 1 min")
        case At.START | At.CRASH | At.ENDED:
            return _ended(case)


def restarts(pod: Pod, one: PodContainer, exit_code: int | None) -> bool:
    """Whether the kubelet restarts this container after this exit code.

    First match of its own rules, its own policy, the pod's policy; sidecars always, debugging containers never.
    """
    if pod.status.phase in OVER or one.kind is ContainerKind.EPHEMERAL:
        return False
    if one.kind is ContainerKind.SIDECAR:
        return True
    for rule in one.status.restart_rules:
        if exit_code is not None and (exit_code in rule.codes) is not rule.negated:
            return rule.action.startswith("Restart")
    policy = one.status.restart_policy or pod.status.restart_policy
    if policy == "Never":
        return False
    return exit_code != 0 or (policy == "Always" and one.kind is not ContainerKind.INIT)


def span(seconds: float) -> str:
    """``35 s``, ``1 min 20 s``, ``2 h 5 min``."""
    whole = max(0, round(seconds))
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    if hours:
        return f"{hours} h" + (f" {minutes} min" if minutes else "")
    if minutes:
        return f"{minutes} min" + (f" {rest} s" if rest else "")
    return f"{rest} s"


# --------------------------------------------------------------------------------------------------------------- containers


def _running(case: Case) -> NextStep:
    probes = case.container.status.probes if case.container is not None else frozenset()
    if probes & {"liveness", "startup"}:
        return NextStep(Will.RUNS, "it keeps running; if its liveness or startup probe fails, the kubelet restarts it")
    return NextStep(Will.RUNS, "it keeps running and is not restarted: it has no liveness probe that could fail")


def _pull(case: Case) -> NextStep:
    if case.reason in UNPULLABLE:
        return NextStep(Will.RETRY, "the kubelet keeps checking, but that changes nothing")
    return NextStep(
        Will.PULL,
        "the kubelet retries the pull, after 10 s doubling to 5 min; the status does not show when",
    )


def _ended(case: Case) -> NextStep:
    one, code = case.container, case.ended.exit_code
    if one is None or not restarts(case.pod, one, code):
        return _not_restarted(case)
    why = _reason(case, one)
    if case.at is not At.CRASH and case.reason != "CrashLoopBackOff":
        text = f"the kubelet restarts it ({why}), first at once, then after 10 s doubling to 5 min"
        return NextStep(Will.RESTART, text + _counted(case.pod))
    shown = back_off_s(one.status.state.message)
    wait_s = shown if shown is not None else _estimated_s(one.status.restart_count)
    due = case.ended.finished_unix_s + wait_s if case.ended.finished_unix_s is not None else None
    about = "" if shown is not None else "about "
    text = f"the kubelet restarts it ({why}): back-off {about}{span(wait_s)}{_own_numbers(shown)}"
    return NextStep(Will.RESTART, text + _due_text(due, case.now_unix_s) + _counted(case.pod), wait_s, due)


def back_off_s(message: str) -> float | None:
    """Seconds in ``back-off 1m20s restarting failed container=…``, or None."""
    found = BACK_OFF.search(message)
    if found is None:
        return None
    return sum(float(number) * UNIT_S[unit] for number, unit in PART.findall(found[1].lower()))


def _estimated_s(restart_count: int) -> float:
    """The first restart comes at once; then 10 s, doubling."""
    return float(min(MOST_S, FIRST_S * 2 ** min(20, max(0, restart_count - 1))))


def _own_numbers(shown: float | None) -> str:
    if shown is None:
        return ""
    if shown == MOST_S:
        return ", the maximum"
    if shown in LADDER_S:
        return ", doubling to 5 min unless the node is configured otherwise"
    return ", from this node's configuration (crashLoopBackOff.maxContainerRestartPeriod, or reduced defaults)"


def _due_text(due_unix_s: float | None, now_unix_s: float) -> str:
    if due_unix_s is None:
        return "; the status does not show when the next try is due"
    left_s = due_unix_s - now_unix_s
    return f"; next try in {span(left_s)}" if left_s >= 1 else "; the next try is due now"


def _reason(case: Case, one: PodContainer) -> str:
    if one.kind is ContainerKind.SIDECAR:
        return "a sidecar is always restarted"
    if one.status.restart_rules:
        return "its restartPolicyRules"
    return f"restartPolicy {safe(one.status.restart_policy or case.pod.status.restart_policy)}"


def _counted(pod: Pod) -> str:
    """A Job counts restarts where its pods are restarted in place."""
    controller = pod.status.controller
    if controller is None or controller.kind != "Job" or pod.status.restart_policy != "OnFailure":
        return ""
    used = sum(one.status.restart_count for one in pod.containers)
    return f"; each restart counts towards the {LIMIT} of Job {safe(controller.name, 253)}: {used} in this pod so far"


def _not_restarted(case: Case) -> NextStep:
    pod, one = case.pod, case.container
    if one is not None and one.kind is ContainerKind.EPHEMERAL:
        return NextStep(Will.NOTHING, "it is not restarted: debugging containers never are")
    policy = (one.status.restart_policy if one is not None else "") or pod.status.restart_policy
    text = "it is not restarted" + (f" (restartPolicy {safe(policy)})" if policy != "Always" else "")
    if pod.status.phase not in OVER:
        goes_on = one is not None and one.kind is ContainerKind.REGULAR and len(pod.containers) > 1
        if goes_on:
            return NextStep(Will.NOTHING, f"{text}; the other containers of the pod keep running")
    replaced = _of_pod(pod, "Succeeded" if pod.status.phase == "Succeeded" else "Failed")
    return NextStep(replaced.will, f"{text}; {replaced.text}")


# --------------------------------------------------------------------------------------------------------------------- pods


def _of_pod(pod: Pod, phase: str) -> NextStep:
    """What follows a failed pod."""
    if pod.config_hash is not None:
        return NextStep(Will.REPLACE, "the kubelet restarts static pods")
    if phase != "Failed":
        return NextStep(Will.NOTHING if phase == "Succeeded" else Will.WAIT, AS_IT_IS.get(phase, STAYS))
    if pod.status.controller is None:
        return NextStep(Will.NOTHING, "no controller owns the pod, so it is not replaced")
    return NextStep(Will.REPLACE, _replaced_by(pod.status.controller, pod.status.index_failures))


def _replaced_by(controller: Controller, index_failures: int | None) -> str:
    name = safe(controller.name, 253)
    if controller.kind != "Job":
        return f"{safe(controller.kind)} {name} creates another pod"
    before = "" if index_failures is None else f"; this index has failed {index_failures} times before"
    return f"Job {name} creates another pod until its {LIMIT} is used up{before}"
