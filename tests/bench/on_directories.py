"""The agent without cgroup v2: ordinary directories in place of cgroups (trees.py). For times on the bare machine.

It is the agent's own code, except that the file system's magic number is not checked. inotify works on a tmpfs as on cgroups; the
parts of a real kernel (its own writes, its counters) are measured in the lab.

``OOMWARD_BENCH_TURNS`` names a file that takes, when the agent ends, a line for each turn of the loop: when it began (CLOCK_MONOTONIC),
how long it took, in seconds, and how often the kernel gave its processor to another thread meanwhile (getrusage(2), ru_nivcsw).
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import resource
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

from agent import cli
from agent.cgroup.files import CgroupFiles

TURNS = os.environ.get("OOMWARD_BENCH_TURNS")


def module(*names: str) -> ModuleType:
    """The first of these modules that exists: an older agent, for comparison, has other names."""
    for name in names:
        if importlib.util.find_spec(name.rpartition(".")[0]) and importlib.util.find_spec(name):
            return importlib.import_module(name)
    raise ModuleNotFoundError(f"none of {', '.join(names)}")


def preemptions() -> int:
    """How often this thread lost its processor though it had work; a wait, for a disk say, is none."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw


def timed(turn: Any, took: list[tuple[float, float, int]]) -> Any:
    """The method, with the time that it takes."""

    @functools.wraps(turn)
    def measured(*args: Any) -> Any:
        began, lost = time.monotonic(), preemptions()
        try:
            return turn(*args)
        finally:
            took.append((began, time.monotonic() - began, preemptions() - lost))

    return measured


if __name__ == "__main__":
    if importlib.util.find_spec("agent.kube.credentials"):
        importlib.import_module("tests.bench.as_in_cluster")
    vars(module("agent.run", "agent.wiring"))["CgroupFiles"] = functools.partial(CgroupFiles, check_magic=False)
    took: list[tuple[float, float, int]] = []
    if TURNS is not None:
        loop = module("agent.loop.loop", "agent.node.loop").Loop
        loop._turn = timed(loop._turn, took)
    try:
        code = cli.main()
    finally:
        if TURNS is not None:
            Path(TURNS).write_text("".join(f"{at_s:.6f} {seconds:.6f} {lost}\n" for at_s, seconds, lost in took))
    sys.exit(code)
