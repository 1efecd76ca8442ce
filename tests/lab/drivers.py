"""Where kubelet, containerd and CRI-O put cgroups, written down once more, apart from the agent's own layout room."""

from __future__ import annotations

from dataclasses import dataclass

from tests.lab.spec import Pod


@dataclass(frozen=True, slots=True)
class Driver:
    """``name`` is systemd or cgroupfs; ``prefix`` is what stands in front of kubepods (kind: ``kubelet``)."""

    name: str
    prefix: str = ""

    @property
    def root(self) -> str:
        """The kubepods cgroup, below the mount."""
        if self.name == "cgroupfs":
            return f"{self.prefix}/kubepods" if self.prefix else "kubepods"
        return f"{self.prefix}.slice/{self.prefix}-kubepods.slice" if self.prefix else "kubepods.slice"

    def pod_path(self, pod: Pod) -> str:
        """The pod's cgroup; Guaranteed pods have no level for their QoS class."""
        if self.name == "cgroupfs":
            parent = self.root if pod.guaranteed else f"{self.root}/{pod.qos}"
            return f"{parent}/pod{pod.cgroup_key}"
        stem = f"{self.prefix}-kubepods" if self.prefix else "kubepods"
        key = pod.cgroup_key.replace("-", "_")
        if pod.guaranteed:
            return f"{self.root}/{stem}-pod{key}.slice"
        return f"{self.root}/{stem}-{pod.qos}.slice/{stem}-{pod.qos}-pod{key}.slice"

    def container_path(self, pod: Pod, container_id: str) -> str:
        """The container's cgroup; under systemd crun puts processes and knob one level deeper (see process_path)."""
        if self.name == "cgroupfs":
            return f"{self.pod_path(pod)}/{container_id}"
        prefix = "crio" if pod.runtime == "crun" else "cri-containerd"
        return f"{self.pod_path(pod)}/{prefix}-{container_id}.scope"

    def process_path(self, pod: Pod, container_id: str) -> str:
        """Where the processes are, and memory.oom.group with them."""
        path = self.container_path(pod, container_id)
        return f"{path}/container" if self.name == "systemd" and pod.runtime == "crun" else path
