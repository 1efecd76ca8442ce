"""The status in a pod's JSON. Tolerant: a value with a wrong type counts as missing, and long texts are cut."""

from __future__ import annotations

from collections.abc import Mapping
from sys import intern
from typing import Any

from agent.model.status import (
    MOST_TEXT,
    ContainerState,
    ContainerStatus,
    Controller,
    Phase,
    PodCondition,
    PodStatus,
    RestartRule,
)
from agent.wording.times import unix_s

MOST_LISTED = 1000  # conditions, rules and the like
INDEX_FAILURES = "batch.kubernetes.io/job-index-failure-count"
PROBES = ("liveness", "readiness", "startup")
PENDING, PROGRESS = "PodResizePending", "PodResizeInProgress"
RESIZES = {"Deferred": PENDING, "Infeasible": PENDING, "InProgress": PROGRESS}  # status.resize, before Kubernetes 1.33
Json = Mapping[str, Any]


def pod_status(metadata: Json, spec: Json, status: Json, limit_bytes: int | None) -> PodStatus:
    """From a pod's three parts; ``limit_bytes`` is the pod's own."""
    return PodStatus(
        phase=_text(status, "phase") or "Unknown",
        reason=_text(status, "reason"),
        message=_text(status, "message"),
        restart_policy=_text(spec, "restartPolicy") or "Always",
        conditions=(*(_condition(one) for one in _maps(status.get("conditions"))), *_old_resize(status)),
        controller=_controller(metadata),
        index_failures=_digits(_map(metadata.get("annotations")).get(INDEX_FAILURES)),
        deadline_s=_whole(spec, "activeDeadlineSeconds"),
        start_unix_s=_time(status, "startTime"),
        created_unix_s=_time(metadata, "creationTimestamp"),
        deletion_unix_s=_time(metadata, "deletionTimestamp"),
        limit_bytes=limit_bytes,
    )


def container_status(item: Json, status: Json, pod_spec: Json, limit_bytes: int | None) -> ContainerStatus:
    """From a container's item in the spec and that in the status, which is empty while nothing is reported.

    ``limit_bytes``: the limit in force.
    """
    user = _whole(_map(item.get("securityContext")), "runAsUser")
    pod_user = _whole(_map(pod_spec.get("securityContext")), "runAsUser")
    started = status.get("started")
    return ContainerStatus(
        image=intern(_text(item, "image") or _text(status, "image")),
        state=_state(_map(status.get("state"))),
        last=_state(_map(status.get("lastState"))),
        restart_count=max(0, _whole(status, "restartCount") or 0),
        ready=status.get("ready") is True,
        started=started if isinstance(started, bool) else None,
        restart_policy=_text(item, "restartPolicy"),
        restart_rules=tuple(_rule(one) for one in _maps(item.get("restartPolicyRules"))),
        run_as_user=pod_user if user is None else user,
        probes=frozenset(probe for probe in PROBES if isinstance(item.get(f"{probe}Probe"), dict)),
        limit_bytes=limit_bytes,
    )


def _condition(item: Json) -> PodCondition:
    kind, status, reason = (intern(_text(item, key)) for key in ("type", "status", "reason"))
    return PodCondition(kind, status, reason, _text(item, "message"), _time(item, "lastTransitionTime"))


def _old_resize(status: Json) -> list[PodCondition]:
    """What status.resize reported before there were conditions for it."""
    resize = _text(status, "resize")
    return [PodCondition(RESIZES[resize], "True", resize)] if resize in RESIZES else []


def _controller(metadata: Json) -> Controller | None:
    owners = _maps(metadata.get("ownerReferences"))
    found = next((one for one in owners if one.get("controller") is True), None)
    return None if found is None else Controller(intern(_text(found, "kind")), _text(found, "name"))


def _state(states: Json) -> ContainerState:
    """Like kubectl: running before terminated before waiting, though the kubelet sets exactly one."""
    for phase in (Phase.RUNNING, Phase.TERMINATED, Phase.WAITING):
        item = states.get(phase.value)
        if isinstance(item, dict):
            return ContainerState(
                phase,
                reason=_text(item, "reason"),
                message=_text(item, "message"),
                exit_code=_whole(item, "exitCode"),
                signal=_whole(item, "signal") or None,
                started_unix_s=_time(item, "startedAt"),
                finished_unix_s=_time(item, "finishedAt"),
            )
    return ContainerState()


def _rule(item: Json) -> RestartRule:
    codes = _map(item.get("exitCodes"))
    listed = codes.get("values")
    values = listed[:MOST_LISTED] if isinstance(listed, list) else []
    numbers = frozenset(one for one in values if isinstance(one, int) and not isinstance(one, bool))
    return RestartRule(_text(item, "action"), _text(codes, "operator") == "NotIn", numbers)


def _map(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def _maps(value: object) -> list[Json]:
    return [one for one in value[:MOST_LISTED] if isinstance(one, dict)] if isinstance(value, list) else []


def _text(item: Json, key: str) -> str:
    value = item.get(key)
    return value[:MOST_TEXT] if isinstance(value, str) else ""


def _whole(item: Json, key: str) -> int | None:
    value = item.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63 else None


def _digits(value: object) -> int | None:
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10 else None


def _time(item: Json, key: str) -> float | None:
    return unix_s(_text(item, key))
