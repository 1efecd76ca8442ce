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
QOS_CLASSES = {"guaranteed": "Guaranteed", "burstable": "Burstable", "besteffort": "BestEffort"}
POD_IP = "198.51.100.1"
SIGKILLED = 137


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def pod_object(pod: Pod, node_name: str, instances: list[Instance]) -> dict[str, object]:
    """The pod as GET would give it, less what the API server adds itself (resourceVersion)."""
    annotations = dict(pod.annotations)
    if pod.config_hash is not None:
        mirrored = dict.fromkeys(("kubernetes.io/config.hash", "kubernetes.io/config.mirror"), pod.config_hash)
        annotations |= mirrored | {"kubernetes.io/config.source": "file"}
    spec: dict[str, object] = {"nodeName": node_name, "restartPolicy": pod.restart_policy}
    if volumes := [c.memory_volume for c in pod.containers if c.memory_volume]:
        spec["volumes"] = [{"name": name, "emptyDir": {"medium": "Memory"}} for name in volumes]
    if pod.limit_mib is not None:
        spec["resources"] = {"limits": {"memory": f"{pod.limit_mib}Mi"}}
    status: dict[str, object] = {"phase": _phase(pod, instances), "qosClass": QOS_CLASSES[pod.qos]}
    if instances:
        status |= {"podIP": POD_IP, "podIPs": [{"ip": POD_IP}], "hostIP": "192.0.2.1"}
    for kind, field in LISTS.items():
        mine = [c for c in pod.containers if c.kind == kind]
        if mine:
            spec[field] = [*_list(spec.get(field)), *(_container(c) for c in mine)]
            if instances:
                said = [_status(c, [i for i in instances if i.container == c.name]) for c in mine]
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


def _phase(pod: Pod, instances: list[Instance]) -> str:
    """Pending, Running, Succeeded or Failed, as the kubelet's getPhase has it, from the regular containers."""
    last = {i.container: i for i in instances}
    regular = [last.get(c.name) for c in pod.containers if c.kind == "containers"]
    if not regular or any(i is None for i in regular):
        return "Pending"
    codes = [i.exit_code for i in regular if i is not None]
    if None in codes or pod.restart_policy == "Always" or (pod.restart_policy == "OnFailure" and any(codes)):
        return "Running"
    return "Failed" if any(codes) else "Succeeded"


def _list(value: object) -> list[object]:
    return list(value) if isinstance(value, list) else []


def _container(container: Container) -> dict[str, object]:
    found: dict[str, object] = {"name": container.name, "image": "lab/hog:1", "resources": {}}
    if container.limit_mib is not None:
        found["resources"] = {"limits": {"memory": f"{container.limit_mib}Mi"}}
    if container.memory_volume:
        found["volumeMounts"] = [{"name": container.memory_volume, "mountPath": "/tmp"}]
    if container.kind == "sidecar":
        found["restartPolicy"] = "Always"
    return found


def _status(container: Container, instances: list[Instance]) -> dict[str, object]:
    status: dict[str, object] = {
        "name": container.name,
        "image": "lab/hog:1",
        "imageID": "",
        "ready": False,
        "lastState": {},
    }
    if not instances:
        return status | {"restartCount": 0, "state": {"waiting": {"reason": "PodInitializing"}}}
    last = instances[-1]
    before = [i for i in instances if not i.running and (i is not last or i.backing_off)]
    if last.running:
        state: dict[str, object] = {"running": {"startedAt": _now()}}
    elif last.backing_off:
        state = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off restarting failed container"}}
    else:
        state = {"terminated": _terminated(last)}
    return status | {
        "imageID": "lab/hog@sha256:0",
        "ready": last.running,
        "restartCount": last.restart,
        "containerID": f"containerd://{last.container_id}",
        "state": state,
        "lastState": {"terminated": _terminated(before[-1])} if before else {},
    }


def _terminated(instance: Instance) -> dict[str, object]:
    oom = instance.exit_code == SIGKILLED and instance.events.get("oom_kill", 0) > 0
    return {
        "containerID": f"containerd://{instance.container_id}",
        "exitCode": instance.exit_code,
        "reason": "OOMKilled" if oom else ("Completed" if instance.exit_code == 0 else "Error"),
        "finishedAt": _now(),
    }
