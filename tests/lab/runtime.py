"""Real containers: OCI bundles for runc and crun as containerd would write them, and the runtimes' commands."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from tests.lab.boot import REPO
from tests.lab.spec import MIB, Container, Pod

WORK = Path("/run/oomward-lab")
HOG = REPO / "build" / "lab" / "hog"
SOURCE = REPO / "tests" / "lab" / "hog.c"


def build_hog() -> Path:
    """The lab's program, compiled anew when its source is newer. To be called before the boot: inside all is read-only."""
    if not HOG.exists() or HOG.stat().st_mtime < SOURCE.stat().st_mtime:
        HOG.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cc", "-O1", "-static", "-Wall", "-Wextra", "-Werror", "-o", HOG, SOURCE], check=True)
    return HOG


def root_filesystem() -> Path:
    """A root with nothing in it but the hog."""
    root = WORK / "rootfs"
    if not (root / "hog").exists():
        for name in ("proc", "sys/fs/cgroup", "dev", "out", "tmp"):
            (root / name).mkdir(parents=True, exist_ok=True)
        shutil.copy2(HOG, root / "hog")
    return root


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
    config = {
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
    (folder / "config.json").write_text(json.dumps(config))
    return folder


class RuntimeFailedError(RuntimeError):
    """runc or crun said no."""


class Runtime:
    """``name`` is runc or crun; its state is in a folder of its own."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._root = WORK / name
        (WORK / "logs").mkdir(parents=True, exist_ok=True)

    def _run(self, *arguments: str, log: str) -> None:
        path = WORK / "logs" / log
        with path.open("ab") as output:
            command = [self.name, "--root", str(self._root), *arguments]
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False)
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

    def execute(self, container_id: str, *arguments: str) -> None:
        """A further process in it, in the background."""
        self._run("exec", "--detach", container_id, *arguments, log=container_id)

    def update_memory(self, container_id: str, limit_bytes: int) -> None:
        """Another limit for a running container, as an in-place resize asks for."""
        self._run("update", "--memory", str(limit_bytes), container_id, log=container_id)

    def delete(self, container_id: str) -> None:
        """Remove what is left of it, its cgroup too."""
        self._run("delete", "--force", container_id, log=container_id)
