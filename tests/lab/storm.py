"""A storm of OOM kills: many containers in mode single, each with children that eat until they are killed and replaced.

The kernel's own counters are the oracle: what each container's cgroup has counted when the storm is over.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

from tests.lab.cgroups import MOUNT, memory_events
from tests.lab.kubelet import Kubelet
from tests.lab.signals import send
from tests.lab.spec import Container, Instance, Pod

MODE = "oomward.dev/mode"
LIMIT_MIB = 8
TIGHT_MIB = 12  # of a pod with containers of 8 and 9 MiB
ENDED_S = 60.0


class Storm:
    """``containers`` in pods of two, with both runtimes; they are quiet until begin().

    ``tight``: each fifth pod has a limit below the sum of its containers', so that now the pod's limit is hit and now a container's.
    """

    def __init__(self, kubelet: Kubelet, containers: int, *, tight: bool = False) -> None:
        self.instances: list[Instance] = []
        self._driver = kubelet.driver
        for number in range(containers // 2):
            runtime = "runc" if number % 5 == 0 else "crun"
            pair = tuple(
                Container(name, ("storm", "2", "0", "0", "0"), LIMIT_MIB + i) for i, name in enumerate(("a", "b"))
            )
            self.instances += kubelet.run_pod(
                Pod(
                    f"storm-{number}",
                    pair,
                    labels={MODE: "single"},
                    runtime=runtime,
                    limit_mib=TIGHT_MIB if tight and number % 5 == 4 else 64,
                )
            )

    def begin(self) -> None:
        """In each container two workers that eat without end, each replaced when it was killed.

        PID 1 is spared, and the sandbox's: with all workers dying it would be the kernel's choice now and then.
        """
        for pod in {self._driver.pod_path(instance.pod) for instance in self.instances}:
            for procs in (MOUNT / pod).rglob("cgroup.procs"):
                for pid in procs.read_text().split():
                    Path(f"/proc/{pid}/oom_score_adj").write_text("-1000")
        self._signal(signal.SIGUSR1)

    def counted(self) -> dict[str, int]:
        """Processes killed by container id, as the kernel has counted them so far."""
        return {i.container_id: memory_events(i.path).get("oom_kill", 0) for i in self.instances}

    def hits(self) -> tuple[dict[str, int], dict[str, int]]:
        """``hits`` of the containers by id, and of their pods by name."""
        of_containers = {i.container_id: hits(i.path) for i in self.instances}
        return of_containers, {i.pod.name: hits(self._driver.pod_path(i.pod)) for i in self.instances}

    def wait_for(self, kills: int, seconds: float, meanwhile: Callable[[], None]) -> None:
        """Until the kernel has counted so many in all. ``meanwhile`` is called over and over, and may raise."""
        until = time.monotonic() + seconds
        while (found := sum(self.counted().values())) < kills:
            if time.monotonic() > until:
                raise TimeoutError(f"{found} of {kills} kills in {seconds} s: too weak a storm")
            meanwhile()

    def end(self) -> dict[str, int]:
        """The workers are stopped. Returns what the kernel has counted when nobody is left to be killed."""
        self._signal(signal.SIGUSR2)
        until = time.monotonic() + ENDED_S
        while any(self._processes(instance) != 1 for instance in self.instances):
            if time.monotonic() > until:
                raise TimeoutError(f"workers are left {ENDED_S} s after the end")
            time.sleep(0.1)
        return self.counted()

    @staticmethod
    def _processes(instance: Instance) -> int:
        return len((MOUNT / instance.path / "cgroup.procs").read_text().split())

    def _signal(self, number: signal.Signals) -> None:
        for instance in self.instances:
            send(instance.pid, number)


def hits(path: str) -> int:
    """How often the limit of this very cgroup was hit with nothing left to reclaim (memory.events.local, cgroup v2)."""
    lines = (MOUNT / path / "memory.events.local").read_text().splitlines()
    return int(dict(line.split() for line in lines)["oom"])
