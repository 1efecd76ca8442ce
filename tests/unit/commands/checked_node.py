"""A node for ``check``: ordinary directories for cgroups, a file for the kernel's log, the API's stand-in; all is well with it."""

from __future__ import annotations

import shutil
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from agent.cgroup import mount, proof
from agent.commands.check import check, checks_of
from agent.commands.output.table import Output
from agent.commands.probes import kernel
from agent.commands.probes.checks import Check, Status
from agent.settings import Settings, load
from tests.lab.apiserver import ApiServer
from tests.unit.cgroup.fakes import CONTAINER, FILES, make

NODE = "node-1"
UID = "1b4e28ba-2fa1-11d2-883f-0016d3cca427"
ID = "a" * 64
MODE = "oomward.dev/mode"
RECORD = b"6,1,100,-;Linux version 6.12\n"


def pod_json(labels: dict[str, str] | None = None, uid: str = UID, container_id: str = ID) -> dict[str, Any]:
    """A running pod of one container."""
    status = {"name": "herder", "containerID": f"containerd://{container_id}", "state": {"running": {}}}
    return {
        "kind": "Pod",
        "metadata": {"name": f"herder-{uid[:1]}", "namespace": "default", "uid": uid, "labels": labels or {}},
        "spec": {"nodeName": NODE, "containers": [{"name": "herder"}]},
        "status": {"phase": "Running", "containerStatuses": [status]},
    }


class CheckedNode:
    """``pids``: what stands in every container's cgroup.procs. Tests break what they like before they look."""

    def __init__(self, path: Path, server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path, self.server, self.patch = path, server, monkeypatch
        self.mount = path / "mount"
        self.state = path / "state"
        self.kmsg = path / "kmsg"
        self.options: dict[str, str] = {}
        self.mount.mkdir()
        self.state.mkdir()
        self.kmsg.write_bytes(RECORD)
        (self.mount / "cgroup.controllers").write_text("cpu memory\n")
        (self.mount / "cgroup.subtree_control").write_text("cpu memory\n")
        make(self.mount, CONTAINER, memory__oom__group="1\n", cgroup__procs="1\n")
        self.file("kubeconfig", "")
        server.write_kubeconfig(path / "kubeconfig")
        server.put_pod(pod_json())
        monkeypatch.setattr(mount, "_magic", lambda fd: mount.MAGICS["v2"])
        monkeypatch.setattr(kernel, "is_kmsg", lambda status: True)
        monkeypatch.setattr(proof, "_make", lambda top, name: self._made(self.mount / name))
        monkeypatch.setattr(proof, "_remove", lambda top, name: shutil.rmtree(self.mount / name))

    @staticmethod
    def _made(own: Path) -> None:
        own.mkdir()
        for name, text in FILES.items():
            (own / name).write_text(text)

    def file(self, path: str, text: str) -> None:
        """A file of this node."""
        (self.path / path).write_text(text)

    def container(self, uid: str, container_id: str, knob: str, labels: dict[str, str] | None = None) -> None:
        """One more container in a pod of its own."""
        path = f"kubepods/burstable/pod{uid}/{container_id}"
        make(self.mount, path, memory__oom__group=knob, cgroup__procs="1\n")
        self.server.put_pod(pod_json(labels, uid, container_id))

    @property
    def settings(self) -> Settings:
        own = {"cgroup_mount": self.mount, "state_dir": self.state, "kmsg": self.kmsg}
        flags = {"node_name": NODE, "kubeconfig": self.path / "kubeconfig", **own}
        return load({key: str(value) for key, value in (flags | self.options).items()}, {})

    def checks(self) -> list[Check]:
        """What check finds now."""
        return list(checks_of(self.settings))

    def told(self, name: str) -> Check:
        """The one check of this name."""
        (found,) = (one for one in self.checks() if one.name == name)
        return found

    def bad(self) -> dict[str, Status]:
        """Whatever is not well."""
        return {one.name: one.status for one in self.checks() if one.status is not Status.PASS}

    def run(self, output: Output = Output.TABLE) -> tuple[int, str]:
        """The command: its exit code and what it prints."""
        file = StringIO()
        return check(self.settings, output, file), file.getvalue()
