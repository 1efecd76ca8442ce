"""Containers of the emulated machine that stall: a heap and executable text that together don't fit, on a slow disk."""

from __future__ import annotations

import time
from pathlib import Path

from agent.cgroup.psi import stalled_us
from tests.kernel.conftest import MODE, Node
from tests.kernel_psi.conftest import DISK
from tests.lab.cgroups import MOUNT
from tests.lab.runtime import HOG
from tests.lab.spec import Container, Folder, Instance, Pod, Program

KNOWN = (
    500  # pages that had to go although they were in use, and came back: the kernel counts waits for such pages only
)
WARM_S = PATIENCE_S = 120.0
READS_PER_S = 200
NUMBER = Path("/sys/block/vda/dev")


def crowd(heap_mib: int, text_kib: int, limit_mib: int, skip_mib: int) -> Container:
    """It has that much memory of its own and executes that much from the disk, from ``skip_mib`` on: page cache is its first user's."""
    argv = ("/lab/hog", "crowd", str(heap_mib), str(text_kib), str(DISK), str(skip_mib))
    folders = (Folder("/lab", str(HOG.parent)), Folder(str(DISK), str(DISK)))
    return Container("main", (), limit_mib, program=Program(argv, folders=folders))


def start_to_stall(node: Node, pod: Pod, reads_per_s: int = READS_PER_S) -> Instance:
    """The pod's container "main" gets to stall: the disk becomes slow for it once the kernel knows its text as in use."""
    node.kubelet.run_pod(pod)
    instance = node.kubelet.running(pod, "main")
    at = MOUNT / instance.path
    node.kubelet.wait_for(lambda: stat(at, "workingset_restore_file") >= KNOWN, WARM_S)
    slow_down(instance.path, reads_per_s)
    return instance


def stat(cgroup: Path, field: str) -> int:
    """A field of memory.stat."""
    return int(dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())[field])


def slow_down(path: str, reads_per_s: int) -> None:
    """The disk has that many reads for this cgroup."""
    at = MOUNT
    for part in path.split("/"):
        (at / "cgroup.subtree_control").write_text("+io")
        at /= part
    (at / "io.max").write_text(f"{NUMBER.read_text().strip()} riops={reads_per_s}")


def wait_for_a_stall(instance: Instance, share: float, window_s: int, lasts_s: int) -> None:
    """Until for ``lasts_s`` nothing of the container ran in that share of each window. AssertionError when it does not get to that."""
    seconds: list[float] = []
    before_s, before_us = time.monotonic(), _stalled_us(instance)
    until_s = before_s + PATIENCE_S
    while not _stalled(seconds[-lasts_s - window_s :], share, window_s, lasts_s):
        assert before_s < until_s, f"it stalls {' '.join(f'{100 * one:.0f}' for one in seconds)} % of each second"
        time.sleep(1.0)
        now_s, now_us = time.monotonic(), _stalled_us(instance)
        seconds.append((now_us - before_us) / 1e6 / (now_s - before_s))
        before_s, before_us = now_s, now_us
    print(f"{instance.pod.name} stalled {' '.join(f'{100 * one:.0f}' for one in seconds)} % of each second")


def _stalled(seconds: list[float], share: float, window_s: int, lasts_s: int) -> bool:
    windows = [sum(seconds[at : at + window_s]) / window_s for at in range(len(seconds) - window_s + 1)]
    return len(windows) > lasts_s and min(windows) >= share


def _stalled_us(instance: Instance) -> int:
    found = stalled_us((MOUNT / instance.path / "memory.pressure").read_text())
    assert found is not None
    return found


def asking(name: str, on_stall: str, *containers: Container, limit_mib: int | None = None, after: str = "10s") -> Pod:
    """A pod that asks for this at a stall; empty: for nothing."""
    annotations = {"oomward.dev/on-stall": on_stall, "oomward.dev/stall-after": after} if on_stall else {}
    return Pod(name, containers, labels={MODE: "single"}, annotations=annotations, limit_mib=limit_mib)
