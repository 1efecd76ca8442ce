"""Pods without processes: only their cgroups, as kubelet and runtime create them; real cgroups, or directories in their place.

For the agent's cost on a node with 500 pods. Directories are created elsewhere and moved into place, so that they have their
files from the start, as in the kernel.
"""

from __future__ import annotations

import os
import shutil
import time
import uuid
from pathlib import Path

from tests.lab import cgroups
from tests.lab.drivers import Driver
from tests.lab.spec import MIB, Container, Instance, Pod
from tests.lab.status import pod_object

MODE = "oomward.dev/mode"
EVENTS = "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\noom_group_kill 0\n"
STAT = (
    "anon",
    "file",
    "kernel",
    "kernel_stack",
    "pagetables",
    "sock",
    "shmem",
    "file_dirty",
    "file_writeback",
    "slab_reclaimable",
    "slab",
)
FILES = {
    "cgroup.controllers": "cpu memory pids\n",
    "cgroup.subtree_control": "memory\n",
    "cgroup.procs": "",
    "cgroup.events": "populated 1\nfrozen 0\n",
    "memory.oom.group": "0\n",
    "memory.events": EVENTS,
    "memory.events.local": EVENTS,
    "memory.max": "max\n",
    "memory.current": f"{MIB}\n",
    "memory.peak": f"{2 * MIB}\n",
    "memory.stat": "".join(f"{name} {MIB}\n" for name in STAT),
    "memory.swap.current": "0\n",
}
WRITE_AFTER_S = 0.03  # from the directory to the runtime's write of 1
OBJECT_BYTES = 8 << 10  # a usual Deployment's pod, with managedFields, as the API sends it


class Cgroups:
    """Real cgroups of the kernel that this runs on."""

    def __init__(self, mount: Path, driver: Driver) -> None:
        self.mount = mount
        self.driver = driver
        self.wrote_s: dict[str, float] = {}  # when a runtime's write to memory.oom.group began, by the container's path
        self.prepare()

    def prepare(self) -> None:
        """The kubepods root."""
        cgroups.make(self.driver.root)

    def add(self, pod: Pod, write_after_s: float = WRITE_AFTER_S) -> list[Instance]:
        """The pod's cgroup, its sandbox and its containers; each container gets the runtime's 1 a little later."""
        self.make(self.driver.pod_path(pod), None)
        self.make(self.driver.container_path(pod, _new_id()), None)
        started = [self._start(pod, container) for container in pod.containers]
        time.sleep(write_after_s)
        for instance in started:
            self.wrote_s[instance.path] = time.monotonic()
            write_oom_group(self.mount / instance.path, 1)
        return started

    def _start(self, pod: Pod, container: Container) -> Instance:
        container_id = _new_id()
        path = self.driver.container_path(pod, container_id)
        self.make(path, container.limit_mib)
        inode = (self.mount / path).stat().st_ino
        return Instance(pod, container.name, container_id, path, inode, 0, 0, time.monotonic())

    def make(self, path: str, limit_mib: int | None) -> None:
        """One cgroup."""
        cgroups.make(path)
        if limit_mib is not None:
            cgroups.set_limit(path, limit_mib * MIB)

    def remove(self, pod: Pod) -> None:
        """The pod's cgroup and those below it."""
        cgroups.remove(self.driver.pod_path(pod))

    def close(self) -> None:
        """Remove all."""
        cgroups.remove(self.driver.root)


class Directories(Cgroups):
    """Ordinary directories below ``mount``, which should be a tmpfs."""

    def prepare(self) -> None:
        self._aside = self.mount.with_name(f"{self.mount.name}.aside")
        self._aside.mkdir(parents=True)
        self.mount.mkdir()
        self._put_files(self.mount, None)
        self.make(self.driver.root, None)

    def make(self, path: str, limit_mib: int | None) -> None:
        parent = path.rpartition("/")[0]
        if parent and not (self.mount / parent).exists():
            self.make(parent, None)
        folder = self._aside / "new"
        folder.mkdir()
        self._put_files(folder, limit_mib)
        folder.rename(self.mount / path)

    @staticmethod
    def _put_files(folder: Path, limit_mib: int | None) -> None:
        for name, text in FILES.items():
            (folder / name).write_text(text)
        if limit_mib is not None:
            (folder / "memory.max").write_text(f"{limit_mib * MIB}\n")

    def remove(self, pod: Pod) -> None:
        top = self.mount / self.driver.pod_path(pod)
        for folder in [*(p for p in top.iterdir() if p.is_dir()), top]:
            gone = self._aside / "gone"
            folder.rename(gone)
            shutil.rmtree(gone)

    def close(self) -> None:
        shutil.rmtree(self.mount)
        shutil.rmtree(self._aside)


def write_oom_group(folder: Path, value: int) -> None:
    """As a runtime does. Without O_TRUNC: an ordinary file would be empty for a moment."""
    fd = os.open(folder / "memory.oom.group", os.O_WRONLY)
    os.pwrite(fd, b"%d\n" % value, 0)
    os.close(fd)


def a_pod(number: int, label: dict[str, str]) -> Pod:
    """A pod with one or two containers, every other pod with ``label``."""
    containers = tuple(Container(f"c{i}", ("pause",), 64 + i) for i in range(1 + number % 2))
    labels = {"app": f"app-{number}"} | (label if number % 2 else {})
    return Pod(f"app-{number}-7d4b9c6f5-x{number:04}", containers, f"team-{number % 10}", labels, runtime="runc")


def api_object(pod: Pod, node: str, instances: list[Instance]) -> dict[str, object]:
    """The pod as the API sends it, of a usual size."""
    found = pod_object(pod, node, instances)
    metadata = found["metadata"]
    assert isinstance(metadata, dict)
    short = OBJECT_BYTES - len(repr(found))
    fields: dict[str, object] = {f"f:field-{i}": {} for i in range(max(0, short) // 18)}
    metadata["managedFields"] = [
        {"manager": "kubelet", "operation": "Update", "apiVersion": "v1", "fieldsV1": fields, "subresource": "status"}
    ]
    return found


def _new_id() -> str:
    return uuid.uuid4().hex + uuid.uuid4().hex
