"""Pods that fail, as the API has them, namespaces, and what the planner is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.diagnose import diagnose
from agent.model import OomKill, Outcome, Scope
from agent.model.diagnosis import Diagnosis, NodeFacts
from agent.model.recover import (
    ENABLED_LABEL,
    IMAGES_ANNOTATION_PREFIX,
    RECOVER_ANNOTATION,
    Action,
    Attempt,
    Nothing,
    Policy,
    RecoverConfig,
    Space,
    State,
    Step,
)
from agent.recover.case import NONE_PRESSED
from agent.recover.circuits import Circuits
from agent.recover.history import History
from agent.recover.kill_events import pressure
from agent.recover.planner import World, plan
from agent.recover.subject import Subject, subject_of
from agent.wording.times import rfc3339

Json = dict[str, Any]
NOW = 1_780_000_000.0
REAL = RecoverConfig(policy=Policy(most_attempts=3))  # not a dry run
OPENED = Space("shop", {ENABLED_LABEL: "true"})
IMAGES = {IMAGES_ANNOTATION_PREFIX + "app": "second.example/app:1, third.example/app:1"}
NOT_FOUND = 'rpc error: code = NotFound desc = failed to pull and unpack image "first.example/app:1": not found'


def pod(*, name: str = "app-1", owner: str | None = "ReplicaSet", asks: str | None = "true", **more: Any) -> Json:
    """A pod with one container ``app``; ``state`` is that of its status. ``notes``: annotations; ``status``: more of the status."""
    notes = {**({RECOVER_ANNOTATION: asks} if asks is not None else {}), **more.get("notes", {})}
    references = [
        {"kind": owner, "name": "app", "apiVersion": more.get("api", "apps/v1"), "controller": True, "uid": "o"}
    ]
    item = {"name": "app", "image": "first.example/app:1", **more.get("container", {})}
    state = {"name": "app", "ready": False, "restartCount": more.get("restarts", 0), "state": more.get("state", {})}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": more.get("namespace", "shop"),
            "uid": more.get("uid", f"uid-{name}"),
            "creationTimestamp": rfc3339(more.get("created", NOW - 600)),
            "labels": more.get("labels", {"app": "app"}),
            "annotations": notes,
            "ownerReferences": references if owner else [],
        },
        "spec": {
            "nodeName": more.get("node", "node-1"),
            "restartPolicy": "Always",
            "containers": [item],
            **more.get("spec", {}),
        },
        "status": {
            "phase": more.get("phase", "Pending"),
            "startTime": rfc3339(more.get("created", NOW - 600)),
            "containerStatuses": [{**state, **more.get("last", {})}],
            **more.get("status", {}),
        },
    }


def waiting(reason: str, message: str = "") -> Json:
    return {"waiting": {"reason": reason, "message": message}}


def no_image(**more: Any) -> Json:
    """Its image is not in the registry; it names two others."""
    return pod(state=waiting("ImagePullBackOff", NOT_FOUND), notes={**IMAGES, **more.pop("notes", {})}, **more)


def memory(limit: str, request: str | None = None) -> Json:
    requests = {} if request is None else {"requests": {"memory": request}}
    return {"resources": {"limits": {"memory": limit}, **requests}}


def killed(at: float = NOW - 30, **more: Any) -> Json:
    """Its container was OOM-killed, and is running again."""
    end = {
        "terminated": {"reason": "OOMKilled", "exitCode": 137, "finishedAt": rfc3339(at), "startedAt": rfc3339(at - 60)}
    }
    more.setdefault("container", memory("256Mi"))
    more.setdefault("notes", {"oomward.dev/grow": "25%/1Gi"})
    running = {"running": {"startedAt": rfc3339(at + 1)}}
    return pod(phase="Running", state=running, last={"lastState": end, "ready": True}, **more)


def crash_loop(**more: Any) -> Json:
    end = {
        "terminated": {
            "reason": "Error",
            "exitCode": 1,
            "finishedAt": rfc3339(NOW - 20),
            "startedAt": rfc3339(NOW - 30),
        }
    }
    return pod(
        phase="Running", state=waiting("CrashLoopBackOff", "back-off"), last={"lastState": end}, restarts=5, **more
    )


def init_fails(message: str = "", **more: Any) -> Json:
    """Its init container ``git-clone`` can't be created because of a security constraint."""
    spec = {"initContainers": [{"name": "git-clone", "image": "git"}], **more.pop("spec", {})}
    said = message or "container has runAsNonRoot and image will run as root"
    status = [
        {"name": "git-clone", "restartCount": 0, "ready": False, "state": waiting("CreateContainerConfigError", said)}
    ]
    return pod(spec=spec, status={"initContainerStatuses": status}, state=waiting("PodInitializing"), **more)


def ready(raw: Json, since: float) -> Json:
    """The pod, ready since then."""
    condition = {"type": "Ready", "status": "True", "lastTransitionTime": rfc3339(since)}
    statuses = [
        {**one, "state": {"running": {"startedAt": rfc3339(since)}}, "ready": True}
        for one in raw["status"]["containerStatuses"]
    ]
    return {
        **raw,
        "status": {**raw["status"], "phase": "Running", "containerStatuses": statuses, "conditions": [condition]},
    }


def kill(at: float = NOW - 30, scope: Scope = Scope.CONTAINER, **more: Any) -> OomKill:
    return OomKill(
        "boot", 1, 1, at, "", "", 1, "shop", "app-1", "uid-app-1", "app", scope=scope, outcome=Outcome.SURVIVED, **more
    )


def diagnoses(subject: Subject, *kills: OomKill, now: float = NOW) -> tuple[Diagnosis, ...]:
    return diagnose(subject.pod, kills, NodeFacts(now))


def planned(
    raw: Json,
    *,
    space: Space = OPENED,
    config: RecoverConfig = REAL,
    history: History | None = None,
    now: float = NOW,
    kills: tuple[OomKill, ...] = (),
    resource: Json | None = None,
    circuits: Circuits | None = None,
    pressed: Mapping[str, float] = NONE_PRESSED,
) -> Step | Nothing:
    """What is planned for a pod."""
    subject = subject_of(raw, config.strategies)
    world = World(config, history or History(), now, circuits or Circuits())
    found = (*diagnoses(subject, *kills, now=now), *pressure(subject, pressed))
    return plan(subject, space, found, world, kills, resource, pressed)


def step(raw: Json, **more: Any) -> Step:
    """The same, where a step is expected."""
    found = planned(raw, **more)
    assert isinstance(found, Step), found
    return found


def why(raw: Json, **more: Any) -> str:
    """Why nothing is planned."""
    found = planned(raw, **more)
    assert isinstance(found, Nothing), found
    return found.why


def past(*actions: Action, owner: str = "shop/ReplicaSet/app", every: float = 700.0, **more: Any) -> History:
    """Attempts that failed, the last one ``every`` seconds ago."""
    values: Json = {
        "namespace": "shop",
        "pod": "app-0",
        "pod_uid": "uid-app-0",
        "container": "app",
        "before": "",
        "after": "",
        "cause": "",
        **more,
    }
    values.setdefault("state", State.FAILED)
    many = len(actions)
    attempts = [
        Attempt(i + 1, owner, action=action, what="", at_unix_s=NOW - every * (many - i), **values)
        for i, action in enumerate(actions)
    ]
    return History(tuple(attempts), many)
