"""Group cost: the agent's CPU time and memory, idle and while pods come and go, and the time until it is ready.

``python -m tests.bench.cost --where native|lab``. Times are measured on the machine itself, on
directories in place of cgroups; the rest in the lab on real cgroups, where one CPU and slow system calls make times too long.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.figures import Result, Table, Verdict, leave, quantile
from tests.bench.processes import Cost, between, usage
from tests.bench.rig import NODE, Rig
from tests.bench.trees import MODE
from tests.lab.agent_process import AgentProcess
from tests.lab.boot import REPO

SETTLE_S = 15.0  # after the start, before idle is idle
STARTS = 5
QUIET = ("--mode-applied-events", "false")
PEERS = Path(__file__).parent / "peers"
PEERS_AT = 110
IDLE_GOAL_PERCENT, WAKEUPS_GOAL_PER_S, READY_GOAL_S = 0.1, 0.05, 1.0
RSS_GOALS_MIB = {110: 48, 500: 60}
MIB = 1 << 20
NOW, BEFORE = "now", "before"


@dataclass(frozen=True, slots=True)
class Row:
    """One size of node, and one agent: ``now`` or ``before``."""

    agent: str
    pods: int
    containers: int
    ready_s: float
    ready_cpu_s: float
    idle: Cost
    idle_written: int  # files of its folder, and its log, that were written
    churn: Cost
    came: int

    @property
    def churn_ms(self) -> float:
        """CPU time for one pod that comes and one that goes."""
        return 1000 * (self.churn.cpu_s - self.idle.cpu_s / self.idle.seconds * self.churn.seconds) / self.came


@dataclass(frozen=True, slots=True)
class Subject:
    """An agent's checkout (None: this one) on a node of its own."""

    name: str
    rig: Rig
    tree: Path | None = None

    def start(self) -> tuple[AgentProcess, float]:
        """The agent, and when it was ready, in seconds."""
        return self.rig.start(*QUIET, tree=self.tree)


def measure(subjects: Sequence[Subject], idle_s: float, churn_s: float) -> list[Row]:
    """Start on each in turn, be idle all together, then churn one after the other."""
    ready = [starts(subject) for subject in subjects]
    agents: list[AgentProcess] = []
    try:
        agents.extend(subject.start()[0] for subject in subjects)  # one that fails leaves those before it to be stopped
        time.sleep(SETTLE_S)
        before = [(usage(agent.process.pid), files(agent)) for agent in agents]
        time.sleep(idle_s)
        idle = [
            (between(begin, usage(agent.process.pid)), len(files(agent) ^ kept))
            for agent, (begin, kept) in zip(agents, before, strict=True)
        ]
        return [
            churned(subject, agent, took, quiet, churn_s)
            for subject, agent, took, quiet in zip(subjects, agents, ready, idle, strict=True)
        ]
    finally:
        for agent in agents:
            agent.stop()


def files(agent: AgentProcess) -> set[tuple[Path, int, int]]:
    """What it writes, with size and time of the last write: the files of its folder, and its log."""
    found = [path for path in (agent.work / "state").rglob("*") if path.is_file()] + [agent.log_path]
    return {(path, path.stat().st_size, path.stat().st_mtime_ns) for path in found}


def starts(subject: Subject) -> tuple[float, float]:
    """Until it is ready, and its processor time until then: the medians of some starts, each with a new ledger."""
    found = []
    for _ in range(STARTS):
        shutil.rmtree(subject.rig.work / "state", ignore_errors=True)
        agent, ready_s = subject.start()
        try:
            found.append((ready_s, usage(agent.process.pid).cpu_s))
        finally:
            agent.stop()
    return quantile([ready_s for ready_s, _ in found], 0.5), quantile([cpu_s for _, cpu_s in found], 0.5)


def churned(
    subject: Subject, agent: AgentProcess, ready: tuple[float, float], idle: tuple[Cost, int], churn_s: float
) -> Row:
    """The rest of a row."""
    rig = subject.rig
    before = usage(agent.process.pid)
    came = rig.churn(churn_s)
    time.sleep(2.0)
    churn = between(before, usage(agent.process.pid))
    asking = [i for i in rig.instances if MODE in i.pod.labels]
    wrong = [i.path for i in asking if (rig.tree.mount / i.path / "memory.oom.group").read_text().strip() != "0"]
    if wrong:
        raise RuntimeError(f"not enforced after the churn, so nothing was measured: {wrong[:3]}")
    return Row(subject.name, rig.pods, len(rig.instances), *ready, *idle, churn, came)


def table(rows: Sequence[Row], where: str, idle_s: float, churn_s: float) -> Table:
    """One row per size."""
    note = (
        f"Idle: {idle_s:.0f} s, all sizes at once. Churn: per second one pod is created and one deleted, {churn_s:.0f} s; ms per pod is "
        "the time beyond idling. "
        if where == "native"
        else f"Idle {idle_s:.0f} s, churn {churn_s:.0f} s. Times on a processor are the lab's, with system calls of 40 to 100 µs. "
    ) + "Half of the pods ask; each is 8 KiB of JSON."
    columns = ("agent", "pods", "containers", "ready after s (on a processor)", "idle: % of a core", "wake-ups per second",
               "files written", "resident, idle (MiB)", "churn: % of a core", "ms per pod", "resident, after (MiB)")  # fmt: skip
    cells = tuple(
        (
            row.agent,
            row.pods,
            row.containers,
            f"{row.ready_s:.2f} ({row.ready_cpu_s:.2f})",
            f"{row.idle.core_percent:.3f}",
            f"{row.idle.wakeups_per_s:.3f}",
            row.idle_written,
            f"{row.idle.rss_bytes / MIB:.1f}",
            f"{row.churn.core_percent:.2f}",
            f"{row.churn_ms:.1f}",
            f"{row.churn.rss_bytes / MIB:.1f}",
        )
        for row in rows
    )
    title = (
        "On the machine itself, directories in place of cgroups" if where == "native" else "In the lab, real cgroups"
    )
    return Table(title, columns, cells, note)


def verdicts(rows: Sequence[Row], where: str) -> list[Verdict]:
    """The verdicts on the goals; times only natively."""
    found = []
    rows = [row for row in rows if row.agent == NOW]
    for row in rows:
        if row.pods in RSS_GOALS_MIB:
            most = max(row.idle.rss_bytes, row.churn.rss_bytes) / MIB
            met = most <= RSS_GOALS_MIB[row.pods]
            found.append(Verdict(f"rss-{row.pods}", f"{most:.1f} MiB, {where}", met))
        if row.pods == PEERS_AT and where == "native":
            percent = row.idle.core_percent
            found.append(Verdict("idle", f"{percent:.3f} % of a core", percent <= IDLE_GOAL_PERCENT))
    if where == "native":
        most_often = max(row.idle.wakeups_per_s for row in rows)
        found.append(Verdict("wakeups", f"{most_often:.3f} per second", most_often <= WAKEUPS_GOAL_PER_S))
        written = max(row.idle_written for row in rows)
        found.append(Verdict("no-write", f"{written} files written in {rows[0].idle.seconds:.0f} s", written == 0))
        slowest = max(row.ready_s for row in rows)
        found.append(
            Verdict(
                "ready",
                f"{slowest:.2f} s at most (medians of {STARTS} starts at each size)",
                slowest <= READY_GOAL_S,
            )
        )
    return found


def peers(rig: Rig, seconds: float) -> Table:
    """The rebuilt tools on the same node, idle."""
    rig.api.store.put_node({"kind": "Node", "metadata": {"name": NODE, "uid": NODE}})
    root = rig.tree.mount / rig.tree.driver.root
    client = ["--api", rig.api.url, "--token", rig.api.token or "", "--node", NODE]
    poller = [sys.executable, "-m", "tests.bench.peers.poller", *client, "--root", rig.tree.driver.root,
              "--mount", str(rig.tree.mount), "--selector", f"{MODE}=single", "--every", "5"]  # fmt: skip
    shell = ["sh", str(PEERS / "shell.sh"), str(root)]
    rows = []
    for name, command in (
        ("shell, every 60 s", [*shell, "60"]),
        ("shell, every 1 s", [*shell, "1"]),
        ("poller, every 5 s", poller),
    ):
        rig.api.requests.clear()
        process = subprocess.Popen(command, cwd=REPO, stdin=subprocess.DEVNULL)
        try:
            time.sleep(3.0)
            before, asked = usage(process.pid), len(rig.api.requests)
            time.sleep(seconds)
            cost, asked = between(before, usage(process.pid)), len(rig.api.requests) - asked
        finally:
            process.kill()
            process.wait()
        hourly = f"{3600 * asked / cost.seconds:.0f}"
        rows.append((name, f"{cost.core_percent:.3f}", f"{cost.rss_bytes / MIB:.1f}", hourly))
    note = (
        f"Idle for {seconds:.0f} s, at {PEERS_AT} pods, which includes one round of the tool with 60 s. The poller is rebuilt in "
        "Python; the published Go program differs in CPU time and memory, not in its requests."
    )
    return Table(
        "The other tools, idle", ("tool", "% of a core", "resident (MiB)", "requests per hour"), tuple(rows), note
    )


def native(sizes: Sequence[int], idle_s: float, churn_s: float, before: Path | None) -> Result:
    """All sizes at once: they are nearly always asleep."""
    rigs: list[Rig] = []
    try:
        subjects = []
        for size in sizes:
            for name, tree in ((BEFORE, before), (NOW, None)) if before is not None else ((NOW, None),):
                rigs.append(Rig(size, native=True))
                subjects.append(Subject(name, rigs[-1], tree))
        rows = measure(subjects, idle_s, churn_s)
        tables = [table(rows, "native", idle_s, churn_s)]
        of_peers = next((rig for rig in rigs if rig.pods == PEERS_AT), None)
        if of_peers is not None:
            tables.append(peers(of_peers, min(idle_s, 60.0)))
        return result(rows, "native", tables, idle_s, churn_s)
    finally:
        for rig in rigs:
            rig.close()


def lab(sizes: Sequence[int], idle_s: float, churn_s: float) -> Result:
    """One size after the other: there is one kubepods root."""
    rows = []
    for size in sizes:
        rig = Rig(size, native=False)
        try:
            rows += measure([Subject(NOW, rig)], idle_s, churn_s)
        finally:
            rig.close()
        print(f"{size} pods", flush=True)
    return result(rows, "lab", [table(rows, "lab", idle_s, churn_s)], idle_s, churn_s)


def result(rows: Sequence[Row], where: str, tables: Sequence[Table], idle_s: float, churn_s: float) -> Result:
    """The result to write."""
    numbers = {
        f"{key}_{row.pods}": value
        for row in rows
        if row.agent == NOW
        for key, value in (
            ("ready_s", row.ready_s),
            ("ready_cpu_s", row.ready_cpu_s),
            ("idle_percent", row.idle.core_percent),
            ("wakeups_per_s", row.idle.wakeups_per_s),
            ("churn_ms", row.churn_ms),
            ("idle_rss", row.idle.rss_bytes),
            ("churn_rss", row.churn.rss_bytes),
        )
    }
    sizes: dict[str, str | int | float] = {
        "pods": ", ".join(str(row.pods) for row in rows if row.agent == NOW),
        "idle (s)": idle_s,
        "churn (s)": churn_s,
    }
    return Result("cost", where, where, sizes, tuple(tables), tuple(verdicts(rows, where)), numbers)


def main() -> None:
    """Measure on this machine or inside the lab."""
    top = argparse.ArgumentParser(description=__doc__)
    top.add_argument("--where", choices=("native", "lab"), required=True)
    top.add_argument("--pods", required=True, help="sizes, comma-separated")
    top.add_argument("--idle", type=float, required=True)
    top.add_argument("--churn", type=float, required=True)
    top.add_argument("--before", type=Path, help="another checkout, whose agent is measured in the same run (natively)")
    asked = top.parse_args()
    sizes = [int(size) for size in asked.pods.split(",")]
    native_only = asked.where == "native"
    found = native(sizes, asked.idle, asked.churn, asked.before) if native_only else lab(sizes, asked.idle, asked.churn)
    leave(found, Path(os.environ["OOMWARD_LAB_OUT"]))


if __name__ == "__main__":
    main()
