"""Group kills, on the machine itself: from the kernel's count of a kill to the agent's log line, one by one and ten at once.

``python -m tests.bench.record --pods 110 --kills 500``. Directories stand for cgroups (trees.py) and a FIFO for the
kernel's log, into which a real kernel's report is written, with the container's path in it; the agent is the real one, its
ledger in this machine's memory. The kernel's own time from the count to the notification is not included.
"""

from __future__ import annotations

import argparse
import os
import random
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.figures import Result, Table, Verdict, leave, ms, spread
from tests.bench.rig import Rig
from tests.bench.timeline import kill_lines, lines_of, wait_until
from tests.bench.trees import MODE
from tests.lab.agent_process import AgentProcess
from tests.lab.boot import REPO
from tests.lab.spec import Instance

REPORT = REPO / "tests" / "fixtures" / "kmsg" / "6.12" / "single-burstable-containerd.kmsg"
PATH = (
    b"/vec.slice/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1b4e28ba_2fa1_11d2_883f_0016d3cca427.slice/"
    b"cri-containerd-6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b.scope"
)
PID = b" 515 (worker)"
TOGETHER = 10
NOW, BEFORE = "now", "before"
ALONE, MANY = "one by one", f"{TOGETHER} at once"
GOALS_S = {ALONE: ("record-native", 0.012), MANY: ("record-ten", 0.025)}
GAP_S = (0.1, 0.2)  # so that one is done before the next
SEEN_S = 30.0
SETTLE_S = 3.0


@dataclass(slots=True)
class Kernel:
    """Kills as the kernel reports them: the report's head, the counters, the report's last line."""

    rig: Rig
    log: int
    sequence: int = 1
    killed_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))  # by container id

    def kill(self, instance: Instance, *, reported: bool) -> None:
        """One process of a container; ``reported`` False: without a report in the log."""
        head, last = self._report(instance)
        if reported:
            os.write(self.log, head)
        self.killed_s[instance.container_id].append(time.monotonic())
        self._count(instance.path)
        if reported:
            os.write(self.log, last)

    def _report(self, instance: Instance) -> tuple[bytes, bytes]:
        text = REPORT.read_bytes().replace(PATH, b"/" + instance.path.encode())
        lines = []
        for record in text.splitlines():
            prefix, _, rest = record.partition(b";")
            level, _, at_us, flags = prefix.split(b",", 3)
            lines.append(b"%b,%d,%b,%b;%b\n" % (level, self.sequence, at_us, flags, rest))
            self.sequence += 1
        return b"".join(lines[:-1]), lines[-1]

    def _count(self, path: str) -> None:
        """In this cgroup and all above, the nearest first."""
        at, own = path, True
        while at:
            for name in ("memory.events", "memory.events.local") if own else ("memory.events",):
                file = self.rig.tree.mount / at / name
                counts = dict(line.split() for line in file.read_text().splitlines())
                counts |= {key: str(int(counts[key]) + 1) for key in ("oom", "oom_kill")}
                fd = os.open(file, os.O_WRONLY)
                os.pwrite(fd, "".join(f"{key} {value}\n" for key, value in counts.items()).encode(), 0)
                os.close(fd)
            at, own = at.rpartition("/")[0], False


def kills(rig: Rig, agent: AgentProcess, chosen: list[list[Instance]], *, reported: bool) -> list[float]:
    """Kill in each of these groups of containers at once; how long it took to each kill's log line."""
    kernel, before = Kernel(rig, rig.log, sequence=time.monotonic_ns() // 1000), kill_lines(agent)
    chance = random.Random(11)
    for group in chosen:
        for instance in group:
            kernel.kill(instance, reported=reported)
        time.sleep(chance.uniform(*GAP_S))
    wanted = before + sum(map(len, chosen))
    wait_until(lambda: kill_lines(agent) >= wanted, SEEN_S, f"{wanted} kills logged")
    lines = sorted(lines_of(agent)[before:], key=lambda line: line.at_s)
    took = []
    for line in lines:
        took.append(line.at_s - kernel.killed_s[line.container_id].pop(0))
        if line.pid is not None and not reported:
            raise RuntimeError(f"{line.kill_id} has a victim, but the log had no report")
    return took


def measure(pods: int, count: int, tree: Path | None) -> dict[str, list[float]]:
    """The agent of a checkout (None: this one) on a node of its own: seconds for each kind of kill."""
    rig, chance = Rig(pods, native=True), random.Random(5)
    try:
        agent, _ = rig.start("--mode-applied-events", "false", tree=tree)
        time.sleep(SETTLE_S)
        asking = [instance for instance in rig.instances if MODE in instance.pod.labels]
        alone = [[chance.choice(asking)] for _ in range(count)]
        many = [chance.sample(asking, TOGETHER) for _ in range(count // TOGETHER)]
        took = {
            ALONE: kills(rig, agent, alone, reported=True),
            MANY: kills(rig, agent, many, reported=True),
            "one by one, report lost": kills(rig, agent, alone, reported=False),
        }
        agent.stop()
        return took
    finally:
        rig.close()


def result(pods: int, found: dict[str, dict[str, list[float]]]) -> Result:
    """The table, and what it says of the goal. ``found``: by agent, ``now`` or ``before``, and by kind of kill."""
    rows = [
        (agent, what, str(len(times)), *map(ms, spread(times)))
        for agent, took in found.items()
        for what, times in took.items()
    ]
    now = found[NOW]
    verdicts = [
        Verdict(key, f"p99 {ms(spread(now[what])[1])} ms", spread(now[what])[1] <= most_s)
        for what, (key, most_s) in GOALS_S.items()
    ]
    note = (
        "ms from just before the counter's write to the agent's log line; its ledger row and its metric were written before that. "
        "Each report is one of 96 records that a 6.12 kernel wrote. A report that isn't read yet is waited for up to "
        "30 ms; details that come later are added."
    )
    numbers = {f"{what}_p99_s": spread(times)[1] for what, times in now.items()}
    columns = ("agent", "kills", "n", "p50", "p99", "max")
    table = Table("From the kernel's count to the log line", columns, tuple(rows), note)
    sizes: dict[str, str | int | float] = {"pods": pods, "kills": sum(map(len, now.values()))}
    return Result("kills", "native", "native", sizes, (table,), tuple(verdicts), numbers)


def main() -> None:
    """Measure on this machine."""
    top = argparse.ArgumentParser(description=__doc__)
    top.add_argument("--pods", type=int, required=True)
    top.add_argument("--kills", type=int, required=True)
    top.add_argument("--before", type=Path, help="another checkout, whose agent is measured in the same run")
    asked = top.parse_args()
    trees = {BEFORE: asked.before, NOW: None} if asked.before is not None else {NOW: None}
    found = {name: measure(asked.pods, asked.kills, tree) for name, tree in trees.items()}
    leave(result(asked.pods, found), Path(os.environ["OOMWARD_LAB_OUT"]))


if __name__ == "__main__":
    main()
