"""The lab's own hand on cgroups: makes and removes them as the kubelet does, and reads their counters for the oracle.

Owns nothing of the agent's code on purpose: what the agent says is compared with what is read here.
On cgroup v1 it works on the memory hierarchy; runtimes make and remove a container's directories in the others.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

V1 = os.environ.get("OOMWARD_LAB_CGROUP") == "v1"
ROOT = Path("/sys/fs/cgroup")
MOUNT = ROOT / "memory" if V1 else ROOT
LIMIT_FILE = "memory.limit_in_bytes" if V1 else "memory.max"
EVENTS_FILE = "memory.oom_control" if V1 else "memory.events"
PATIENCE_S = 5.0
PAUSE_S = 0.01
CONTROLLERS = ("memory", "cpu", "pids")


def memory_events(path: str) -> dict[str, int]:
    """memory.events of a cgroup (v1: memory.oom_control, which has ``oom_kill`` too), {} when it is gone."""
    try:
        lines = (MOUNT / path / EVENTS_FILE).read_text().splitlines()
    except OSError:
        return {}
    return {key: int(value) for key, value in (line.split() for line in lines)}


def set_limit(path: str, limit_bytes: int) -> None:
    """Give a cgroup a memory limit."""
    (MOUNT / path / LIMIT_FILE).write_text(str(limit_bytes))


def set_cpu_weight(path: str, shares: int) -> None:
    """cpu.weight for what the kubelet calls shares, as runc made it of them before 1.3.2 (ConvertCPUSharesToCgroupV2Value)."""
    weight = 1 + (shares - 2) * 9999 // 262142
    (MOUNT / path / "cpu.weight").write_text(str(weight))


def enable_controllers(folder: Path) -> None:
    """Give the children of a cgroup memory, cpu and pids, as far as it has them (v2; on v1 all have)."""
    if V1:
        return
    have = (folder / "cgroup.controllers").read_text().split()
    (folder / "cgroup.subtree_control").write_text(" ".join(f"+{c}" for c in CONTROLLERS if c in have))


def make(path: str) -> None:
    """Make a cgroup and those above it, each with its controllers handed down."""
    enable_controllers(MOUNT)
    at = MOUNT
    for part in path.split("/"):
        at /= part
        at.mkdir(exist_ok=True)
        enable_controllers(at)


def remove(path: str) -> None:
    """Remove a cgroup and those below it, the deepest first. Processes just killed take a moment to leave.

    It pauses between its tries: a container's processes have so little weight against it that it would keep them from ending, and the
    kernel from finishing a group kill, by more than a second. TimeoutError when for 5 s none can be removed.
    """
    until = time.monotonic() + PATIENCE_S
    for mount in [folder for folder in ROOT.iterdir() if folder.is_dir()] if V1 else [MOUNT]:
        while (mount / path).exists():
            if _remove_once(mount / path):
                until = time.monotonic() + PATIENCE_S
            elif time.monotonic() > until:
                raise TimeoutError(f"cgroup {mount / path} can't be removed: see its cgroup.procs")
            else:
                time.sleep(PAUSE_S)


def _remove_once(top: Path) -> int:
    """How many could be removed; some are still populated: the caller tries again until its time is over."""
    removed = 0
    below = sorted((p for p in top.rglob("*") if p.is_dir()), key=lambda p: -len(p.parts))
    for folder in [*below, top]:
        with suppress(OSError):
            folder.rmdir()
            removed += 1
    return removed
