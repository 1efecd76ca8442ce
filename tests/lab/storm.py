"""A storm of OOM kills: many containers in mode single, each with children that eat until they are killed and replaced.

The kernel's own counters are the oracle: what each container's cgroup has counted when the storm is over.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from tests.lab.cgroups import MOUNT, memory_events
from tests.lab.kubelet import Kubelet
from tests.lab.spec import Container, Instance, Pod

MODE = "oomward.dev/mode"
LIMIT_MIB = 8
ENDED_S = 60.0


class Storm:
    """``containers`` in pods of two, with both runtimes; they are quiet until begin()."""

    def __init__(self, kubelet: Kubelet, containers: int) -> None:
        self.instances: list[Instance] = []
        for number in range(containers // 2):
            runtime = "runc" if number % 5 == 0 else "crun"
            pair = tuple(
                Container(name, ("storm", "2", "0", "0", "0"), LIMIT_MIB + i) for i, name in enumerate(("a", "b"))
            )
            self.instances += kubelet.run_pod(
                Pod(f"storm-{number}", pair, labels={MODE: "single"}, runtime=runtime, limit_mib=64)
            )

    def begin(self) -> None:
        """In each container two workers that eat without end, each replaced when it was killed.

        PID 1 is spared: with all its workers dying it would be the kernel's choice now and then.
        """
        for instance in self.instances:
            Path(f"/proc/{instance.pid}/oom_score_adj").write_text("-1000")
        self._signal(signal.SIGUSR1)

    def counted(self) -> dict[str, int]:
        """Processes killed by container id, as the kernel has counted them so far."""
        return {i.container_id: memory_events(i.path).get("oom_kill", 0) for i in self.instances}

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

    def _signal(self, number: int) -> None:
        for instance in self.instances:
            os.kill(instance.pid, number)
