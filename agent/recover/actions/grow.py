"""grow: more memory in place for a container that was killed at its own limit, up to the maximum that the pod names.

Two requests, since the resize subresource can't sign the pod: the pod is signed first, and the resize tests the signature.
No limit goes beyond the node's allocatable memory, and none rises on a node that is short of memory. Whether the request fits is the
kubelet's to judge (Deferred, Infeasible), quota and LimitRanges are admission's: both end the attempt.
"""

from __future__ import annotations

from collections.abc import Mapping

from agent.model import ContainerKind, Scope
from agent.model.recover import GROW_ANNOTATION, STEP_ANNOTATION, Action, Attempt, State
from agent.pods.parse import parse_quantity
from agent.recover.actions.request import GONE, OTHER_STEP, PatchPod, Request, Result, Seen, pointer, same_pod, signed
from agent.recover.asks import MIB, grow_asked, grows_on_pressure
from agent.recover.case import Case, Change
from agent.recover.history import HOUR_S
from agent.recover.subject import Json, container_in, memory_in, step_of
from agent.recover.table import PRESSURE_RULE
from agent.wording.text import count

UNITS = {"Ti": MIB << 20, "Gi": MIB << 10, "Mi": MIB, "G": 10**9, "M": 10**6}
NO_KILL = "there was no kill since the last growth"
QUICKEST_S = 60.0  # a kill this soon after a resize may be of the limit before


def plan(case: Case) -> Change | str:
    """Raises AskError."""
    why = _not_possible(case) or _not_again(case)
    if why is not None:
        return why
    pod, name = case.subject.pod, case.diagnosis.container or ""
    ask, found, one = grow_asked(pod.annotations, name), case.subject.container(name), pod.container(name)
    limit = memory_in(found[1], "limits") if found is not None else None
    if ask is None or one is None or one.limit_bytes is None or limit is None:
        return f"container {name} has no memory limit"
    wanted = ask.after(one.limit_bytes)
    if wanted <= one.limit_bytes:
        return f"container {name} has its maximum"
    return Change(f"memory {quantity(wanted)}", name, limit, quantity(wanted), fence=case.subject.fence)


def _not_possible(case: Case) -> str | None:
    """Why this container never grows; None: it may."""
    pod, name = case.subject.pod, case.diagnosis.container or ""
    one = pod.container(name)
    if grow_asked(pod.annotations, name) is None:
        return f"the pod has no annotation {GROW_ANNOTATION}"
    if one is None or one.kind not in (ContainerKind.REGULAR, ContainerKind.SIDECAR):
        return f"container {name} can't be resized"
    if case.diagnosis.rule == PRESSURE_RULE and not grows_on_pressure(pod.annotations):
        return "the pod does not ask for growth before a kill"
    return None


def _not_again(case: Case) -> str | None:
    """Why no growth is due: none since the last one made a difference, too many in this hour, or the last was refused."""
    uid, name = case.subject.pod.uid, case.diagnosis.container or ""
    own = [one for one in case.history.of(case.subject.key) if one.action is Action.GROW and one.container == name]
    if any(one.state is State.REFUSED and one.pod_uid == uid for one in own):
        return "the last growth was refused"
    hour = [one for one in own if one.at_unix_s > case.now_unix_s - HOUR_S]
    if len(hour) >= case.bounds.grows_per_hour:
        return f"it has grown {count(len(hour), 'time')} in an hour"
    last = max((one.at_unix_s for one in own if one.pod_uid == uid), default=None)
    under_pressure = case.diagnosis.rule == PRESSURE_RULE
    at = case.evidence.pressed.get(name) if under_pressure else killed_unix_s(case, name)
    if last is not None and (at is None or at < last + QUICKEST_S):
        return NO_KILL
    kill = max(
        (one for one in case.evidence.kills if one.container == name and one.pod_uid == uid),
        key=lambda k: k.at_unix_s,
        default=None,
    )
    if not under_pressure and kill is not None and kill.scope is Scope.POD:
        return "the kill was at the pod's limit, not the container's"
    return None


def killed_unix_s(case: Case, name: str) -> float | None:
    """When its newest kill was, by the agents or by its status; None: not known."""
    one = case.subject.pod.container(name)
    times = [
        kill.at_unix_s
        for kill in case.evidence.kills
        if kill.container == name and kill.pod_uid == case.subject.pod.uid
    ]
    states = (one.status.state, one.status.last) if one is not None else ()
    times += [state.finished_unix_s for state in states if state.finished_unix_s is not None]
    return max(times, default=None)


def advance(attempt: Attempt, seen: Seen, status: str) -> Request | Result:
    pod = seen.pod
    if pod is None:
        return Result(State.DROPPED, GONE)
    at, item = container_in(pod, attempt.container) or ("", {})  # without a limit it is dropped below
    token = step_of(pod)
    if (known := _known(attempt, token, memory_in(item, "limits")) or _no_room(attempt, seen.node)) is not None:
        return known
    if token != attempt.token:
        return PatchPod(attempt.namespace, attempt.pod, [*same_pod(attempt), *signed(pod, attempt.token, status)])
    return PatchPod(attempt.namespace, attempt.pod, _resize(attempt, at, item), "resize")


def _known(attempt: Attempt, token: str, limit: str | None) -> Result | None:
    """How it ended, by the pod's signature and the container's limit."""
    if attempt.newer(token) or (not attempt.wrote(token) and token != attempt.fence):
        return Result(State.DROPPED, OTHER_STEP)
    if attempt.wrote(token) and same(limit, attempt.after):
        return Result(State.DONE)
    return None if limit == attempt.before else Result(State.DROPPED, "its limit was changed meanwhile")


def _no_room(attempt: Attempt, node: Json | None) -> Result | None:
    """By the node's status. The kubelet looks at requests only, and a limit may be far above its request."""
    status = (node or {}).get("status") or {}
    if any(
        one.get("type") == "MemoryPressure" and one.get("status") == "True" for one in status.get("conditions") or []
    ):
        return Result(State.DROPPED, "its node is short of memory (MemoryPressure)")
    has = (status.get("allocatable") or {}).get("memory")
    if has is not None and parse_quantity(attempt.after) > parse_quantity(has):
        return Result(State.REFUSED, f"its node has {has} for all pods")
    return None


def _resize(attempt: Attempt, at: str, item: Json) -> list[Mapping[str, object]]:
    """Limit, and the request where it is the same, so that the QoS class stays."""
    limits, requests = f"{at}/resources/limits/memory", f"{at}/resources/requests/memory"
    patch: list[Mapping[str, object]] = [
        *same_pod(attempt),
        {"op": "test", "path": pointer(STEP_ANNOTATION), "value": attempt.token},
        {"op": "test", "path": f"{at}/name", "value": attempt.container},
        {"op": "test", "path": limits, "value": attempt.before},
        {"op": "replace", "path": limits, "value": attempt.after},
    ]
    request = memory_in(item, "requests")
    if request is not None and parse_quantity(request) == parse_quantity(attempt.before):
        patch.append({"op": "replace", "path": requests, "value": attempt.after})
    return patch


def quantity(size: int) -> str:
    """As the API writes it: ``320Mi``, ``4Gi``, ``500M``, or bytes."""
    for unit, factor in UNITS.items():
        if size % factor == 0:
            return f"{size // factor}{unit}"
    return str(size)


def same(one: str | None, other: str) -> bool:
    """Whether both are the same size: the API writes some otherwise than it was sent them, and one may be no quantity."""
    try:
        return parse_quantity(one) == parse_quantity(other)
    except ValueError:
        return False
