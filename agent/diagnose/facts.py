"""The conditions of the decision table beyond the API's texts: kills seen on the node, exit codes, times."""

from __future__ import annotations

from agent.diagnose.case import HOUR_S, LONG_S, OOM_KILLED, SIGKILLED, Case, not_its_own
from agent.diagnose.rule import Fact
from agent.model import ContainerKind, OomKill, Outcome
from agent.model.status import Phase

OWN_SIGNALS = (4, 6, 7, 8, 11)  # SIGILL, SIGABRT, SIGBUS, SIGFPE, SIGSEGV: faults of the program itself
PROBED_ENDS = (137, 143)  # the kubelet ends a container with SIGTERM, and after the grace period with SIGKILL
READY_KINDS = (ContainerKind.REGULAR, ContainerKind.SIDECAR)


def _up_long(case: Case) -> bool:
    started = case.status.state.started_unix_s
    if case.container is None or case.container.kind not in READY_KINDS or started is None:
        return False
    return case.now_unix_s - started >= LONG_S


def _alive_after_kill(case: Case) -> bool:
    """Kills since this instance started that it survived."""
    return any(kill.outcome is not Outcome.DIED and _in_this_instance(case, kill) for kill in case.recent)


def _in_this_instance(case: Case, kill: OomKill) -> bool:
    """By container id if both have one, or else by time."""
    own_id = case.container.container_id if case.container is not None else None
    if kill.container_id is not None and own_id is not None:
        return kill.container_id == own_id
    started = case.status.state.started_unix_s
    return started is None or kill.at_unix_s >= started


def _restarted_by_oom(case: Case) -> bool:
    at = case.ended.finished_unix_s
    return case.oom and case.ended.phase is Phase.TERMINATED and at is not None and case.now_unix_s - at <= HOUR_S


def _network(case: Case) -> str:
    found = case.pod.status.condition("PodReadyToStartContainers") or case.pod.status.condition("PodHasNetwork")
    return found.status if found is not None else ""


OOM = Fact("it was OOM-killed (`OOMKilled`, or exit code 137 and a kill that this node saw)", lambda case: case.oom)
NODE_OOM = Fact("the node or all pods together were out of memory", lambda case: case.node_oom)
OOM_OF_CHILD = Fact(
    "its own exit code is not 137",
    lambda case: case.ended.reason == OOM_KILLED and case.ended.exit_code not in (None, SIGKILLED),
)
PROBED = Fact(
    "exit code 137 or 143, and it has a liveness or startup probe",
    lambda case: case.restarted_by_probes and case.ended.exit_code in PROBED_ENDS,
)
OWN_SIGNAL = Fact(
    "it died from SIGILL, SIGABRT, SIGBUS, SIGFPE or SIGSEGV (exit code 132, 134, 135, 136, 139)",
    lambda case: case.signal in OWN_SIGNALS,
)
SIGNALLED = Fact("it died from a signal (exit code 129 to 192)", lambda case: case.signal is not None)
EXIT_0 = Fact("exit code 0", lambda case: case.ended.exit_code == 0)
EXIT_126 = Fact("exit code 126", lambda case: case.ended.exit_code == 126)
EXIT_127 = Fact("exit code 127", lambda case: case.ended.exit_code == 127)
EXIT_KNOWN = Fact("an exit code is known", lambda case: case.ended.exit_code is not None)
ALIVE_AFTER_KILL = Fact(
    "one of its processes was OOM-killed in the last hour, and it is still running", _alive_after_kill
)
LAST_NOT_ITS_OWN = Fact(
    "at the newest kill, the node or all pods together were out of memory",
    lambda case: bool(case.recent) and not_its_own(case.recent[0]),
)
RESTARTED_BY_OOM = Fact("the previous instance was OOM-killed in the last hour", _restarted_by_oom)
NOT_STARTED_LONG = Fact(
    "it has run for five minutes, and its startup probe has not succeeded",
    lambda case: _up_long(case) and case.status.started is False,
)
NOT_READY_LONG = Fact(
    "it has run for five minutes, and is not ready", lambda case: _up_long(case) and not case.status.ready
)
NO_NETWORK = Fact("condition PodReadyToStartContainers is False", lambda case: _network(case) == "False")
HAS_NETWORK = Fact("condition PodReadyToStartContainers is True", lambda case: _network(case) == "True")
FAILED_POD = Fact("the pod's phase is Failed", lambda case: case.pod.status.phase == "Failed")
PENDING_OR_FAILED = Fact(
    "the pod's phase is Pending or Failed", lambda case: case.pod.status.phase in ("Pending", "Failed")
)
HAS_REASON = Fact("the pod's status has a reason", lambda case: bool(case.pod.status.reason))
