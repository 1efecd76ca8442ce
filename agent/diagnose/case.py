"""The input of a rule: one container that may have a problem, or the whole pod, with its kills."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from agent.model import ContainerKind, OomKill, Pod, PodContainer, Scope
from agent.model.diagnosis import ContainerFacts, NodeFacts
from agent.model.status import ContainerState, ContainerStatus, Phase

HOUR_S = 3600.0
LONG_S = 300.0  # time to start before a container is reported
SLACK_S = 5.0  # the API's times are whole seconds, and a kill is seen shortly after it happens
SIGKILLED = 137
OOM_KILLED = "OOMKilled"
NOT_STARTED = ("StartError", "ContainerCannotRun")  # reasons of an instance that did not start
NO_FACTS = ContainerFacts()
NO_STATE = ContainerState()


class At(StrEnum):
    """The stage at which the container is stuck; ``pod`` is the whole pod."""

    POD = "pod"
    CREATING = "creating"
    SANDBOX = "sandbox"
    PULL = "pull"
    PULL_BACK_OFF = "pull back-off"
    CONFIG = "config"
    CREATE = "create"
    START = "start"
    CRASH = "crash loop"
    ENDED = "ended"
    RUNNING = "running"
    WAITING = "waiting"  # any other reason


REASONS = {
    At.CREATING: ("ContainerCreating", "PodInitializing"),
    At.PULL: ("ErrImagePull", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError", "RegistryUnavailable",
              "SignatureValidationFailed"),
    At.PULL_BACK_OFF: ("ImagePullBackOff",),
    At.CONFIG: ("CreateContainerConfigError", "VerifyNonRootError"),
    At.CREATE: ("CreateContainerError",),
    At.START: ("RunContainerError", "RunInitContainerError", "PreCreateHookError", "PreStartHookError", "PostStartHookError"),
    At.CRASH: ("CrashLoopBackOff",),
}  # fmt: skip
WAITS = {reason: at for at, reasons in REASONS.items() for reason in reasons}


@dataclass(frozen=True, slots=True)
class Case:
    """``ended``: the instance that ended last, phase NONE if none has; ``container`` None: the whole pod.

    Rules match ``reason`` and ``said`` (reasons and messages, one per line), unchanged from the API; ``message`` is shown.
    ``kills``: of this container, newest first; ``killed``: those in the instance that ended.
    """

    at: At
    pod: Pod
    reason: str
    said: str
    message: str
    now_unix_s: float
    container: PodContainer | None = None
    ended: ContainerState = NO_STATE
    kills: tuple[OomKill, ...] = ()
    killed: tuple[OomKill, ...] = ()
    facts: ContainerFacts = NO_FACTS

    @property
    def status(self) -> ContainerStatus:
        """The container's; an empty one for the whole pod."""
        return self.container.status if self.container is not None else ContainerStatus()

    @property
    def policy(self) -> str:
        """The restartPolicy in force: the container's own, or else the pod's."""
        return self.status.restart_policy or self.pod.status.restart_policy

    @property
    def restarted_by_probes(self) -> bool:
        """Whether it has a probe that makes the kubelet restart it."""
        return not self.status.probes.isdisjoint({"liveness", "startup"})

    @property
    def recent(self) -> tuple[OomKill, ...]:
        """Kills in the last hour."""
        return tuple(kill for kill in self.kills if kill.at_unix_s > self.now_unix_s - HOUR_S)

    @property
    def oom(self) -> bool:
        """Whether the instance that ended had an OOM kill and ended with or after it."""
        return self.ended.reason == OOM_KILLED or (self.ended.exit_code == SIGKILLED and bool(self.killed))

    @property
    def node_oom(self) -> bool:
        """Whether it ended because all pods together, or the node, ran out of memory."""
        return self.oom and bool(self.killed) and not_its_own(self.killed[0])

    @property
    def signal(self) -> int | None:
        """The signal that ended it, from the status or the exit code (128 + signal number)."""
        code = self.ended.exit_code
        return self.ended.signal or (code - 128 if code is not None and 128 < code <= 128 + 64 else None)


def not_its_own(kill: OomKill) -> bool:
    """Whether the limit that was hit is neither the container's nor the pod's."""
    return kill.scope in (Scope.KUBEPODS, Scope.NODE)


def pod_case(pod: Pod, now_unix_s: float) -> Case:
    """The whole pod: its reason, or that of its disruption if it failed without one."""
    reason, message = pod.status.reason, pod.status.message
    disrupted = pod.status.condition("DisruptionTarget")
    if not reason and pod.status.phase == "Failed" and disrupted is not None and disrupted.status == "True":
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
            at = WAITS.get(one.status.state.reason, At.WAITING)
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
    if case.oom:
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
