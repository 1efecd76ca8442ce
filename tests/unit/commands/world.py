"""A node to look at: ordinary directories for cgroups, a real ledger, the API's stand-in with the pods that run there."""

from __future__ import annotations

import time
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from agent.cgroup import mount
from agent.kernel.kmsg import boot_id
from agent.ledger import Ledger
from agent.model import KeptDecision, Mode, OomKill, Original, Scope, Victim
from agent.settings import Settings, load
from tests.lab.apiserver import ApiServer
from tests.unit.cgroup.fakes import make

NODE = "node-1"
UID, UID2 = "1b4e28ba-2fa1-11d2-883f-0016d3cca427", "2b4e28ba-2fa1-11d2-883f-0016d3cca427"
ID, ID2, SANDBOX_ID = "a" * 64, "b" * 64, "5" * 64
POD, POD2 = f"kubepods/burstable/pod{UID}", f"kubepods/pod{UID2}"
CONTAINER, OTHER, SANDBOX = f"{POD}/{ID}", f"{POD2}/{ID2}", f"{POD}/{SANDBOX_ID}"
MODE = "oomward.dev/mode"
MIB = 1 << 20


def status_json(name: str, container_id: str, **more: Any) -> dict[str, Any]:
    """A running container's status."""
    return {"name": name, "containerID": f"containerd://{container_id}", "state": {"running": {}}, **more}


def pod_json(
    name: str = "herder-1",
    uid: str = UID,
    ids: dict[str, str] | None = None,
    namespace: str = "default",
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
    limits: dict[str, str] | None = None,
) -> dict[str, Any]:
    """A running pod whose containers are the keys of ``ids``; ``limits`` by container's name."""
    ids = {"herder": ID} if ids is None else ids
    sizes = {name: {"limits": {"memory": limit}} for name, limit in (limits or {}).items()}
    meta = {"labels": labels or {}, "annotations": annotations or {}}
    return {
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "uid": uid, **meta},
        "spec": {"nodeName": NODE, "containers": [{"name": one, "resources": sizes.get(one, {})} for one in ids]},
        "status": {"phase": "Running", "containerStatuses": [status_json(one, ids[one]) for one in ids]},
    }


def a_kill(
    ordinal: int, at: float = 1000.0, processes: int = 1, pod: str = "herder-1", namespace: str = "default"
) -> OomKill:
    """A kill of the container ``herder``."""
    return OomKill(
        "boot", 7, ordinal, at, NODE, CONTAINER, processes, namespace, pod, UID, "herder", ID, (Victim(4312, "worker"),)
    )  # fmt: skip


class LookedAtNode:
    """One pod, default/herder-1, of one container with 256 MiB, and its sandbox. Tests change what they like."""

    def __init__(self, path: Path, server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path, self.server, self.version = path, server, "v2"
        self.mount, self.state = path / "mount", path / "state"
        self.options: dict[str, str] = {}
        self.mount.mkdir()
        self.state.mkdir()
        (self.mount / "cgroup.controllers").write_text("cpu memory\n")
        make(self.mount, POD, memory__max=f"{256 * MIB}\n", memory__current=f"{200 * MIB}\n")
        self.container(CONTAINER, knob=1, limit=256, usage=200)
        make(self.mount, SANDBOX)
        server.write_kubeconfig(path / "kubeconfig")
        server.put_pod(pod_json(limits={"herder": "256Mi"}))
        monkeypatch.setattr(mount, "_magic", lambda fd: mount.MAGICS[self.version])

    def container(self, path: str, knob: int = 0, limit: int | None = None, usage: int = 1, peak: int = 0) -> None:
        """A container's cgroup, sizes in MiB."""
        most = "max" if limit is None else str(limit * MIB)
        kept = {"memory__peak": f"{peak * MIB}\n"} if peak else {}
        sizes = {"memory__max": f"{most}\n", "memory__current": f"{usage * MIB}\n", **kept}
        make(self.mount, path, memory__oom__group=f"{knob}\n", **sizes)

    def write(self, path: str, text: str) -> None:
        """One control file."""
        (self.mount / path).write_text(text)

    def unreadable(self, path: str) -> None:
        """A control file that is there and can't be read: opening a directory's link gives ELOOP, for root too."""
        (self.mount / path).unlink()
        (self.mount / path).symlink_to("/dev/null")

    def to_v1(self) -> None:
        """The same pods on cgroup v1: memory/ is the hierarchy, nobody has memory.oom.group."""
        self.version = "v1"
        (self.mount / "cgroup.controllers").unlink()
        top = self.path / "memory"
        self.mount.rename(top)
        self.mount.mkdir()
        top.rename(self.mount / "memory")
        (self.mount / "memory" / "cgroup.procs").write_text("")
        for directory in (self.mount / "memory").rglob("*"):
            if directory.is_dir():
                for file in directory.glob("memory.*"):
                    file.unlink()
                (directory / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
                (directory / "memory.limit_in_bytes").write_text(f"{256 * MIB}\n")
                (directory / "memory.usage_in_bytes").write_text(f"{MIB}\n")

    def remember(
        self, *kills: OomKill, decided: tuple[KeptDecision, ...] = (), original: Original | None = None
    ) -> None:
        """As an agent's ledger has it."""
        ledger = Ledger.open(self.state, boot_id())
        ledger.record(list(kills), [], None)
        if decided:
            ledger.keep_decisions(decided[0].pod_uid, decided)
        if original is not None:
            ledger.remember_original(original)
        ledger.close()

    def remember_tolerant(self, count: int) -> None:
        """Mode single with a tolerance of five in ten minutes, and so many kills of late, named as the agent names them."""
        inode = (self.mount / CONTAINER).stat().st_ino
        kills = [
            replace(a_kill(n, at=time.time() - n), boot_id=boot_id(), cgroup_inode=inode, scope=Scope.CONTAINER)
            for n in range(1, count + 1)
        ]
        self.server.put_pod(pod_json(labels={MODE: "single"}, annotations={"oomward.dev/tolerate": "5/10m"}))
        self.remember(*kills)

    def decided(self) -> KeptDecision:
        """The last decision about the pod's container."""
        return KeptDecision(UID, UID, "default", "herder-1", "herder", ID, Mode.SINGLE, MODE)

    @property
    def settings(self) -> Settings:
        own = {"cgroup_mount": self.mount, "state_dir": self.state, "kubeconfig": self.path / "kubeconfig"}
        flags = {"node_name": NODE, **own}
        return load({key: str(value) for key, value in (flags | self.options).items()}, {})


class Terminal(StringIO):
    """A file that says it is a terminal."""

    def isatty(self) -> bool:
        return True
