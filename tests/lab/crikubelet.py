"""The lab's kubelet on a real containerd and a real systemd: pods by CRI calls, slices by D-Bus, as the kubelet makes them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import grpc

from tests.lab import cgroups
from tests.lab.containerd import Containerd
from tests.lab.cri import CONTAINER, NODE, Cri
from tests.lab.drivers import Driver
from tests.lab.images import IMAGE
from tests.lab.kubelet import MOUNT, Kubelet
from tests.lab.runtime import WORK
from tests.lab.spec import MIB, Container, Instance, Pod
from tests.lab.status import SIGKILLED
from tests.lab.systemd import in_tree

OUT = WORK / "out"
MANAGER = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")
NAMESPACES = {"namespace_options": {"network": NODE, "pid": CONTAINER}}


class CriDriver(Driver):
    """containerd's names: crun's scopes are called as runc's are."""

    def container_path(self, pod: Pod, container_id: str) -> str:
        name = container_id if self.name == "cgroupfs" else f"cri-containerd-{container_id}.scope"
        return f"{self.pod_path(pod)}/{name}"


class CriKubelet(Kubelet):
    """As Kubelet, by the socket of ``containerd``. ``execute`` is ``run_in`` here."""

    FAILURES: tuple[type[Exception], ...] = (grpc.RpcError,)

    def __init__(self, node_name: str, driver: str, containerd: Containerd, **options: Any) -> None:
        self.containerd = containerd
        super().__init__(node_name, CriDriver(driver), **options)

    @property
    def cri(self) -> Cri:
        """What the kubelet asks."""
        return self.containerd.cri

    def run_in(self, instance: Instance, *command: str) -> tuple[int, str]:
        """``kubectl exec``: exit code and output."""
        answer = self.cri("ExecSync", container_id=instance.container_id, cmd=command, timeout=30)
        return answer.exit_code, (answer.stdout + answer.stderr).decode()

    def close(self) -> None:
        """Kill all at once, remove the cgroups, end containerd and forget what it knew. The API is told nothing: the node is gone."""
        with self._lock:
            self._pods.clear()
            ended_s = time.monotonic()
            for instance in self.instances:
                instance.ended_s = instance.ended_s or ended_s
                instance.exit_code = SIGKILLED if instance.exit_code is None else instance.exit_code
            self.containerd.close()
            if (kill := MOUNT / self.driver.root / "cgroup.kill").exists():
                kill.write_text("1")
        self._remove_cgroup(self.driver.root)
        self._loop.close()

    # ------------------------------------------------------------------------------------------------------ cgroups

    def _make_cgroup(self, path: str) -> None:
        if self.driver.name == "cgroupfs":
            cgroups.make(path)
            return
        for slice_path in [*reversed(Path(path).parents[:-1]), Path(path)]:
            if not (MOUNT / slice_path).exists():
                _start_slice(slice_path.name)
                self.wait_for((MOUNT / slice_path).exists, 10)  # the call begins a job

    def _set_limit(self, path: str, limit_bytes: int) -> None:
        if self.driver.name == "systemd":
            in_tree("systemctl", "set-property", "--runtime", Path(path).name, f"MemoryMax={limit_bytes}")
        cgroups.set_limit(path, limit_bytes)

    def _remove_cgroup(self, path: str) -> None:
        if self.driver.name == "systemd":
            in_tree("systemctl", "stop", Path(path).name)  # and all below it
        else:
            cgroups.remove(path)

    # --------------------------------------------------------------------------------------------------- containers

    def _start_sandbox(self, pod: Pod) -> str:
        answer = self.cri("RunPodSandbox", config=self._sandbox_config(pod), runtime_handler=pod.runtime)
        return str(answer.pod_sandbox_id)

    def _remove_sandbox(self, pod: Pod) -> None:
        """With all of its containers."""
        if (sandbox_id := self.sandboxes.pop(pod.uid, None)) is None:
            return  # it could not be started
        self.cri("StopPodSandbox", pod_sandbox_id=sandbox_id)
        self.cri("RemovePodSandbox", pod_sandbox_id=sandbox_id)

    def _start(self, pod: Pod, container: Container, restart: int) -> Instance:
        out = OUT / pod.uid / f"{container.name}-{restart}"
        out.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        container_id = self.cri(
            "CreateContainer",
            pod_sandbox_id=self.sandboxes[pod.uid],
            config=self._container_config(pod, container, restart, out),
            sandbox_config=self._sandbox_config(pod),
        ).container_id
        bundles = WORK / "bundles"
        bundles.mkdir(exist_ok=True)
        (bundles / container_id).mkdir()
        (bundles / container_id / "out").symlink_to(out)
        try:
            self.cri("StartContainer", container_id=container_id)
        except grpc.RpcError:
            self.cri("RemoveContainer", container_id=container_id)  # its name is free for the next try
            raise
        pid = self.cri.pid(container_id)
        path, inode = self._where(pod, container_id, pid)
        return Instance(pod, container.name, container_id, path, inode, pid, restart, began)

    def _where(self, pod: Pod, container_id: str, pid: int) -> tuple[str, int]:
        """The cgroup of its PID 1 and its inode; where it would be, and 0, when it has ended."""
        try:
            path = Path(f"/proc/{pid}/cgroup").read_text().strip().removeprefix("0::/")
            return path, (MOUNT / path).stat().st_ino
        except OSError:
            return self.driver.process_path(pod, container_id), 0

    def _watch(self, instance: Instance) -> None:
        try:
            super()._watch(instance)
        except (OSError, ValueError):  # it has ended
            self._loop.later(0, lambda: self._died(instance))

    def _update(self, instance: Instance, limit_bytes: int) -> None:
        self.cri("UpdateContainerResources", container_id=instance.container_id, linux=self._resources(limit_bytes))

    def _note_end(self, instance: Instance) -> None:
        exit_code, reason = self.cri.exit_of(instance.container_id)
        instance.events = {"oom_kill": 1} if reason == "OOMKilled" else {}
        instance.ended_s = time.monotonic()
        instance.exit_code = exit_code

    def _remove_container(self, instance: Instance) -> None:
        self.cri("RemoveContainer", container_id=instance.container_id)

    # ----------------------------------------------------------------------------------------- what is asked for

    def _sandbox_config(self, pod: Pod) -> dict[str, Any]:
        path = self.driver.pod_path(pod)
        return {
            "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.cgroup_key, "attempt": 0},
            "labels": pod.labels | _names(pod),
            "annotations": pod.annotations | {"kubernetes.io/config.source": "file" if pod.config_hash else "api"},
            "linux": {
                "cgroup_parent": Path(path).name if self.driver.name == "systemd" else f"/{path}",
                "security_context": NAMESPACES,
            },
        }

    def _container_config(self, pod: Pod, container: Container, restart: int, out: Path) -> dict[str, Any]:
        limit_bytes = None if container.limit_mib is None else container.limit_mib * MIB
        return {
            "metadata": {"name": container.name, "attempt": restart},
            "image": {"image": IMAGE},
            "command": ["/hog"],
            "args": list(container.args),
            "envs": [{"key": "FIRST_LOOK", "value": "/out/first"}],
            "mounts": [{"container_path": "/out", "host_path": str(out)}],
            "labels": _names(pod) | {"io.kubernetes.container.name": container.name},
            "annotations": {"io.kubernetes.container.restartCount": str(restart)},
            "linux": {
                "resources": self._resources(limit_bytes),
                "security_context": NAMESPACES,
            },
        }

    def _resources(self, limit_bytes: int | None) -> dict[str, Any]:
        asked: dict[str, Any] = {"unified": {"memory.oom.group": "1"}} if self._group else {}
        return asked if limit_bytes is None else asked | {"memory_limit_in_bytes": limit_bytes}


def _names(pod: Pod) -> dict[str, str]:
    """The kubelet's own labels."""
    return {
        "io.kubernetes.pod.name": pod.name,
        "io.kubernetes.pod.namespace": pod.namespace,
        "io.kubernetes.pod.uid": pod.cgroup_key,
    }


def _start_slice(name: str) -> None:
    """As the kubelet does it (opencontainers/cgroups, systemd/v2.go): a transient slice with all accounting on."""
    parent = f"{name.removesuffix('.slice').rpartition('-')[0]}.slice"
    properties = [("Description", "s", "libcontainer container " + name), ("DefaultDependencies", "b", "false")]
    properties += [(f"{what}Accounting", "b", "true") for what in ("Memory", "IO", "Tasks")]
    written = [word for property_ in properties for word in property_]
    count = len(properties)
    if parent != ".slice":
        written += ["Wants", "as", "1", parent]
        count += 1
    call = (
        "busctl",
        "call",
        *MANAGER,
        "StartTransientUnit",
        "ssa(sv)a(sa(sv))",
        name,
        "replace",
        str(count),
        *written,
        "0",
    )
    in_tree(*call)
