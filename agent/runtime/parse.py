"""The runtime's pods and containers become ours, once. Pure."""

from __future__ import annotations

from types import MappingProxyType

from agent.model import Pod, RuntimeContainer, Sandbox
from agent.runtime.nri_pb2 import Container, PodSandbox

OURS = "oomward.dev/"
# What the kubelet adds to the pod's own labels (newPodLabels, pkg/kubelet/kuberuntime/labels.go).
KUBELETS = ("io.kubernetes.pod.name", "io.kubernetes.pod.namespace", "io.kubernetes.pod.uid")


def sandbox_of(pod: PodSandbox) -> Sandbox | None:
    """None: not a pod of the kubelet, or without an id."""
    if not (pod.id and pod.uid and pod.namespace and pod.name):
        return None
    labels = {key: value for key, value in pod.labels.items() if key not in KUBELETS}
    annotations = {key: value for key, value in pod.annotations.items() if OURS in key}
    found = Pod(
        pod.uid, pod.namespace, pod.name, "", labels=MappingProxyType(labels), annotations=MappingProxyType(annotations)
    )
    return Sandbox(pod.id, found)


def container_of(container: Container) -> RuntimeContainer | None:
    """None: without an id or a name."""
    if not (container.id and container.name):
        return None
    return RuntimeContainer(container.id, container.name, container.pod_sandbox_id)
