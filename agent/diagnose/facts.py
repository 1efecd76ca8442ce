"""The conditions of the decision table beyond the API's texts: kills seen on the node, exit codes, times."""

from __future__ import annotations

from agent.diagnose.case import ALL_RESTARTING, LONG_S, OOM_KILLED, SIGKILLED, STOPPED, Case, not_its_own
from agent.diagnose.rule import Fact
from agent.model import ContainerKind

OWN_SIGNALS = (4, 6, 7, 8, 11)  # SIGILL, SIGABRT, SIGBUS, SIGFPE, SIGSEGV: faults of the program itself
PROBED_ENDS = (SIGKILLED, STOPPED)  # the kubelet ends a container with SIGTERM, and after the grace period with SIGKILL
READY_KINDS = (ContainerKind.REGULAR, ContainerKind.SIDECAR)


def _up_long(case: Case) -> bool:
    started = case.status.state.started_unix_s
    if case.container is None or case.container.kind not in READY_KINDS or started is None:
        return False
    return case.now_unix_s - started >= LONG_S


def _no_limit(case: Case) -> bool:
    return case.limit_bytes is None and case.pod.status.limit_bytes is None and not case.killed


def _gated(case: Case) -> bool:
    """Not ready for LONG_S, although its containers are."""
    ready = case.pod.status.condition("Ready")
    if ready is None or ready.status != "False" or ready.reason != "ReadinessGatesNotReady":
        return False
    since = ready.changed_unix_s
    return since is None or case.now_unix_s - since >= LONG_S


def _init_long(case: Case) -> bool:
    one, started = case.container, case.status.state.started_unix_s
    if one is None or one.kind is not ContainerKind.INIT or started is None:
        return False
    return case.pod.status.phase == "Pending" and case.now_unix_s - started >= LONG_S


def _condition(case: Case, *kinds: str) -> str:
    """The status of the first of these conditions that the pod has, or ""."""
    found = (case.pod.status.condition(kind) for kind in kinds)
    return next((one.status for one in found if one is not None), "")


def _network(case: Case) -> str:
    return _condition(case, "PodReadyToStartContainers", "PodHasNetwork")


OOM = Fact(
    "an OOM kill ended it (`OOMKilled` with exit code 137 or within a minute of its start, or a kill seen in its last minute)",
    lambda case: case.oom,
)
NODE_OOM = Fact("no limit of its own or of its pod was hit", lambda case: case.node_oom)
NO_LIMIT = Fact("neither it nor the pod has a memory limit, and this node saw no kill", _no_limit)
OOM_OF_CHILD = Fact(
    "its own exit code is not 137", lambda case: case.ended.exit_code not in (None, SIGKILLED) and bool(case.oom)
)
OOM_EARLIER = Fact(
    "the runtime says `OOMKilled`, but perhaps of a kill long before: the exit code is not 137, or this node saw the kill earlier",
    lambda case: case.ended.reason == OOM_KILLED and not case.oom,
)
LOST_END = Fact(
    "exit code 255 and reason `Unknown`", lambda case: case.ended.exit_code == 255 and case.ended.reason == "Unknown"
)
SIGTERM = Fact("exit code 143", lambda case: case.ended.exit_code == STOPPED)
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
FAILED_END = Fact("an exit code other than 0", lambda case: case.ended.exit_code not in (None, 0))
EXIT_126 = Fact("exit code 126", lambda case: case.ended.exit_code == 126)
EXIT_127 = Fact("exit code 127", lambda case: case.ended.exit_code == 127)
EXIT_KNOWN = Fact("an exit code is known", lambda case: case.ended.exit_code is not None)
ALIVE_AFTER_KILL = Fact(
    "one of its processes was OOM-killed in the last hour, and it is still running", lambda case: bool(case.lost)
)
LAST_NOT_ITS_OWN = Fact(
    "at the newest kill, no limit of its own or of its pod was hit",
    lambda case: bool(case.lost) and not_its_own(case.lost[0]),
)
RESTARTED = Fact("the previous instance ended in the last hour", lambda case: case.ended_recently)
NOT_STARTED_LONG = Fact(
    "it has run for five minutes, and its startup probe has not succeeded",
    lambda case: _up_long(case) and case.status.started is False,
)
NOT_READY_LONG = Fact(
    "it has run for five minutes, and is not ready", lambda case: _up_long(case) and not case.status.ready
)
GATED = Fact("all its containers are ready, and the pod has not been for five minutes", _gated)
INIT_LONG = Fact("it is an init container, and has run for five minutes", _init_long)
NO_NETWORK = Fact("condition PodReadyToStartContainers is False", lambda case: _network(case) == "False")
HAS_NETWORK = Fact("condition PodReadyToStartContainers is True", lambda case: _network(case) == "True")
FAILED_POD = Fact("the pod's phase is Failed", lambda case: case.pod.status.phase == "Failed")
PENDING_OR_FAILED = Fact(
    "the pod's phase is Pending or Failed", lambda case: case.pod.status.phase in ("Pending", "Failed")
)
HAS_REASON = Fact("the pod's status has a reason", lambda case: bool(case.pod.status.reason))
HAS_FINALIZER = Fact("the pod has finalizers", lambda case: bool(case.pod.status.finalizers))
RESTARTING_ALL = Fact(f"condition {ALL_RESTARTING} is True", lambda case: _condition(case, ALL_RESTARTING) == "True")
HAS_NODE = Fact(
    "the pod has a node", lambda case: bool(case.pod.node_name) and _condition(case, "PodScheduled") != "False"
)
