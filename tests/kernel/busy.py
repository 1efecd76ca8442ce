"""A node whose processors are all busy, and the agent in its container there, with no more weight than its CPU request gives it."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from pathlib import Path

from tests.kernel.conftest import RUNTIMES
from tests.kernel.profiled import ProfiledNode, start
from tests.lab import cgroups
from tests.lab.spec import Instance

BURNERS = (os.cpu_count() or 1) + 2
STARTS = 4  # of each runtime


def burn(node: ProfiledNode) -> Instance:
    """From now on there is always somebody else who wants the processor."""
    return start(node, "busy", "burn", str(BURNERS), asks=None)


def gives_real_time() -> bool:
    """Whether this kernel lets processes in cgroups have real-time priority; with CONFIG_RT_GROUP_SCHED it doesn't."""
    cgroups.make("tried")
    leaf = cgroups.MOUNT / "tried" / "leaf"  # without controllers for its children: a process may be in it
    leaf.mkdir()
    tried = subprocess.run(["sh", "-c", f"echo $$ > {leaf}/cgroup.procs && exec chrt --rr 1 true"], check=False)
    cgroups.remove("tried")
    return tried.returncode == 0


def policies(node: ProfiledNode) -> set[int]:
    """Of the agent's threads."""
    found = set()
    for task in Path(f"/proc/{node.agent.pid}/task").iterdir():
        with suppress(ProcessLookupError):  # one that served a client, and has ended
            found.add(os.sched_getscheduler(int(task.name)) & ~os.SCHED_RESET_ON_FORK)
    return found


def late_starts(node: ProfiledNode, name: str) -> list[str]:
    """Start containers one after the other; those that began with the runtime's value."""
    late = []
    for runtime in RUNTIMES:
        for number in range(STARTS):
            instance = start(node, f"{name}-{runtime}-{number}", runtime=runtime)
            if node.kubelet.first_look(instance) != "0":
                late.append(f"{runtime} {number}")
            node.kubelet.delete_pod(instance.pod)
    return late
