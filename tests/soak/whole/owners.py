"""Workloads that fail, and those who own them: operators that undo what recover did, as often as it does it. In the API only.

Each owner asks for one action. New ones come and old ones go, so that there is always something to recover.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from agent.model.recover import ENABLED_LABEL
from agent.wording.times import rfc3339
from tests.lab.apiserver import ApiServer
from tests.soak.thread import OracleThread

Json = dict[str, Any]
SPACES, CLOSED = ("shop-a", "shop-b", "shop-c"), "shop-closed"
TURN_S, NEW_EVERY_S, LIVES_S = 0.5, 12.0, 150.0
GROUP = "/apis/ml.example/v1"
BUILDS = (
    "{group: ml.example, version: v1, plural: notebookjobs, kind: NotebookJob, podLabel: ml.example/job, entries: [{name: s2i}, "
    "{name: tekton, patch: [{op: test, path: /spec/strategy, value: s2i}, {op: replace, path: /spec/strategy, value: tekton}]}, "
    "{name: prebuilt, patch: [{op: test, path: /spec/strategy, value: tekton}, {op: replace, path: /spec/strategy, value: prebuilt}]}]}"
)
FIRST, SECOND, THIRD = "first.example/app:1", "second.example/app:1", "third.example/app:1"
LIMIT = "256Mi"


class Fate(StrEnum):
    """What fails, and what its owner makes of a recovery."""

    IMAGE = "image"  # no image is there; an operator puts the first one back
    RETRY = "retry"  # a crash loop; the next pod has it as well
    STRATEGY = "strategy"  # the same; a GitOps tool puts the first strategy back
    GROW = "grow"  # killed at its limit; an autoscaler puts the limit back, and it is killed again
    CURED = "cured"  # the second image is there
    SILENT = "silent"  # fails as IMAGE, asks for nothing
    CLOSED = "closed"  # asks, in a namespace that nobody opened


ACTION = {Fate.CURED: "image", Fate.CLOSED: "image", Fate.SILENT: None}  # that it asks for; else the fate's own name


@dataclass
class Owner:
    """``reverted``: how often it undid a change."""

    name: str
    namespace: str
    fate: Fate
    born_s: float
    reverted: int = 0
    pods: int = 0
    pod_seen: Json | None = None  # what must not be touched

    @property
    def pod(self) -> str:
        """The name of its present pod."""
        return f"{self.name}-{self.pods}"

    @property
    def build(self) -> tuple[str, str, str, str]:
        """The key of its custom resource."""
        return (GROUP, "notebookjobs", self.namespace, self.name)


@dataclass
class Owners:
    """``effects``: what a client's writes changed, by owner. All changes are made by one thread, each under the API's lock."""

    api: ApiServer
    all: list[Owner] = field(default_factory=list)
    effects: Counter[str] = field(default_factory=Counter)
    failure: str = ""

    def __post_init__(self) -> None:
        self._over = threading.Event()
        self._thread: OracleThread | None = None
        self._present: list[Owner] = []
        for space in (*SPACES, CLOSED):
            labels = {ENABLED_LABEL: "true"} if space != CLOSED else {}
            self.api.objects.stored["/api/v1", "namespaces", "", space] = {
                "metadata": {"name": space, "labels": labels}
            }
        self.api.objects.kinds.add((GROUP, "notebookjobs"))
        self.api.objects.reactors.append(self._note)

    def begin(self) -> None:
        """From now on, until ``end``."""
        self._thread = OracleThread("owners", self._run)
        self._thread.start()

    def end(self) -> None:
        """No owner does anything any more. Raises what kept them from it before."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
            self._thread.check()

    def _run(self) -> None:
        fates = itertools.cycle(Fate)
        numbers = itertools.count()
        next_s = 0.0
        while not self._over.wait(TURN_S):
            if time.monotonic() >= next_s:
                next_s = time.monotonic() + NEW_EVERY_S
                self._add(next(fates), next(numbers))
            with self.api.store.changed:
                for owner in self._present:
                    self._turn(owner)
                for owner in [each for each in self._present if time.monotonic() > each.born_s + LIVES_S]:
                    self._remove(owner)

    # ----------------------------------------------------------------------------------------------------- life and end

    def _add(self, fate: Fate, number: int) -> None:
        namespace = CLOSED if fate is Fate.CLOSED else SPACES[number % len(SPACES)]
        owner = Owner(f"{fate}-{number}", namespace, fate, time.monotonic())
        self.all.append(owner)
        with self.api.store.changed:
            if fate is Fate.STRATEGY:
                self.api.objects.stored[owner.build] = _build(owner)
            self.api.put_pod(_pod(owner))
            owner.pod_seen = self._now(owner)
            self._present.append(owner)

    def _remove(self, owner: Owner) -> None:
        self._present.remove(owner)
        self.untouched(owner)
        self.api.delete_pod(owner.namespace, owner.pod)
        self.api.objects.stored.pop(owner.build, None)

    def untouched(self, owner: Owner) -> None:
        """Notes it as a failure if somebody changed a pod that asks for nothing, or is in a closed namespace."""
        if owner.fate in (Fate.SILENT, Fate.CLOSED) and self._now(owner) != owner.pod_seen:
            self.failure = f"{owner.name}, which nobody may touch, is {self._now(owner)}"

    def _now(self, owner: Owner) -> Json | None:
        return self.api.store.pods.get((owner.namespace, owner.pod))

    # ------------------------------------------------------------------------------------------------- what they insist on

    def _turn(self, owner: Owner) -> None:
        pod = self._now(owner)
        if pod is None:  # it was evicted
            owner.pods += 1
            owner.reverted += 1
            self.api.put_pod(_pod(owner))
            return
        container, fresh = pod["spec"]["containers"][0], _pod(owner)
        if owner.fate is Fate.CURED:
            if container["image"] == SECOND and pod["status"]["phase"] != "Running":
                self.api.put_pod({**pod, "status": _ready(pod["status"])})
        elif owner.fate is Fate.STRATEGY:
            if self.api.objects.stored[owner.build]["spec"]["strategy"] != "s2i":
                owner.reverted += 1
                self.api.objects.stored[owner.build] = _build(owner)
        elif (container["image"], container["resources"]["limits"]["memory"]) != (FIRST, LIMIT):
            owner.reverted += 1  # the rest of its spec, and annotations, are as they are in the API
            spec = {**pod["spec"], "containers": fresh["spec"]["containers"]}
            self.api.put_pod({**pod, "spec": spec, "status": fresh["status"]})

    def _note(self, before: Json | None, after: Json) -> None:
        """A client has written: the reactor of the API."""
        references = after["metadata"].get("ownerReferences") or [after["metadata"]]
        name = str(references[0].get("name"))
        evicted = "deletionTimestamp" in after["metadata"]
        if name in {owner.name for owner in self.all} and (
            before is None or evicted or before.get("spec") != after.get("spec")
        ):
            self.effects[name] += 1


def _build(owner: Owner) -> Json:
    return {
        "apiVersion": "ml.example/v1",
        "kind": "NotebookJob",
        "metadata": {"name": owner.name, "namespace": owner.namespace, "uid": f"build-{owner.name}"},
        "spec": {"strategy": "s2i"},
    }


def _pod(owner: Owner) -> Json:
    now_s = time.time()
    action = ACTION.get(owner.fate, owner.fate.value)
    notes = {} if action is None else {"oomward.dev/recover": action}
    if action == "image" or owner.fate is Fate.SILENT:
        notes["recover.oomward.dev/images.app"] = f"{SECOND}, {THIRD}"
    if owner.fate is Fate.GROW:
        notes["oomward.dev/grow"] = "25%/1Gi"
    labels = {"ml.example/job": owner.name} if owner.fate is Fate.STRATEGY else {}
    kind, version = ("Job", "batch/v1") if owner.fate is Fate.STRATEGY else ("ReplicaSet", "apps/v1")
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": owner.pod,
            "namespace": owner.namespace,
            "uid": f"uid-{owner.pod}",
            "creationTimestamp": rfc3339(now_s - 600),
            "labels": labels,
            "annotations": notes,
            "ownerReferences": [
                {"kind": kind, "name": owner.name, "apiVersion": version, "controller": True, "uid": f"o-{owner.name}"}
            ],
        },
        "spec": {
            "nodeName": "elsewhere",
            "restartPolicy": "Always",
            "containers": [{"name": "app", "image": FIRST, "resources": {"limits": {"memory": LIMIT}}}],
        },
        "status": _status(owner, now_s),
    }


def _status(owner: Owner, now_s: float) -> Json:
    """As the kubelet would have it."""
    one: Json = {"name": "app", "ready": False, "restartCount": 0, "image": FIRST}
    phase = "Pending"
    if owner.fate is Fate.GROW:
        phase = "Running"
        end = {
            "reason": "OOMKilled",
            "exitCode": 137,
            "startedAt": rfc3339(now_s - 60),
            "finishedAt": rfc3339(now_s - 1),
        }
        one |= {"ready": True, "state": {"running": {"startedAt": rfc3339(now_s)}}, "lastState": {"terminated": end}}
    elif owner.fate in (Fate.RETRY, Fate.STRATEGY):
        phase = "Running"
        end = {"reason": "Error", "exitCode": 1, "startedAt": rfc3339(now_s - 30), "finishedAt": rfc3339(now_s - 20)}
        state = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s restarting failed container"}}
        one |= {"restartCount": 5, "state": state, "lastState": {"terminated": end}}
    else:
        message = f'failed to resolve reference "{FIRST}": not found'
        one["state"] = {"waiting": {"reason": "ImagePullBackOff", "message": message}}
    return {"phase": phase, "startTime": rfc3339(now_s - 600), "qosClass": "Burstable", "containerStatuses": [one]}


def _ready(status: Json) -> Json:
    now_s = time.time()
    running = {"running": {"startedAt": rfc3339(now_s)}}
    one = {**status["containerStatuses"][0], "image": SECOND, "ready": True, "state": running}
    condition = {"type": "Ready", "status": "True", "lastTransitionTime": rfc3339(now_s)}
    return {**status, "phase": "Running", "containerStatuses": [one], "conditions": [condition]}
