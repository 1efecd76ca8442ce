"""A node with cgroups only, its API and the agent, to be filled with pods and churned."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from tests.bench.trees import MODE, Cgroups, Directories, a_pod, api_object
from tests.lab.agent_process import AgentProcess
from tests.lab.apiserver import ApiServer
from tests.lab.cgroups import MOUNT
from tests.lab.drivers import Driver
from tests.lab.spec import Instance, Pod

NODE = "bench-node"
ASKS = {MODE: "single"}
BOOKMARK_S = 60.0  # as kube-apiserver
HISTORY = 10_000
STATUS_AFTER_S = 1.0
MEMORY = Path("/dev/shm")


class Rig:
    """``pods`` pods, half of them with a desired mode. ``native``: on ordinary directories; else on the kernel's cgroups."""

    def __init__(self, pods: int, *, native: bool) -> None:
        self.work = Path(tempfile.mkdtemp(prefix="oomward-bench-", dir=MEMORY if native else None))
        self.native = native
        driver = Driver("systemd")
        self.tree: Cgroups = Directories(self.work / "cgroup", driver) if native else Cgroups(MOUNT, driver)
        self.api = ApiServer(bookmark_s=BOOKMARK_S, history=HISTORY)
        self.api.start()
        self.kubeconfig = self.work / "kubeconfig"
        self.api.write_kubeconfig(self.kubeconfig)
        self.instances: list[Instance] = []
        self._live: deque[Pod] = deque()
        self._unreported: deque[tuple[float, Pod, list[Instance]]] = deque()
        self._number = 0
        self._kmsg = self._silent_log() if native else -1
        for _ in range(pods):
            self.come(0.0)
        self._report(float("inf"))

    @property
    def log(self) -> int:
        """The native rig's kernel log: write records of /dev/kmsg here."""
        return self._kmsg

    @property
    def pods(self) -> int:
        return len(self._live)

    def _silent_log(self) -> int:
        """A FIFO in place of /dev/kmsg: the agent does not get this machine's log."""
        os.mkfifo(self.work / "kmsg")
        return os.open(self.work / "kmsg", os.O_RDWR)

    # ---------------------------------------------------------------------------------------------------- the agent

    def start(
        self, *options: str, tree: Path | None = None, environment: Mapping[str, str] = MappingProxyType({})
    ) -> tuple[AgentProcess, float]:
        """The agent, and how long it took from its start until it was ready. ``tree``, ``environment``: as for AgentProcess."""
        if self.native:
            options += ("--cgroup-mount", str(self.tree.mount), "--kmsg", str(self.work / "kmsg"))
        module = "tests.bench.on_directories" if self.native else "tests.bench.as_in_cluster"
        began = time.monotonic()
        agent = AgentProcess(
            self.work,
            self.kubeconfig,
            node_name=NODE,
            port=free_port(),
            extra=options,
            module=module,
            tree=tree,
            environment=environment,
        )
        until = began + 60
        while agent.get("/readyz")[0] != 200:
            if agent.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"the agent isn't ready: {agent.log_path.read_text()[-3000:]}")
            time.sleep(0.005)
        return agent, time.monotonic() - began

    # -------------------------------------------------------------------------------------------------------- pods

    def come(self, write_after_s: float = 0.03) -> list[Instance]:
        """One more pod: first in the API; its statuses follow one second after its start."""
        self._number += 1
        pod = a_pod(self._number, ASKS)
        self.api.put_pod(api_object(pod, NODE, []))
        started = self.tree.add(pod, write_after_s)
        self.instances += started
        self._live.append(pod)
        self._unreported.append((time.monotonic() + STATUS_AFTER_S, pod, started))
        return started

    def go(self) -> None:
        """Delete the oldest pod."""
        pod = self._live.popleft()
        self.tree.remove(pod)
        self.api.delete_pod(pod.namespace, pod.name)
        self.instances = [i for i in self.instances if i.pod.uid != pod.uid]

    def _report(self, now_s: float) -> None:
        while self._unreported and self._unreported[0][0] <= now_s:
            _, pod, started = self._unreported.popleft()
            self.api.put_pod(api_object(pod, NODE, started))

    def churn(self, seconds: float, every_s: float = 1.0) -> int:
        """Add one pod and delete one, every ``every_s``; returns how many were added."""
        began, came = time.monotonic(), 0
        while (now := time.monotonic()) - began < seconds:
            self.come()
            self.go()
            came += 1
            while (left := now + every_s - time.monotonic()) > 0:
                self._report(time.monotonic())
                time.sleep(min(0.1, left))
        self._report(float("inf"))
        return came

    def close(self) -> None:
        """Stop and remove everything."""
        self.api.close()
        self.tree.close()
        if self._kmsg >= 0:
            os.close(self._kmsg)
        shutil.rmtree(self.work)


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
