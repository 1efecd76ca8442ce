"""The agents' Events become kills and pressure again: what the controller knows about memory, beyond the pods' status. Pure.

The agents' texts are wording/kills.py's; a test makes Events from those, and reads them here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from agent.diagnose.rule import PERHAPS
from agent.model import OomKill, Outcome, Pod, Reason, Scope
from agent.model.diagnosis import Answer, Category, Diagnosis, NextStep, Will
from agent.recover.subject import Subject
from agent.recover.table import PRESSURE_RULE
from agent.wording.times import unix_s

PRESSURE = Reason.LIMIT_PRESSURE
HOUR_S = 3600.0
MOST_OF_POD = 100  # kills, the newest: an Event counts all of one kind
PodKey = tuple[str, str]  # namespace, uid
PRESSURE_S = 300.0  # a report is of now for that long
NAME = r"(?P<container>[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?)"
PROCESS = re.compile(rf"OOM-killed .{{1,400}}? in container {NAME}(?P<where>(?: at| because|\.).{{0,60}})")
CONTAINER = re.compile(rf"Container {NAME} was OOM-killed(?P<where>.{{0,60}})")
AT_LIMIT = re.compile(rf"Container {NAME} is at its memory limit")
SCOPES = (
    (re.compile(r" at (?:its|the container's) memory limit"), Scope.CONTAINER),
    (re.compile(r" at the pod's memory limit"), Scope.POD),
    (re.compile(r" at the node's memory limit"), Scope.KUBEPODS),
    (re.compile(r" because the node was out of memory"), Scope.NODE),
    (re.compile(r" because a NUMA node or cpuset of the node"), Scope.NUMA),
    (re.compile(r" because somebody asked the kernel"), Scope.SYSRQ),
)


@dataclass(frozen=True, slots=True)
class Reports:
    """What the agents reported recently, by namespace and uid of the pod: whoever may post Events in one namespace forges none for another.

    ``pressed``: containers at their limit, with the time.
    """

    kills: Mapping[PodKey, tuple[OomKill, ...]]
    pressed: Mapping[PodKey, Mapping[str, float]]

    def kills_of(self, pod: Pod) -> tuple[OomKill, ...]:
        return self.kills.get((pod.namespace, pod.uid), ())

    def pressed_of(self, pod: Pod) -> Mapping[str, float]:
        return self.pressed.get((pod.namespace, pod.uid), {})


def reports_of(events: Iterable[Mapping[str, Any]], now_unix_s: float) -> Reports:
    """Of the last hour; what can't be read is left out."""
    kills: dict[PodKey, list[OomKill]] = {}
    pressed: dict[PodKey, dict[str, float]] = {}
    for event in events:
        key, at = _about(event), _time(event)
        if key is None or at is None or at < now_unix_s - HOUR_S or not isinstance(event.get("note"), str):
            continue
        if event.get("reason") == PRESSURE:
            found = AT_LIMIT.match(event["note"])
            if found is not None and at > now_unix_s - PRESSURE_S:
                pressed.setdefault(key, {})[found["container"]] = at
        elif (kill := _kill(event, key[1], at)) is not None:
            kills.setdefault(key, []).append(kill)
    return Reports({key: _newest(found) for key, found in kills.items()}, pressed)


def _newest(kills: list[OomKill]) -> tuple[OomKill, ...]:
    return tuple(sorted(kills, key=lambda kill: kill.at_unix_s)[-MOST_OF_POD:])


def _about(event: Mapping[str, Any]) -> PodKey | None:
    """The pod that an Event is about; the API server keeps an Event in the namespace of its object."""
    about, metadata = event.get("regarding"), event.get("metadata")
    uid = about.get("uid") if isinstance(about, dict) else None
    namespace = metadata.get("namespace") if isinstance(metadata, dict) else None
    return (namespace, uid) if isinstance(namespace, str) and isinstance(uid, str) else None


def _kill(event: Mapping[str, Any], uid: str, at: float) -> OomKill | None:
    whole = event.get("reason") == Reason.CONTAINER_OOM_KILLED
    if not whole and event.get("reason") != Reason.PROCESS_OOM_KILLED:
        return None
    found = CONTAINER.match(event["note"]) or PROCESS.match(event["note"])
    if found is None:
        return None
    scope = next((scope for pattern, scope in SCOPES if pattern.match(found["where"])), None)
    died = whole or "The container died" in event["note"]
    return OomKill(
        boot_id="",
        cgroup_inode=0,
        ordinal=0,
        at_unix_s=at,
        node="",
        cgroup_path="",
        processes=1,
        pod_uid=uid,
        container=found["container"],
        group_kill=whole,
        scope=scope,
        outcome=Outcome.DIED if died else Outcome.SURVIVED,
    )


def _time(event: Mapping[str, Any]) -> float | None:
    """Of its last occurrence."""
    series = event.get("series")
    last = series.get("lastObservedTime") if isinstance(series, dict) else None
    for value in (last, event.get("eventTime")):
        if isinstance(value, str):
            return unix_s(value)
    return None


def pressure(subject: Subject, containers: Mapping[str, float]) -> tuple[Diagnosis, ...]:
    """Containers that an agent reported at their limit before a kill, as diagnoses."""
    pod = subject.pod
    return tuple(
        Diagnosis(
            namespace=pod.namespace,
            pod=pod.name,
            pod_uid=pod.uid,
            container=one.name,
            kind=one.kind,
            category=Category.OOM_PROCESS,
            rule=PRESSURE_RULE,
            transient=PERHAPS,
            retry_helps=Answer.PERHAPS,
            what=f"container {one.name} is at its memory limit",
            message="",
            next_step=NextStep(Will.RUNS, "it runs"),
            advice="raise the limit",
        )
        for one in pod.containers
        if one.name in containers
    )
