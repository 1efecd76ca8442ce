"""Ordinary directories that look like cgroups: their files are there when the directory appears, as the kernel has it."""

from __future__ import annotations

import shutil
from pathlib import Path

from agent.cgroup.layout import classify
from agent.model import Cgroup

POD = "kubepods/burstable/pod1b4e28ba-2fa1-11d2-883f-0016d3cca427"
CONTAINER = f"{POD}/{'a' * 64}"
FILES = {
    "memory.oom.group": "0\n",
    "memory.events": "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\noom_group_kill 0\n",
    "memory.events.local": "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\noom_group_kill 0\n",
    "memory.max": "max\n",
    "memory.current": "0\n",
    "memory.stat": "anon 0\nfile 0\nkernel 0\nshmem 0\nfile_dirty 0\nfile_writeback 0\nslab_reclaimable 0\nsock 0\n",
    "memory.swap.current": "0\n",
    "cgroup.controllers": "cpu memory\n",
    "cgroup.procs": "",
    "cgroup.events": "populated 1\nfrozen 0\n",
}


def make(mount: Path, path: str, **files: str) -> Cgroup:
    """Make a cgroup (and those above it), and move it into place with its files in it."""
    parent = mount
    for part in path.split("/"):
        place = parent / part
        if not place.exists():
            aside = mount.parent / f"aside-{part}"
            aside.mkdir()
            for name, text in FILES.items():
                (aside / name).write_text(text)
            for name, text in files.items() if place == mount / path else ():
                (aside / name.replace("__", ".")).write_text(text)
            aside.rename(place)
        parent = place
    return Cgroup(classify(path), (mount / path).stat().st_ino)


def remove(mount: Path, path: str) -> None:
    """Remove a cgroup and all below it."""
    gone = mount.parent / "gone"
    (mount / path).rename(gone)
    shutil.rmtree(gone)
