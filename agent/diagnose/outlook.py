"""What Kubernetes will do about a failing container or pod: when it retries, or that it does not.

Sources: kubelet's kuberuntime (doBackOff: from the end of the last instance on, 10 s doubling to 5 min, reset after ten
minutes of running), KEP-4603 and KEP-5593 (a node may have other values: the status message shows the one in force),
KEP-753 (sidecars), KEP-5307 and KEP-5532 (a container's own restartPolicy and its rules; ContainerShouldRestart in
pkg/api/v1/pod/util.go, ShouldAllContainersRestart in pkg/kubelet/container/helpers.go), computeInitContainerActions in
kuberuntime_container.go, isInitContainerFailed in kuberuntime_helpers.go (1.23 to 1.36).
"""

from __future__ import annotations

import re

from agent.diagnose.case import OOM_KILLED, OVER, At, Case
from agent.diagnose.outlook_pods import LIMIT, of_pod, of_whole
from agent.model import ContainerKind, Pod, PodContainer
from agent.model.diagnosis import NextStep, Will
from agent.model.status import ContainerState, Phase
from agent.wording.text import safe

LADDER_S = (10.0, 20.0, 40.0, 80.0, 160.0, 300.0)
BACK_OFF = re.compile(r"back-off ((?:[0-9]{1,6}(?:\.[0-9]{1,9})?(?:h|ms|m|s)){1,4}) restarting failed", re.IGNORECASE)
PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(h|ms|m|s)")
UNIT_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
RESTARTS = ("Restart", "RestartAllContainers")
RETRIED = NextStep(Will.RETRY, "the kubelet keeps retrying, about every 10 s to 1 min")
PULLED = NextStep(
    Will.PULL, "the kubelet retries the pull, after 10 s doubling to 5 min; the status does not show when"
)
BY_PLACE = {
    At.CREATING: NextStep(Will.WAIT, "the kubelet keeps trying"),
    At.SANDBOX: NextStep(Will.RETRY, "the kubelet makes another sandbox, again and again"),
    At.PULL: PULLED,
    At.PULL_BACK_OFF: PULLED,
}
UNPROBED = NextStep(Will.RUNS, "it keeps running and is not restarted: it has no liveness probe that could fail")
PROBED = NextStep(Will.RUNS, "it keeps running; if its liveness or startup probe fails, the kubelet restarts it")
UNPULLABLE = NextStep(Will.RETRY, "the kubelet keeps checking, but that changes nothing")


def outlook(case: Case) -> NextStep:
    """The next step of any case."""
    if case.at in (At.POD, At.SCHEDULING, At.RESIZE):
        return of_whole(case)
    if case.at in (At.START, At.CRASH, At.ENDED) and case.container is not None:
        return _ended(case, case.container)
    if case.at is At.RUNNING:
        return _running(case)
    if case.at is At.PULL and case.reason in ("ErrImageNeverPull", "InvalidImageName"):
        return UNPULLABLE
    return BY_PLACE.get(case.at, RETRIED)


def restarts(pod: Pod, one: PodContainer, ended: ContainerState) -> bool:
    """Whether the kubelet restarts this container after this end.

    First match of its own rules, its own policy, the pod's policy; sidecars always, debugging containers never. In the back-off it does.
    """
    if pod.status.phase in OVER or one.kind is ContainerKind.EPHEMERAL:
        return False
    if one.kind is ContainerKind.SIDECAR or in_back_off(one) or _action(one, ended.exit_code) is not None:
        return True
    policy = one.status.restart_policy or pod.status.restart_policy
    if policy == "Never":
        return False
    if one.kind is ContainerKind.INIT:
        return not initialized(pod) and (ended.exit_code != 0 or ended.reason == OOM_KILLED)
    return ended.exit_code != 0 or policy == "Always"


def initialized(pod: Pod) -> bool:
    """Whether a regular container has started: from then on init containers are not run again (computeInitContainerActions)."""
    started = (Phase.RUNNING, Phase.TERMINATED)
    return any(one.kind is ContainerKind.REGULAR and one.status.state.phase in started for one in pod.containers)


def in_back_off(one: PodContainer) -> bool:
    """Whether the kubelet waits before it restarts this container."""
    return one.status.state.phase is Phase.WAITING and one.status.state.reason == "CrashLoopBackOff"


def _action(one: PodContainer, exit_code: int | None) -> str | None:
    """Of the first of its restartPolicyRules that matches; None: none matches, or the kubelet ignores the action."""
    rules = one.status.restart_rules if exit_code is not None else ()
    action = next((rule.action for rule in rules if (exit_code in rule.codes) is not rule.negated), None)
    return action if action in RESTARTS else None


def span(seconds: float) -> str:
    """``35 s``, ``1 min 20 s``, ``2 h 5 min``."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "min")) if hours else ((minutes, "min"), (rest, "s"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number) or "0 s"


# --------------------------------------------------------------------------------------------------------------- containers


def _ended(case: Case, one: PodContainer) -> NextStep:
    if not restarts(case.pod, one, case.ended):
        return _not_restarted(case, one)
    why, counted = _why(case, one), _counted(case.pod)
    if _action(one, case.ended.exit_code) == "RestartAllContainers":
        text = f"the kubelet restarts all containers of the pod, init containers too ({why}: RestartAllContainers)"
        return NextStep(Will.RESTART, text + counted)
    if not in_back_off(one):
        text = f"the kubelet starts it again ({why}), first at once, then after 10 s doubling to 5 min"
        return NextStep(Will.RESTART, text + counted)
    shown = back_off_s(one.status.state.message)
    # Without a number: the first restart comes at once, then the delay doubles.
    wait_s = LADDER_S[max(0, min(one.status.restart_count, len(LADDER_S)) - 1)] if shown is None else shown
    due = case.ended.finished_unix_s + wait_s if case.ended.finished_unix_s is not None else None
    about = "about " if shown is None else ""
    text = f"the kubelet restarts it by itself ({why}): back-off {about}{span(wait_s)}{_own_numbers(shown)}"
    return NextStep(Will.RESTART, text + _due_text(due, case.now_unix_s) + counted, wait_s, due)


def _why(case: Case, one: PodContainer) -> str:
    """What makes the kubelet restart it."""
    if _action(one, case.ended.exit_code) is not None:
        return "its restartPolicyRules"
    return (
        "a sidecar is always restarted" if one.kind is ContainerKind.SIDECAR else f"restartPolicy {safe(case.policy)}"
    )


def _running(case: Case) -> NextStep:
    """A container that lost a process and lives on is not restarted; one that was restarted before is again when it ends."""
    one = case.container
    if one is not None and case.ended_recently and not case.lost and restarts(case.pod, one, case.ended):
        text = (
            f"it keeps running; the kubelet restarted it by itself ({_why(case, one)}), and does so after each such end"
        )
        return NextStep(Will.RUNS, text)
    return PROBED if case.restarted_by_probes else UNPROBED


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
    if one.kind is ContainerKind.INIT and case.pod.status.phase not in OVER and initialized(case.pod):
        return NextStep(
            Will.NOTHING, "it is not restarted: the pod is initialised, and its other containers were started"
        )
    text = "it is not restarted" + (f" (restartPolicy {safe(case.policy)})" if case.policy != "Always" else "")
    phase = case.pod.status.phase
    if phase not in OVER and one.kind is ContainerKind.REGULAR and len(case.pod.containers) > 1:
        return NextStep(Will.NOTHING, f"{text}; the other containers of the pod keep running")
    replaced = of_pod(case.pod, "Succeeded" if phase == "Succeeded" else "Failed")
    return NextStep(replaced.will, f"{text}; {replaced.text}")
