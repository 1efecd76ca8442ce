"""Real containers: OCI bundles for runc and crun as containerd would write them, and the runtimes' commands."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import uuid
from pathlib import Path
from typing import Any

from tests.lab.boot import REPO
from tests.lab.compiling import compiled
from tests.lab.programs import put_in
from tests.lab.spec import MIB, Container, Pod

WORK = Path("/run/oomward-lab")
HOG = REPO / "build" / "lab" / "hog"
SOURCE = REPO / "tests" / "lab" / "hog.c"


def build_hog() -> Path:
    """The lab's program. Raises NoKernelError."""
    return compiled(SOURCE, HOG, "-O1", "-static", "-pthread")


def root_filesystem() -> Path:
    """A root with nothing in it but the hog."""
    root = WORK / "rootfs"
    if not (root / "hog").exists():
        for name in ("proc", "sys/fs/cgroup", "dev", "out", "tmp"):
            (root / name).mkdir(parents=True, exist_ok=True)
        new = root / f"hog-{uuid.uuid4().hex}"
        shutil.copy2(HOG, new)
        new.replace(root / "hog")  # at once, since pods start side by side
    return root


def first_look(container_id: str) -> tuple[str, int] | None:
    """What the container saw at its first instruction: memory.oom.group and CLOCK_MONOTONIC in ns; None: not run yet."""
    try:
        line = (WORK / "bundles" / container_id / "out" / "first").read_text()
    except FileNotFoundError:
        return None
    if not line.endswith("\n"):
        return None
    value, at_ns = line.split()
    return value, int(at_ns)


def _mount(where: str, kind: str, source: str, *options: str) -> dict[str, object]:
    return {"destination": where, "type": kind, "source": source, "options": list(options)}


def bundle(pod: Pod, container: Container, container_id: str, cgroup: str, *, group: bool) -> Path:
    """An OCI bundle (runtime-spec config.json). ``group``: ``memory.oom.group`` 1, as the kubelet asks since 1.28."""
    folder = WORK / "bundles" / container_id
    (folder / "out").mkdir(parents=True, exist_ok=True)
    resources: dict[str, object] = {"devices": [{"allow": True, "access": "rwm"}], "unified": {}}
    if container.limit_mib is not None:
        resources["memory"] = {"limit": container.limit_mib * MIB}
    if group:
        resources["unified"] = {"memory.oom.group": "1"}
    if os.environ.get("OOMWARD_LAB_CGROUP") == "v1":
        del resources["unified"]
    config: dict[str, Any] = {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["/hog", *container.args],
            "env": ["PATH=/", "FIRST_LOOK=/out/first"],
            "cwd": "/",
            "oomScoreAdj": 0,
        },
        "root": {"path": str(root_filesystem()), "readonly": True},
        "mounts": [
            _mount("/proc", "proc", "proc"),
            # Each its own, as containerd gives it: runtimes make links in it, and the root is everybody's.
            _mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=64k"),
            _mount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid", "noexec", "nodev", "relatime", "rw"),
            _mount("/out", "bind", str(folder / "out"), "bind", "rw"),
        ],
        "annotations": {
            "io.kubernetes.cri.container-type": "sandbox" if container.name == "POD" else "container",
            "io.kubernetes.cri.container-name": container.name,
            "io.kubernetes.cri.sandbox-name": pod.name,
            "io.kubernetes.cri.sandbox-namespace": pod.namespace,
            "io.kubernetes.cri.sandbox-uid": pod.uid,
        },
        "linux": {
            "cgroupsPath": f"/{cgroup}",
            "namespaces": [{"type": kind} for kind in ("pid", "mount", "cgroup", "ipc", "uts")],
            "resources": resources,
        },
    }
    if container.program is not None:
        put_in(config, container.program, WORK / "programs")
    (folder / "config.json").write_text(json.dumps(config))
    return folder


class RuntimeFailedError(RuntimeError):
    """runc or crun said no."""


class Runtime:
    """``name`` is runc or crun; its state is in a folder of its own."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._root = WORK / name
        # The Go runtime's garbage collector and threads take most of runc's time on one processor.
        self._environment = os.environ | {"GOMAXPROCS": "1", "GOGC": "off"}
        (WORK / "logs").mkdir(parents=True, exist_ok=True)

    def _run(self, *arguments: str, log: str) -> None:
        path = WORK / "logs" / log
        with path.open("ab") as output:
            command = [self.name, "--root", str(self._root), *arguments]
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=self._environment, check=False
            )
        if done.returncode:
            raise RuntimeFailedError(
                f"{' '.join(command)} exited {done.returncode}: {path.read_text(errors='replace')[-600:]}"
            )

    def create(self, container_id: str, folder: Path) -> int:
        """Everything but the first instruction; returns the pid that will be PID 1."""
        pid_file = folder / "pid"
        self._run("create", "--bundle", str(folder), "--pid-file", str(pid_file), container_id, log=container_id)
        return int(pid_file.read_text())

    def start(self, container_id: str) -> None:
        """Let it run."""
        self._run("start", container_id, log=container_id)

    def execute(self, container_id: str, *arguments: str) -> int:
        """A further process in it, in the background; returns its pid."""
        pid_file = WORK / "bundles" / container_id / f"exec-{uuid.uuid4().hex}"
        self._run("exec", "--detach", "--pid-file", str(pid_file), container_id, *arguments, log=container_id)
        return int(pid_file.read_text())

    def probe(self, container_id: str, *arguments: str) -> int:
        """The exit code of a command in it, as of an exec probe."""
        command = [self.name, "--root", str(self._root), "exec", container_id, *arguments]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, env=self._environment, check=False
        )
        return done.returncode

    def update(self, container_id: str, limit_bytes: int, *, group: bool) -> None:
        """Another limit for a running container, as an in-place resize asks for; ``group``: memory.oom.group 1 comes with it again."""
        file = WORK / "bundles" / container_id / "update.json"
        resources: dict[str, object] = {"memory": {"limit": limit_bytes}}
        if group:
            resources["unified"] = {"memory.oom.group": "1"}
        file.write_text(json.dumps(resources))
        self._run("update", "--resources", str(file), container_id, log=container_id)

    def delete(self, container_id: str) -> None:
        """Remove what is left of it, its cgroup too."""
        self._run("delete", "--force", container_id, log=container_id)

    def forget_all(self) -> None:
        """Drop the state of all containers, whose processes and cgroups are gone already."""
        shutil.rmtree(self._root, ignore_errors=True)
