"""Pod objects in the API's JSON shape, with the statuses that a kubelet would report."""

from __future__ import annotations

from datetime import UTC, datetime

from tests.lab.spec import Container, Instance, Pod

LISTS = {
    "containers": "containers",
    "initContainers": "initContainers",
    "sidecar": "initContainers",
    "ephemeralContainers": "ephemeralContainers",
}
STATUSES = {
    "containers": "containerStatuses",
    "initContainers": "initContainerStatuses",
    "ephemeralContainers": "ephemeralContainerStatuses",
}
SIGKILLED = 137


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def pod_object(pod: Pod, node_name: str, instances: list[Instance]) -> dict[str, object]:
    """The pod as GET would give it, less what the API server adds itself (resourceVersion)."""
    annotations = dict(pod.annotations)
    if pod.config_hash is not None:
        annotations |= {"kubernetes.io/config.hash": pod.config_hash, "kubernetes.io/config.source": "file"}
    spec: dict[str, object] = {"nodeName": node_name, "restartPolicy": pod.restart_policy}
    status: dict[str, object] = {
        "phase": "Running" if any(i.running for i in instances) else "Pending",
        "qosClass": pod.qos.title(),
    }
    for kind, field in LISTS.items():
        mine = [c for c in pod.containers if c.kind == kind]
        if mine:
            spec[field] = [*_list(spec.get(field)), *(_container(c) for c in mine)]
            said = [s for c in mine if (s := _status(c, [i for i in instances if i.container == c.name])) is not None]
            status[STATUSES[field]] = [*_list(status.get(STATUSES[field])), *said]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod.name,
            "namespace": pod.namespace,
            "uid": pod.uid,
            "labels": dict(pod.labels),
            "annotations": annotations,
            "creationTimestamp": _now(),
        },
        "spec": spec,
        "status": status,
    }


def _list(value: object) -> list[object]:
    return list(value) if isinstance(value, list) else []


def _container(container: Container) -> dict[str, object]:
    found: dict[str, object] = {"name": container.name, "image": "lab/hog:1", "resources": {}}
    if container.limit_mib is not None:
        found["resources"] = {"limits": {"memory": f"{container.limit_mib}Mi"}}
    if container.kind == "sidecar":
        found["restartPolicy"] = "Always"
    return found


def _status(container: Container, instances: list[Instance]) -> dict[str, object] | None:
    if not instances:
        return None
    last = instances[-1]
    ended = [i for i in instances if not i.running]
    return {
        "name": container.name,
        "image": "lab/hog:1",
        "imageID": "lab/hog@sha256:0",
        "ready": last.running,
        "restartCount": last.restart,
        "containerID": f"containerd://{last.container_id}",
        "state": {"running": {"startedAt": _now()}} if last.running else {"terminated": _terminated(last)},
        "lastState": {"terminated": _terminated(ended[-1])} if last.running and ended else {},
    }


def _terminated(instance: Instance) -> dict[str, object]:
    oom = instance.exit_code == SIGKILLED and instance.events.get("oom_kill", 0) > 0
    return {
        "containerID": f"containerd://{instance.container_id}",
        "exitCode": instance.exit_code,
        "reason": "OOMKilled" if oom else ("Completed" if instance.exit_code == 0 else "Error"),
        "finishedAt": _now(),
    }
