"""The input of a rule: one container that may have a problem, or the whole pod, with its kills."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from agent.model import NOT_OWN_SCOPES, ContainerKind, OomKill, Outcome, Pod, PodContainer
from agent.model.diagnosis import ContainerFacts
from agent.model.status import ContainerState, ContainerStatus, Phase

HOUR_S = 3600.0
LONG_S = 300.0  # time to start before a container is reported
LAST_S = 60.0  # before its end: a kill in this time may have ended a container
SLACK_S = 5.0  # the API's times are whole seconds, and a kill is seen shortly after it happens
SIGKILLED, STOPPED = 137, 143  # exit codes: 128 + SIGKILL, SIGTERM
OOM_KILLED = "OOMKilled"
NOT_STARTED = ("StartError", "ContainerCannotRun")  # reasons of an instance that did not start
OVER = ("Failed", "Succeeded")
SCHEDULED, DISRUPTED, ALL_RESTARTING = "PodScheduled", "DisruptionTarget", "AllContainersRestarting"
RESIZES = ("PodResizePending", "PodResizeInProgress")
NO_FACTS = ContainerFacts()
NO_STATE = ContainerState()


class At(StrEnum):
    """The stage at which the container is stuck; ``pod`` is the whole pod."""

    POD = "pod"
    TERMINATING = "terminating"
    SCHEDULING = "scheduling"
    RESIZE = "resize"
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
OF_POD = (At.POD, At.TERMINATING, At.SCHEDULING, At.RESIZE, At.CREATING, At.SANDBOX)


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
    def limit_bytes(self) -> int | None:
        """The container's memory limit in force: by its cgroup, its status, or else its spec."""
        if self.container is None:
            return None
        return self.facts.limit_bytes or self.status.limit_bytes or self.container.limit_bytes

    @property
    def fatal(self) -> tuple[OomKill, ...]:
        """The kills that may have ended the instance: in its last minute, or known to have ended it."""
        end = self.ended.finished_unix_s
        return tuple(
            kill
            for kill in self.killed
            if kill.outcome is Outcome.DIED or end is None or kill.at_unix_s >= end - LAST_S
        )

    @property
    def oom(self) -> bool:
        """Whether an OOM kill ended the instance, or took a process from it just before its end.

        The runtimes set ``OOMKilled`` for any kill in the instance's lifetime, and the kernel sends SIGKILL: so with another exit code
        the kill must have been seen near the end. An init container with ``OOMKilled`` has failed whatever its code is (kubelet,
        isInitContainerFailed, 1.23 and newer).
        """
        said, code = self.ended.reason == OOM_KILLED, self.ended.exit_code
        if self.fatal:
            return said or code != 0
        if not said or self.killed:
            return False
        if code == 0:
            return self.container is not None and self.container.kind is ContainerKind.INIT
        return code in (None, SIGKILLED) or (code != STOPPED and self._short)

    @property
    def _short(self) -> bool:
        """Whether the instance lived no longer than LAST_S, so that any kill in it was near its end."""
        started, end = self.ended.started_unix_s, self.ended.finished_unix_s
        return started is not None and end is not None and end - started <= LAST_S

    @property
    def node_oom(self) -> bool:
        """Whether it ended because all pods together, or the node, ran out of memory, or somebody asked for the kill."""
        return self.oom and bool(self.fatal) and not_its_own(self.fatal[0])

    @property
    def lost(self) -> tuple[OomKill, ...]:
        """Kills of the last hour that the running instance survived, newest first."""
        if self.status.state.phase is not Phase.RUNNING:
            return ()
        return tuple(kill for kill in self.recent if kill.outcome is not Outcome.DIED and self._in_this_instance(kill))

    def _in_this_instance(self, kill: OomKill) -> bool:
        """By container id if both have one, or else by time."""
        own_id = self.container.container_id if self.container is not None else None
        if kill.container_id is not None and own_id is not None:
            return kill.container_id == own_id
        started = self.status.state.started_unix_s
        return started is None or kill.at_unix_s >= started

    @property
    def ended_recently(self) -> bool:
        """Whether the instance before ended in the last hour."""
        at = self.ended.finished_unix_s
        return self.ended.phase is Phase.TERMINATED and at is not None and self.now_unix_s - at <= HOUR_S

    @property
    def signal(self) -> int | None:
        """The signal that ended it, from the status or the exit code (128 + signal number)."""
        code = self.ended.exit_code
        return self.ended.signal or (code - 128 if code is not None and 128 < code <= 128 + 64 else None)


def not_its_own(kill: OomKill) -> bool:
    """Whether the limit that was hit is neither the container's nor the pod's."""
    return kill.scope in NOT_OWN_SCOPES
