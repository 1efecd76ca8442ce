"""Group kills, part constant: the cost of one kill on nodes of different sizes, and the longest turn of the loop, also with a slow disk.

``python -m tests.bench.constant --pods 10,110,500 --kills 30 [--before CHECKOUT]``. On the machine itself: directories stand for cgroups
(trees.py). System calls are counted by strace, in a run of their own, since it slows the agent. ``--before``: another checkout; its
agent is measured in the same run.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.figures import Result, Table, Verdict, leave, ms
from tests.bench.processes import usage
from tests.bench.record import SEEN_S, Kernel
from tests.bench.rig import Rig
from tests.bench.timeline import kill_lines, wait_until
from tests.bench.trees import MODE
from tests.lab.agent_process import AgentProcess

GAP_S = 1.3  # the agent reads the levels above half a second after a kill: this is done before the next kill
SETTLE_S = 3.0
SLOW_MS = 300
FILES_GOAL, CALLS_GOAL, FLAT, TURN_GOAL_S = 60, 200, 1.1, 0.003
QUIET = ("--mode-applied-events", "false")
SOURCE = Path(__file__).with_name("slow_disk.c")


@dataclass(frozen=True, slots=True)
class Turns:
    """Of the loop, while there were kills: how many, and the longest among those that kept their processor, and of the others."""

    count: int
    longest_s: float
    preempted: int
    longest_preempted_s: float


@dataclass(frozen=True, slots=True)
class Row:
    """One agent on one size of node. Calls and processor time are per kill, minus those of the same time without kills."""

    agent: str
    pods: int
    file_calls: float
    calls: float
    cpu_ms: float
    turns: Turns
    slow: Turns  # on a slow disk


def kill_each(rig: Rig, agent: AgentProcess, count: int) -> None:
    """``count`` kills one after the other, each in a random container."""
    kernel, before = Kernel(rig, rig.log, sequence=time.monotonic_ns() // 1000), kill_lines(agent)
    chance = random.Random(3)
    asking = [instance for instance in rig.instances if MODE in instance.pod.labels]
    for _ in range(count):
        kernel.kill(chance.choice(asking), reported=True)
        time.sleep(GAP_S)
    wait_until(lambda: kill_lines(agent) >= before + count, SEEN_S, f"{count} kills logged")


class Measured:
    """A rig with the agent of one checkout."""

    def __init__(self, rig: Rig, tree: Path | None, kills: int) -> None:
        self.rig = rig
        self.tree = tree
        self.kills = kills

    def start(self, **environment: str) -> AgentProcess:
        """With a new ledger."""
        shutil.rmtree(self.rig.work / "state", ignore_errors=True)
        (self.rig.work / "agent.log").unlink(missing_ok=True)
        agent, _ = self.rig.start(*QUIET, tree=self.tree, environment=environment)
        time.sleep(SETTLE_S)
        return agent

    def calls(self) -> tuple[float, float]:
        """System calls per kill: those on paths below the mount, and all."""
        agent = self.start()
        try:
            busy = self._traced(agent, lambda: kill_each(self.rig, agent, self.kills))
            idle = self._traced(agent, lambda: time.sleep(self.kills * GAP_S))
        finally:
            agent.stop()
        return tuple((a - b) / self.kills for a, b in zip(busy, idle, strict=True))  # type: ignore[return-value]

    def _traced(self, agent: AgentProcess, work: object) -> tuple[int, int]:
        out = self.rig.work / "strace"
        command = ["strace", "-f", "-y", "-qq", "-o", str(out), "-p", str(agent.process.pid)]
        strace = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        time.sleep(1.0)
        assert callable(work)
        work()
        strace.send_signal(signal.SIGINT)
        _, said = strace.communicate(timeout=30)
        lines = [
            line for line in out.read_text(errors="replace").splitlines() if "(" in line and "resumed>" not in line
        ]
        if not lines:
            raise RuntimeError(f"strace recorded nothing: {said}")
        return sum(str(self.rig.tree.mount) in line for line in lines), len(lines)

    def turns(self, **environment: str) -> tuple[Turns, float]:
        """The turns while there are kills, and processor time per kill, in seconds."""
        took = self.rig.work / "turns"
        agent = self.start(OOMWARD_BENCH_TURNS=str(took), **environment)
        began = usage(agent.process.pid)
        time.sleep(self.kills * GAP_S)
        idle = usage(agent.process.pid)
        kill_each(self.rig, agent, self.kills)
        busy = usage(agent.process.pid)
        agent.stop()
        turns = [tuple(map(float, line.split())) for line in took.read_text().splitlines()]
        kept = [seconds for at_s, seconds, lost in turns if at_s >= idle.at_s and not lost]
        others = [seconds for at_s, seconds, lost in turns if at_s >= idle.at_s and lost]
        cpu_s = (busy.cpu_s - idle.cpu_s) - (idle.cpu_s - began.cpu_s)
        found = Turns(len(kept) + len(others), max(kept), len(others), max(others, default=0.0))
        return found, cpu_s / self.kills


def slow_disk(work: Path) -> str:
    """The library that slows fsync, compiled."""
    library = work / "slow_disk.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-Wall", "-o", str(library), str(SOURCE), "-ldl"], check=True)
    return str(library)


def measure(sizes: Sequence[int], kills: int, trees: Sequence[tuple[str, Path | None]]) -> list[Row]:
    """Each size, each agent."""
    rows = []
    for size in sizes:
        for name, tree in trees:
            rig = Rig(size, native=True)
            try:
                measured = Measured(rig, tree, kills)
                turns, cpu_s = measured.turns()
                slow = {"LD_PRELOAD": slow_disk(rig.work), "OOMWARD_BENCH_FSYNC_MS": str(SLOW_MS)}
                slow_turns, _ = measured.turns(**slow)
                files, calls = measured.calls()
                rows.append(Row(name, size, files, calls, 1000 * cpu_s, turns, slow_turns))
                print(rows[-1], flush=True)
            finally:
                rig.close()
    return rows


def result(rows: Sequence[Row], kills: int) -> Result:
    """The table, and the verdicts on the goals."""
    cells = tuple(
        (
            row.agent,
            row.pods,
            f"{row.file_calls:.0f}",
            f"{row.calls:.0f}",
            f"{row.cpu_ms:.1f}",
            ms(row.turns.longest_s),
            ms(row.slow.longest_s),
        )
        for row in rows
    )
    now = [row for row in rows if row.agent == "now"]
    files, calls = [row.file_calls for row in now], [row.calls for row in now]
    largest = max(now, key=lambda row: row.pods)
    flat = max(calls) <= FLAT * min(calls)
    verdicts = (
        Verdict(
            "kill-files",
            ", ".join(f"{f:.0f} at {row.pods}" for f, row in zip(files, now, strict=True)),
            max(files) <= FILES_GOAL,
        ),
        Verdict(
            "kill-calls",
            ", ".join(f"{c:.0f} at {row.pods}" for c, row in zip(calls, now, strict=True)),
            max(calls) <= CALLS_GOAL and flat,
        ),
        Verdict(
            "turn",
            f"{ms(largest.turns.longest_s)} ms; fsync takes {SLOW_MS} ms: {ms(largest.slow.longest_s)} ms",
            max(largest.turns.longest_s, largest.slow.longest_s) <= TURN_GOAL_S,
        ),
    )
    every = [each for row in now for each in (row.turns, row.slow)]
    lost = sum(each.preempted for each in every)
    note = (
        f"{kills} kills, one each {GAP_S} s, each with its report; what the agent does in the same time without kills is taken off. Calls "
        "on control files are those that name a file or directory below the cgroup mount. The slow disk is a library that lets each "
        f"fsync and fdatasync sleep for {SLOW_MS} ms. The longest turn is that of the turns which kept their processor. "
        f"The kernel gave it to another program of this shared machine in {lost} of {sum(each.count for each in every)} turns, "
        f"of which the longest took {ms(max(each.longest_preempted_s for each in every))} ms; waiting for a disk does not count as that."
    )
    columns = (
        "agent",
        "pods",
        "calls on control files",
        "all system calls",
        "processor (ms)",
        "longest turn (ms)",
        "longest turn, slow disk (ms)",
    )
    numbers = {
        f"{row.agent}_{key}_{row.pods}": value
        for row in rows
        for key, value in (("files", row.file_calls), ("calls", row.calls), ("turn_s", row.turns.longest_s))
    }
    sizes: dict[str, str | int | float] = {"pods": ", ".join(str(row.pods) for row in now), "kills": kills}
    return Result("kills", "constant", "native", sizes, (Table("Per kill", columns, cells, note),), verdicts, numbers)


def main() -> None:
    """Measure on this machine."""
    top = argparse.ArgumentParser(description=__doc__)
    top.add_argument("--pods", required=True, help="sizes, comma-separated")
    top.add_argument("--kills", type=int, required=True)
    top.add_argument("--before", type=Path, help="another checkout to measure as well")
    asked = top.parse_args()
    if shutil.which("strace") is None:
        sys.exit("no strace: run bash scripts/setup-debian.sh")
    trees: list[tuple[str, Path | None]] = [("before", asked.before)] if asked.before else []
    rows = measure([int(size) for size in asked.pods.split(",")], asked.kills, [*trees, ("now", None)])
    leave(result(rows, asked.kills), Path(os.environ["OOMWARD_LAB_OUT"]))


if __name__ == "__main__":
    main()
