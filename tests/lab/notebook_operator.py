"""A small operator of NotebookValidationJobs (manifests/examples/notebook-validation): a pod for each strategy that it is given.

It stands on the API's stand-in: ``reconcile`` makes the pod of the present strategy and removes others, ``kubelet`` lets it fail as
that strategy does. S2I: a security constraint forbids its init container. Tekton: a crash loop. Pre-built: the image is not there
under its first name, and the notebook completes with the second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agent.wording.times import rfc3339
from tests.lab.apiserver import ApiServer

Json = dict[str, Any]
COLLECTION = ("/apis/mlops.example.dev/v1", "notebookvalidationjobs")
MISSING, THERE = "first.example/notebook:1", "second.example/notebook:1"
CONSTRAINT = "container has runAsNonRoot and image will run as root (container: git-clone)"


@dataclass
class Operator:
    """``now_unix_s`` is set by the test."""

    server: ApiServer
    now_unix_s: float

    @property
    def job(self) -> Json:
        (found,) = (obj for key, obj in self.server.objects.stored.items() if key[:2] == COLLECTION)
        return found

    def reconcile(self) -> None:
        """One pod, of the strategy that is asked for."""
        strategy, metadata = self.job["spec"]["buildStrategy"], self.job["metadata"]
        name, space = f"{metadata['name']}-{strategy}", metadata["namespace"]
        if (space, name) in self.server.store.pods:
            return
        for where, other in list(self.server.store.pods):
            self.server.delete_pod(where, other)
        self.server.put_pod(_pod(name, metadata, strategy, self.now_unix_s))

    def kubelet(self) -> None:
        """What becomes of the pod."""
        for pod in list(self.server.store.pods.values()):
            status = _status(pod, self.now_unix_s)
            if status["phase"] != pod["status"]["phase"] or status.get("containerStatuses") != pod["status"].get(
                "containerStatuses"
            ):
                self.server.put_pod({**pod, "status": status})


def _pod(name: str, job: Json, strategy: str, now_unix_s: float) -> Json:
    owner = {
        "apiVersion": "mlops.example.dev/v1",
        "kind": "NotebookValidationJob",
        "name": job["name"],
        "uid": job["uid"],
        "controller": True,
    }
    container = {"name": "notebook", "image": MISSING if strategy == "prebuilt" else "built"}
    init = [{"name": "git-clone", "image": "git"}] if strategy == "s2i" else []
    notes = {"oomward.dev/recover": "true", "recover.oomward.dev/images.notebook": THERE}
    labels = {"mlops.example.dev/job": job["name"]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": job["namespace"],
            "uid": f"uid-{name}",
            "labels": labels,
            "annotations": notes,
            "ownerReferences": [owner],
            "creationTimestamp": rfc3339(now_unix_s),
        },
        "spec": {"nodeName": "node-1", "restartPolicy": "Never", "initContainers": init, "containers": [container]},
        "status": {"phase": "Pending", "startTime": rfc3339(now_unix_s)},
    }


def _status(pod: Json, now_unix_s: float) -> Json:
    start: Json = {"startTime": pod["status"]["startTime"]}
    if pod["spec"]["initContainers"]:
        state: Json = {"waiting": {"reason": "CreateContainerConfigError", "message": CONSTRAINT}}
        return {
            **start,
            "phase": "Pending",
            "initContainerStatuses": [{"name": "git-clone", "restartCount": 0, "state": state}],
        }
    image = pod["spec"]["containers"][0]["image"]
    if image == MISSING:
        state = {
            "waiting": {"reason": "ImagePullBackOff", "message": f'failed to resolve reference "{image}": not found'}
        }
        return {
            **start,
            "phase": "Pending",
            "containerStatuses": [{"name": "notebook", "restartCount": 0, "state": state}],
        }
    if image == THERE:
        state = {"terminated": {"exitCode": 0, "reason": "Completed", "finishedAt": rfc3339(now_unix_s)}}
        return {
            **start,
            "phase": "Succeeded",
            "containerStatuses": [{"name": "notebook", "restartCount": 0, "state": state}],
        }
    ended = {"terminated": {"exitCode": 1, "reason": "Error", "finishedAt": rfc3339(now_unix_s)}}
    crash = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 20s restarting failed container"}}
    found: Json = {"name": "notebook", "restartCount": 3, "state": crash, "lastState": ended}
    return {**start, "phase": "Running", "containerStatuses": [found]}
