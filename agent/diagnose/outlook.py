"""What Kubernetes will do about a failing container or pod: when it retries, or that it does not.

Sources: kubelet's kuberuntime (doBackOff: from the end of the last instance on, 10 s doubling to 5 min, reset after ten
minutes of running), KEP-4603 and KEP-5593 (a node may have other values: the status message shows the one in force),
KEP-753 (sidecars), KEP-5307 (a container's own restartPolicy and its rules), KEP-3850 (a Job's failures by index).
"""

from __future__ import annotations

import re

from agent.diagnose.case import At, Case
from agent.model import ContainerKind, Pod, PodContainer
from agent.model.diagnosis import NextStep, Will
from agent.wording.text import safe

LADDER_S = (10.0, 20.0, 40.0, 80.0, 160.0, 300.0)
BACK_OFF = re.compile(r"back-off ((?:[0-9]{1,6}(?:\.[0-9]{1,9})?(?:h|ms|m|s)){1,4}) restarting failed", re.IGNORECASE)
PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(h|ms|m|s)")
UNIT_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
OVER = ("Failed", "Succeeded")
LIMIT = "backoffLimit (default 6)"
RETRIED = NextStep(Will.RETRY, "the kubelet keeps retrying, about every 10 s to 1 min")
PULLED = NextStep(
    Will.PULL, "the kubelet retries the pull, after 10 s doubling to 5 min; the status does not show when"
)
BY_PLACE = {
    At.CREATING: NextStep(Will.WAIT, "the kubelet keeps trying"),
    At.SANDBOX: NextStep(Will.RETRY, "the kubelet makes another sandbox, again and again"),
    At.PULL: PULLED,
    At.PULL_BACK_OFF: PULLED,
    At.RUNNING: NextStep(Will.RUNS, "it keeps running and is not restarted: it has no liveness probe that could fail"),
}
PROBED = NextStep(Will.RUNS, "it keeps running; if its liveness or startup probe fails, the kubelet restarts it")
UNPULLABLE = NextStep(Will.RETRY, "the kubelet keeps checking, but that changes nothing")
BY_PHASE = {
    "Succeeded": NextStep(Will.NOTHING, "the pod has succeeded"),
    "Unknown": NextStep(
        Will.WAIT,
        "Kubernetes waits for the node; if it does not return, its pods are deleted after 5 min, unless they tolerate more",
    ),
}


def outlook(case: Case) -> NextStep:
    """The next step of any case."""
    if case.at is At.POD:
        return _of_pod(case.pod, case.pod.status.phase)
    if case.at in (At.START, At.CRASH, At.ENDED) and case.container is not None:
        return _ended(case, case.container)
    if case.at is At.RUNNING and case.restarted_by_probes:
        return PROBED
    if case.at is At.PULL and case.reason in ("ErrImageNeverPull", "InvalidImageName"):
        return UNPULLABLE
    return BY_PLACE.get(case.at, RETRIED)


def restarts(pod: Pod, one: PodContainer, exit_code: int | None) -> bool:
    """Whether the kubelet restarts this container after this exit code.

    First match of its own rules, its own policy, the pod's policy; sidecars always, debugging containers never.
    """
    if pod.status.phase in OVER or one.kind is ContainerKind.EPHEMERAL:
        return False
    if one.kind is ContainerKind.SIDECAR:
        return True
    if (action := _action(one, exit_code)) is not None:
        return action.startswith("Restart")
    policy = one.status.restart_policy or pod.status.restart_policy
    if policy == "Never":
        return False
    return exit_code != 0 or (policy == "Always" and one.kind is not ContainerKind.INIT)


def _action(one: PodContainer, exit_code: int | None) -> str | None:
    """Of the first of its restartPolicyRules that matches; None: none matches."""
    rules = one.status.restart_rules if exit_code is not None else ()
    return next((rule.action for rule in rules if (exit_code in rule.codes) is not rule.negated), None)


def span(seconds: float) -> str:
    """``35 s``, ``1 min 20 s``, ``2 h 5 min``."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "min")) if hours else ((minutes, "min"), (rest, "s"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number) or "0 s"


# --------------------------------------------------------------------------------------------------------------- containers


def _ended(case: Case, one: PodContainer) -> NextStep:
    if not restarts(case.pod, one, case.ended.exit_code):
        return _not_restarted(case, one)
    why = f"restartPolicy {safe(case.policy)}"
    if one.kind is ContainerKind.SIDECAR:
        why = "a sidecar is always restarted"
    elif _action(one, case.ended.exit_code) is not None:
        why = "its restartPolicyRules"
    counted = _counted(case.pod)
    if one.status.state.reason != "CrashLoopBackOff":
        text = f"the kubelet restarts it ({why}), first at once, then after 10 s doubling to 5 min"
        return NextStep(Will.RESTART, text + counted)
    shown = back_off_s(one.status.state.message)
    # Without a number: the first restart comes at once, then the delay doubles.
    wait_s = LADDER_S[max(0, min(one.status.restart_count, len(LADDER_S)) - 1)] if shown is None else shown
    due = case.ended.finished_unix_s + wait_s if case.ended.finished_unix_s is not None else None
    about = "about " if shown is None else ""
    text = f"the kubelet restarts it ({why}): back-off {about}{span(wait_s)}{_own_numbers(shown)}"
    return NextStep(Will.RESTART, text + _due_text(due, case.now_unix_s) + counted, wait_s, due)


def back_off_s(message: str) -> float | None:
    """Seconds in ``back-off 1m20s restarting failed container=…``, or None."""
    found = BACK_OFF.search(message)
    if found is None:
        return None
    return sum(float(number) * UNIT_S[unit] for number, unit in PART.findall(found[1].lower()))


def _own_numbers(shown: float | None) -> str:
    if shown is None:
        return ""
    if shown == LADDER_S[-1]:
        return ", the maximum"
    if shown in LADDER_S:
        return ", doubling to 5 min unless the node is configured otherwise"
    return ", from this node's configuration (crashLoopBackOff.maxContainerRestartPeriod, or reduced defaults)"


def _due_text(due_unix_s: float | None, now_unix_s: float) -> str:
    if due_unix_s is None:
        return "; the status does not show when the next try is due"
    left_s = due_unix_s - now_unix_s
    return f"; next try in {span(left_s)}" if left_s >= 1 else "; the next try is due now"


def _counted(pod: Pod) -> str:
    """A Job counts restarts where its pods are restarted in place."""
    controller = pod.status.controller
    if controller is None or controller.kind != "Job" or pod.status.restart_policy != "OnFailure":
        return ""
    used = sum(one.status.restart_count for one in pod.containers)
    return f"; each restart counts towards the {LIMIT} of Job {safe(controller.name, 253)}: {used} in this pod so far"


def _not_restarted(case: Case, one: PodContainer) -> NextStep:
    if one.kind is ContainerKind.EPHEMERAL:
        return NextStep(Will.NOTHING, "it is not restarted: debugging containers never are")
    text = "it is not restarted" + (f" (restartPolicy {safe(case.policy)})" if case.policy != "Always" else "")
    phase = case.pod.status.phase
    if phase not in OVER and one.kind is ContainerKind.REGULAR and len(case.pod.containers) > 1:
        return NextStep(Will.NOTHING, f"{text}; the other containers of the pod keep running")
    replaced = _of_pod(case.pod, "Succeeded" if phase == "Succeeded" else "Failed")
    return NextStep(replaced.will, f"{text}; {replaced.text}")


# --------------------------------------------------------------------------------------------------------------------- pods


def _of_pod(pod: Pod, phase: str) -> NextStep:
    """What follows a failed pod."""
    controller, failures = pod.status.controller, pod.status.index_failures
    if pod.config_hash is not None:
        return NextStep(Will.REPLACE, "the kubelet restarts static pods")
    if phase != "Failed":
        return BY_PHASE.get(phase, NextStep(Will.WAIT, "the status shows no next step"))
    if controller is None:
        return NextStep(Will.NOTHING, "no controller owns the pod, so it is not replaced")
    name = safe(controller.name, 253)
    if controller.kind != "Job":
        return NextStep(Will.REPLACE, f"{safe(controller.kind)} {name} creates another pod")
    before = "" if failures is None else f"; this index has failed {failures} times before"
    return NextStep(Will.REPLACE, f"Job {name} creates another pod until its {LIMIT} is used up{before}")
