"""From a pod's status, the cases to judge: the whole pod, its scheduling, its resize, and each container that may have a problem."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from agent.diagnose.case import (
    DISRUPTED,
    HOUR_S,
    LONG_S,
    NO_FACTS,
    NOT_STARTED,
    OOM_KILLED,
    OVER,
    RESIZES,
    SCHEDULED,
    SLACK_S,
    WAITS,
    At,
    Case,
    not_its_own,
)
from agent.model import ContainerKind, OomKill, Pod, PodContainer
from agent.model.diagnosis import NodeFacts
from agent.model.status import ContainerState, Phase, PodCondition


def pod_case(pod: Pod, now_unix_s: float) -> Case:
    """The whole pod: its reason, or that of its disruption if it is over without one.

    The kubelet can lose the reason of an eviction, and sets the phase Succeeded if all containers end with code 0 (kubernetes
    issue 105467).
    """
    reason, message = pod.status.reason, pod.status.message
    disrupted = pod.status.condition(DISRUPTED)
    if not reason and pod.status.phase in OVER and disrupted is not None and disrupted.status == "True":
        reason, message = disrupted.reason, disrupted.message
    messages = [one.message for one in pod.status.conditions if one.status != "True" and one.message]
    said = _lines(reason, message, *messages)
    return Case(At.POD, pod, reason, said, message or next(iter(messages), ""), now_unix_s)


def creating_case(pod: Pod, now_unix_s: float) -> Case | None:
    """A pod of which no container has started for LONG_S; else None."""
    states = [one.status.state for one in pod.containers]
    start = pod.status.start_unix_s
    if start is None or now_unix_s - start < LONG_S or not states or pod.status.phase != "Pending":
        return None
    if not all(_at(one) in (None, At.CREATING) for one in pod.containers):
        return None
    reason, message = states[-1].reason, next((state.message for state in states if state.message), "")
    return Case(At.CREATING, pod, reason, _lines(reason, message), message, now_unix_s)


def scheduling_case(pod: Pod, now_unix_s: float) -> Case | None:
    """A pod that has had no node for LONG_S, or that its node has not started to look at; else None."""
    created, condition = pod.status.created_unix_s, pod.status.condition(SCHEDULED)
    if pod.status.phase not in ("Pending", "Unknown") or pod.status.start_unix_s is not None:
        return None
    if created is None or now_unix_s - created < LONG_S:
        return None
    reason, message = (condition.reason, condition.message) if condition is not None else ("", "")
    return Case(At.SCHEDULING, pod, reason, _lines(reason, message), message, now_unix_s)


def resize_case(pod: Pod, now_unix_s: float) -> Case | None:
    """A pod with a resize that is not done; else None. ``reason`` is the condition's, or its type if it has none."""
    if pod.status.phase in OVER:
        return None
    for kind in RESIZES:
        condition = pod.status.condition(kind)
        if condition is not None and condition.status == "True" and not _just_begun(condition, now_unix_s):
            reason = condition.reason or kind
            return Case(At.RESIZE, pod, reason, _lines(kind, reason, condition.message), condition.message, now_unix_s)
    return None


def _just_begun(condition: PodCondition, now_unix_s: float) -> bool:
    """A resize that is being applied takes a moment."""
    changed = condition.changed_unix_s
    return condition.reason == "" and changed is not None and now_unix_s - changed < LONG_S


def sandbox_case(pod: Pod, kills: Sequence[OomKill], now_unix_s: float) -> Case | None:
    """A pod that waits because its sandbox was OOM-killed in the last hour; else None.

    ``kills`` without a container's name are in the sandbox if that is known, or if no container of the pod has ever been started.
    """
    states = [one.status.state for one in pod.containers]
    if not states or not all(_at(one) in (None, At.CREATING) for one in pod.containers):
        return None
    never_started = all(one.container_id is None and one.previous_id is None for one in pod.containers)
    of_sandbox = [
        kill
        for kill in kills
        if kill.pod_uid == pod.uid
        and kill.container is None
        and (kill.sandbox or never_started)
        and not not_its_own(kill)
    ]
    of_sandbox.sort(key=lambda kill: kill.at_unix_s, reverse=True)
    reason, message = states[-1].reason, next((state.message for state in states if state.message), "")
    case = Case(At.SANDBOX, pod, reason, _lines(reason, message), message, now_unix_s, kills=tuple(of_sandbox))
    return case if case.recent else None


def container_cases(pod: Pod, kills: Sequence[OomKill], facts: NodeFacts) -> Iterator[Case]:
    """A Case per container that may have a problem; those that wait for their turn or ended normally are left out."""
    for one in pod.containers:
        at = _at(one)
        if at is None or at is At.CREATING:
            continue
        own = [kill for kill in kills if kill.container == one.name and kill.pod_uid == pod.uid]
        own.sort(key=lambda kill: kill.at_unix_s, reverse=True)
        case = _case(pod, one, at, tuple(own), facts)
        if at is not At.ENDED or not _ended_normally(case, one.kind):
            yield case


def _at(one: PodContainer) -> At | None:
    match one.status.state.phase:
        case Phase.NONE:
            return None
        case Phase.RUNNING:
            return At.RUNNING
        case Phase.TERMINATED:
            return At.START if one.status.state.reason in NOT_STARTED else At.ENDED
        case Phase.WAITING:
            reason = one.status.state.reason.partition(":")[0]  # old kubelets: `PostStartHookError: command …`
            at = WAITS.get(reason, At.WAITING)
            return At.START if at is At.CRASH and one.status.last.reason in NOT_STARTED else at


def _case(pod: Pod, one: PodContainer, at: At, own: tuple[OomKill, ...], facts: NodeFacts) -> Case:
    state = one.status.state
    ended, ended_id = one.status.last, one.previous_id
    if state.phase is Phase.TERMINATED:
        ended, ended_id = state, one.container_id
    crashed = state.phase is Phase.WAITING and state.reason == "CrashLoopBackOff"
    text = _without_image_name(one.status.image, state.message)
    message = state.message or (state.reason if at is At.WAITING else "")
    return Case(
        at,
        pod,
        reason=ended.reason if at is At.START and crashed else state.reason,
        said=_lines(state.reason, text, ended.message if crashed else ""),
        message=(ended.message if crashed else "") or message,
        now_unix_s=facts.now_unix_s,
        container=one,
        ended=ended,
        kills=own,
        killed=tuple(kill for kill in own if _hit(kill, ended, ended_id)),
        facts=facts.containers.get(one.name, NO_FACTS),
    )


def _hit(kill: OomKill, ended: ContainerState, ended_id: str | None) -> bool:
    """Whether a kill was in this instance: by container id, or else by time."""
    if ended.phase is not Phase.TERMINATED:
        return False
    if kill.container_id is not None and ended_id is not None:
        return kill.container_id == ended_id
    if ended.finished_unix_s is None:
        return False
    started = ended.started_unix_s or ended.finished_unix_s - HOUR_S
    return started - SLACK_S <= kill.at_unix_s <= ended.finished_unix_s + SLACK_S


def _ended_normally(case: Case, kind: ContainerKind) -> bool:
    """Exit code 0 where no restart is expected and without an OOM kill; or a debugging container."""
    if case.oom or case.ended.reason == OOM_KILLED:
        return False
    if kind is ContainerKind.EPHEMERAL:
        return True
    expected = kind is ContainerKind.INIT or (kind is ContainerKind.REGULAR and case.policy != "Always")
    return expected and case.ended.exit_code == 0


def _without_image_name(image: str, message: str) -> str:
    """The message without the image name: an image named ``ratelimit`` or ``forbidden`` must not match a reason."""
    repository = re.sub(r"(?:@sha256)?:[^:/]*$", "", image).split("/", 1)[-1]  # less the registry or the first folder
    if len(repository) < 3 or repository not in message:
        return message
    return re.sub(rf"(?<![\w.-]){re.escape(repository)}(?::[\w.-]+)?(?![\w-])", "…", message)


def _lines(*texts: str) -> str:
    return "\n".join(text for text in texts if text)
