"""Group start, on the machine itself: from another process's write to the agent's, with 250 containers on the node.

``python -m tests.bench.write --containers 250 --samples 2000``. Directories stand for cgroups (trees.py); the agent is the
real one, and the kernel reports the writes (fanotify). The time until this process gets the report is included.
"""

from __future__ import annotations

import argparse
import os
import random
import selectors
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.bench.figures import Result, Table, Verdict, leave, ms, spread
from tests.bench.rig import MEMORY, Rig
from tests.bench.trees import MODE, write_oom_group
from tests.lab.boot import REPO
from tests.lab.writes import Writes

GOAL_S = 0.005
PATIENCE_S = 10.0
REWRITES = 8  # of one container: ten in ten seconds would be a conflict, which is corrected more slowly
GAP_S = (0.002, 0.03)
SETTLE_S = 3.0
NICE = -20
FLOOR = "floor"  # no pod's cgroup: the agent ignores it
KEYS = ("p50", "p99", "max")


@dataclass(frozen=True, slots=True)
class Writer:
    """Waits for a process's writes. ``front`` is the tree's place on the watched mount."""

    writes: Writes
    pid: int
    front: str

    def write_and_wait(self, mount: Path, path: str, selector: selectors.BaseSelector) -> float:
        """Write 1 to a cgroup's memory.oom.group; how long it took until the process had written."""
        self.writes.read()
        began = time.monotonic()
        write_oom_group(mount / path, 1)
        return self.times_of([path], selector)[0] - began

    def times_of(self, paths: list[str], selector: selectors.BaseSelector) -> list[float]:
        """When (CLOCK_MONOTONIC) the process had written to memory.oom.group of each cgroup. Raises TimeoutError."""
        files = [f"{self.front}/{path}/memory.oom.group" for path in paths]
        found: dict[str, float] = {}
        until = time.monotonic() + PATIENCE_S
        while not found.keys() >= set(files):
            if not selector.select(max(0.0, until - time.monotonic())):
                raise TimeoutError(f"no write to all of {files} within {PATIENCE_S:.0f} s")
            for write in self.writes.read():
                if write.pid == self.pid:
                    found.setdefault(write.path, write.at_ns / 1e9)
        return [found[file] for file in files]


def rewrites(rig: Rig, ours: Writer, least: Writer, samples: int) -> tuple[list[float], list[float]]:
    """Write 1 to random running containers, and to the floor's file in between, so that both are measured at the same time."""
    chance = random.Random(7)
    order = ([i for i in rig.instances if MODE in i.pod.labels] * REWRITES)[:samples]
    chance.shuffle(order)
    took, floor = [], []
    with selectors.DefaultSelector() as selector:
        selector.register(ours.writes.fileno(), selectors.EVENT_READ)
        for instance in order:
            time.sleep(chance.uniform(*GAP_S))
            took.append(ours.write_and_wait(rig.tree.mount, instance.path, selector))
            time.sleep(chance.uniform(*GAP_S))
            floor.append(least.write_and_wait(rig.tree.mount, FLOOR, selector))
    return took, floor


def starts(rig: Rig, writer: Writer, samples: int) -> list[float]:
    """From the runtime's write to each starting container to the agent's."""
    took: list[float] = []
    with selectors.DefaultSelector() as selector:
        selector.register(writer.writes.fileno(), selectors.EVENT_READ)
        while len(took) < samples:
            writer.writes.read()
            started = rig.come()
            if asking := [i.path for i in started if MODE in i.pod.labels]:
                ours = writer.times_of(asking, selector)
                took += [at_s - rig.tree.wrote_s[path] for path, at_s in zip(asking, ours, strict=True)]
            rig.go()
    return took


def result(containers: int, started: list[float], rewritten: list[float], floor: list[float]) -> Result:
    """The table, and the verdict on the goal."""
    rows = [
        ("a container starts, two to a pod", str(len(started)), *map(ms, spread(started))),
        ("a running container is rewritten", str(len(rewritten)), *map(ms, spread(rewritten))),
        ("the floor: inotify and one write, nothing else", str(len(floor)), *map(ms, spread(floor))),
    ]
    verdicts = tuple(
        Verdict("write", f"p99 {ms(spread(took)[1])} ms, {what} (the floor: {ms(spread(floor)[1])})", _met(took))
        for what, took in (("starts", started), ("rewrites", rewritten))
    )
    note = (
        "ms from before the other process's write until the agent's was reported. The floor is a loop of six lines (peers/echo.py), "
        "measured in between: the time of this machine for the same work under the same load."
    )
    named = (("start", started), ("rewrite", rewritten), ("floor", floor))
    numbers = {f"{name}_{key}_s": value for name, took in named for key, value in zip(KEYS, spread(took), strict=True)}
    sizes: dict[str, str | int | float] = {
        "containers": containers,
        "starts": len(started),
        "rewrites": len(rewritten),
    }
    table = Table("From another process's write to the agent's", ("what", "n", "p50", "p99", "max"), tuple(rows), note)
    return Result("start", "native", "native", sizes, (table,), verdicts, numbers)


def _met(took: list[float]) -> bool:
    return spread(took)[1] <= GOAL_S


def start_floor(rig: Rig) -> subprocess.Popen[str]:
    """The floor's process, with its own file beside the pods."""
    folder = rig.tree.mount / FLOOR
    folder.mkdir()
    (folder / "memory.oom.group").write_text("0\n")
    command = [sys.executable, "-m", "tests.bench.peers.echo", str(folder / "memory.oom.group")]
    process = subprocess.Popen(command, cwd=REPO, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    if process.stdout.readline() != "ready\n":
        raise RuntimeError("the floor's process does not run")
    return process


def main() -> None:
    """Measure on this machine."""
    top = argparse.ArgumentParser(description=__doc__)
    top.add_argument("--containers", type=int, required=True)
    top.add_argument("--samples", type=int, required=True)
    asked = top.parse_args()
    rig = Rig(round(asked.containers / 1.5), native=True)
    echo = start_floor(rig)
    try:
        agent, _ = rig.start("--mode-applied-events", "false")
        os.setpriority(os.PRIO_PROCESS, 0, NICE)
        time.sleep(SETTLE_S)
        writes, front = Writes(MEMORY), str(rig.tree.mount.relative_to(MEMORY))
        ours, least = (Writer(writes, pid, front) for pid in (agent.process.pid, echo.pid))
        rewritten, floor = rewrites(rig, ours, least, asked.samples)
        started = starts(rig, ours, asked.samples // 4)
        writes.close()
        found = result(len(rig.instances), started, rewritten, floor)
        agent.stop()
    finally:
        echo.kill()
        echo.wait()
        rig.close()
    leave(found, Path(os.environ["OOMWARD_LAB_OUT"]))


if __name__ == "__main__":
    main()
