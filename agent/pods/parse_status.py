"""How a pod fares: its JSON becomes a PodStatus, once. Tolerant where podjson.py is strict, since nothing is decided by it.

Whatever has not the type that the API's schema says counts as not there, and long texts are cut; only an object that does
not say which pod it is can't be read. Gives also the statuses of one pod or of a node's, by one request.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from agent.model import CONFIG_HASH_ANNOTATION, ContainerKind
from agent.model.status import (
    MOST_TEXT,
    ContainerState,
    ContainerStatus,
    Owner,
    Phase,
    PodCondition,
    PodStatus,
    RestartRule,
)
from agent.pods.parse import UnreadablePodError, parse_quantity

NOT_FOUND = 404
MOST_POD_BYTES = 8 << 20
MOST_LISTED = 1000  # conditions, rules and the like: none has nearly as many
INDEX_FAILURES = "batch.kubernetes.io/job-index-failure-count"
KINDS = (
    ("initContainers", "initContainerStatuses", ContainerKind.INIT),
    ("containers", "containerStatuses", ContainerKind.REGULAR),
    ("ephemeralContainers", "ephemeralContainerStatuses", ContainerKind.EPHEMERAL),
)
PROBES = ("liveness", "readiness", "startup")
Json = Mapping[str, Any]


def parse_status(obj: object) -> PodStatus:
    """A PodStatus of the API's JSON object. Raises UnreadablePodError only for one without name, namespace or uid."""
    pod = _map(obj)
    metadata, spec, status = (_map(pod.get(key)) for key in ("metadata", "spec", "status"))
    uid, namespace, name = (_text(metadata, key) for key in ("uid", "namespace", "name"))
    if not (uid and namespace and name):
        raise UnreadablePodError("metadata has no uid, namespace or name")
    annotations = _map(metadata.get("annotations"))
    return PodStatus(
        uid,
        namespace,
        name,
        phase=_text(status, "phase") or "Unknown",
        reason=_text(status, "reason"),
        message=_text(status, "message"),
        restart_policy=_text(spec, "restartPolicy") or "Always",
        conditions=tuple(_condition(one) for one in _maps(status.get("conditions"))),
        containers=tuple(_containers(spec, status)),
        owner=_owner(metadata),
        index_failures=_digits(annotations.get(INDEX_FAILURES)),
        deadline_s=_whole(spec, "activeDeadlineSeconds"),
        start_unix_s=_time(status, "startTime"),
        deletion_unix_s=_time(metadata, "deletionTimestamp"),
        static=CONFIG_HASH_ANNOTATION in annotations,
    )


def _condition(item: Json) -> PodCondition:
    return PodCondition(_text(item, "type"), _text(item, "status"), _text(item, "reason"), _text(item, "message"))


def _owner(metadata: Json) -> Owner | None:
    owners = _maps(metadata.get("ownerReferences"))
    found = next((one for one in owners if one.get("controller") is True), None)
    return None if found is None else Owner(_text(found, "kind"), _text(found, "name"))


# ------------------------------------------------------------------------------------------------------------- containers


def _containers(spec: Json, status: Json) -> Iterator[ContainerStatus]:
    pod_user = _whole(_map(spec.get("securityContext")), "runAsUser")
    for field, told_in, kind in KINDS:
        told = {_text(one, "name"): one for one in _maps(status.get(told_in))}
        for item in _maps(spec.get(field)):
            if name := _text(item, "name"):
                yield _container(name, kind, item, told.get(name, {}), pod_user)


def _container(name: str, kind: ContainerKind, item: Json, told: Json, pod_user: int | None) -> ContainerStatus:
    policy = _text(item, "restartPolicy")
    sidecar = kind is ContainerKind.INIT and policy == "Always"
    user = _whole(_map(item.get("securityContext")), "runAsUser")
    started = told.get("started")
    return ContainerStatus(
        name=name,
        kind=ContainerKind.SIDECAR if sidecar else kind,
        image=_text(item, "image") or _text(told, "image"),
        state=_state(_map(told.get("state")), _bare_id(told)),
        last=_state(_map(told.get("lastState"))),
        restart_count=max(0, _whole(told, "restartCount") or 0),
        ready=told.get("ready") is True,
        started=started if isinstance(started, bool) else None,
        restart_policy=policy,
        restart_rules=tuple(_rule(one) for one in _maps(item.get("restartPolicyRules"))),
        limit_bytes=_limit(item),
        run_as_user=pod_user if user is None else user,
        probes=frozenset(probe for probe in PROBES if isinstance(item.get(f"{probe}Probe"), dict)),
    )


def _state(states: Json, running_id: str | None = None) -> ContainerState:
    """As kubectl reads it: running before terminated before waiting, though the kubelet sets exactly one."""
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
                container_id=running_id if phase is Phase.RUNNING else _bare_id(item),
            )
    return ContainerState()


def _bare_id(item: Json) -> str | None:
    return _text(item, "containerID").partition("://")[2] or None


def _rule(item: Json) -> RestartRule:
    codes = _map(item.get("exitCodes"))
    listed = codes.get("values")
    values = listed[:MOST_LISTED] if isinstance(listed, list) else []
    numbers = frozenset(one for one in values if isinstance(one, int) and not isinstance(one, bool))
    return RestartRule(_text(item, "action"), _text(codes, "operator") == "NotIn", numbers)


def _limit(item: Json) -> int | None:
    try:
        size = parse_quantity(_map(_map(item.get("resources")).get("limits")).get("memory"))
    except ValueError:
        return None  # none, or none that could be shown: strictness about limits is podjson's
    return size if size > 0 else None  # the kubelet takes 0 for no limit


# ------------------------------------------------------------------------------------------------------------------ values


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
    """Seconds of an RFC 3339 time. None for none, and for the zero times that stand for "never" (years 1 and 1970)."""
    try:
        seconds = datetime.fromisoformat(_text(item, key)).timestamp()
    except (ValueError, OverflowError):
        return None
    return seconds if seconds > 0 else None
