"""Where a kubelet and a runtime put pods and containers: the way back of agent.cgroup.layout, which only reads what is there."""

from __future__ import annotations

from agent.cgroup.layout import RUNTIMES


def pod_path(root: str, qos: str, key: str) -> str:
    """Where the kubelet puts a pod below ``root``; ``qos`` is ``guaranteed``, ``burstable`` or ``besteffort``.

    The driver follows from the root's name: slices are systemd's (pkg/kubelet/cm/cgroup_manager_linux.go).
    """
    if not root.endswith(".slice"):
        return "/".join(p for p in (root, qos if qos != "guaranteed" else "", f"pod{key}") if p)
    stem = root.rpartition("/")[2].removesuffix(".slice")
    level = stem if qos == "guaranteed" else f"{stem}-{qos}"
    between = "" if qos == "guaranteed" else f"{level}.slice/"
    return f"{root}/{between}{level}-pod{key.replace('-', '_')}.slice"


def container_path(pod: str, container_id: str, runtime: str) -> str:
    """Where a runtime (``containerd``, ``cri-o``, ``docker``, …) puts a container below the pod's path."""
    prefix = next(p for p, name in RUNTIMES.items() if name == runtime)
    if pod.endswith(".slice"):
        return f"{pod}/{prefix}-{container_id}.scope"
    return f"{pod}/crio-{container_id}" if runtime == "cri-o" else f"{pod}/{container_id}"
