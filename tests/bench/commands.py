"""Group cost, part commands: what a command costs beside a running agent: time, processor, memory.

``python -m tests.bench.commands --pods 110 --runs 20``, natively. Each run is a process of its own, as `kubectl exec` starts one.
``python3 -c pass`` is the floor: the interpreter alone.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.bench.figures import Result, Table, Verdict, leave, ms, spread
from tests.bench.record import Kernel
from tests.bench.rig import Rig
from tests.bench.timeline import kill_lines, wait_until
from tests.lab.boot import REPO
from tests.lab.spec import MIB

COMMANDS: dict[str, tuple[str, ...]] = {
    "python3 -c pass": ("-c", "pass"),
    "oomward --version": ("-m", "agent", "--version"),
    "oomward ps": ("-m", "agent", "ps"),
    "oomward history": ("-m", "agent", "history"),
    "oomward explain POD": ("-m", "agent", "explain"),
    "oomward diagnose --all": ("-m", "agent", "diagnose", "--all"),
    "oomward advise": ("-m", "agent", "advise"),
}
THIN = ("oomward ps", "oomward history", "oomward explain POD", "oomward diagnose --all", "oomward advise")
TIME_GOAL_S, MEMORY_GOAL_BYTES = 0.15, 14 * MIB
KILLS = 50
# A process's largest size (ru_maxrss) begins with its parent's at the fork, so the parent is an interpreter without anything.
LAUNCH = """
import posix, sys, time
began = time.monotonic()
null = posix.open("/dev/null", posix.O_RDWR)
pid = posix.posix_spawn(sys.argv[1], sys.argv[1:], posix.environ, file_actions=[(posix.POSIX_SPAWN_DUP2, null, fd) for fd in (0, 1)])
_, status, cost = posix.wait4(pid, 0)
print(time.monotonic() - began, cost.ru_utime + cost.ru_stime, cost.ru_maxrss, status)
"""
SETTLE_S = 3.0


@dataclass(frozen=True, slots=True)
class Runs:
    wall_s: list[float]
    cpu_s: list[float]
    rss_bytes: int  # the largest


def run(arguments: tuple[str, ...], environment: dict[str, str], times: int) -> Runs:
    """Each run's own figures, by wait4(2). Raises RuntimeError if one fails."""
    wall_s, cpu_s, rss_bytes = list[float](), list[float](), 0
    for _ in range(times):
        launch = (sys.executable, "-I", "-S", "-c", LAUNCH, sys.executable, *arguments)
        done = subprocess.run(launch, cwd=REPO, env=environment, capture_output=True, text=True, check=True)
        wall, cpu, rss_kib, status = done.stdout.split()
        if int(status):
            raise RuntimeError(f"{' '.join(arguments)} ended with status {status}: {done.stderr}")
        wall_s.append(float(wall))
        cpu_s.append(float(cpu))
        rss_bytes = max(rss_bytes, int(rss_kib) << 10)
    return Runs(wall_s, cpu_s, rss_bytes)


def measure(pods: int, times: int) -> dict[str, Runs]:
    """With an agent that knows these pods and some kills."""
    rig = Rig(pods, native=True)
    try:
        agent, _ = rig.start("--mode-applied-events", "false")
        kernel = Kernel(rig, rig.log, sequence=time.monotonic_ns() // 1000)
        for instance in rig.instances[:KILLS]:
            kernel.kill(instance, reported=True)
            time.sleep(0.05)
        wait_until(lambda: kill_lines(agent) >= min(KILLS, len(rig.instances)), 30, "all kills logged")
        time.sleep(SETTLE_S)
        environment = dict(os.environ) | {"OOMWARD_STATE_DIR": str(rig.work / "state"), "PYTHONDONTWRITEBYTECODE": ""}
        pod = rig.instances[0].pod
        explained = (f"{pod.namespace}/{pod.name}",)
        found = {}
        for name, arguments in COMMANDS.items():
            more = explained if "POD" in name else ()
            run((*arguments, *more), environment, 1)  # compiles what is not compiled yet
            found[name] = run((*arguments, *more), environment, times)
        agent.stop()
        return found
    finally:
        rig.close()


def result(pods: int, found: dict[str, Runs]) -> Result:
    rows = []
    for name, runs in found.items():
        p50, p99, _ = spread(runs.wall_s)
        rows.append((name, ms(p50), ms(p99), ms(spread(runs.cpu_s)[0]), f"{runs.rss_bytes / MIB:.1f}"))
    slowest_s = max(spread(found[name].wall_s)[0] for name in THIN)
    largest = max(found[name].rss_bytes for name in THIN)
    table = Table(
        "Commands beside the agent",
        ("command", "p50 (ms)", "p99 (ms)", "processor p50 (ms)", "resident, most (MiB)"),
        tuple(rows),
        f"On the machine itself, {pods} pods, {len(found['oomward ps'].wall_s)} runs each. The commands ask the running agent.",
    )
    verdict = Verdict(
        "commands",
        f"{largest / MIB:.1f} MiB at most, {slowest_s:.2f} s (the slowest command's median)",
        slowest_s <= TIME_GOAL_S and largest <= MEMORY_GOAL_BYTES,
    )
    numbers = {"slowest_s": slowest_s, "largest_mib": largest / MIB}
    return Result("cost", "commands", "native", {"pods": pods}, (table,), (verdict,), numbers)


def main() -> None:
    """Measure on this machine."""
    top = argparse.ArgumentParser(description=__doc__)
    top.add_argument("--pods", type=int, required=True)
    top.add_argument("--runs", type=int, required=True)
    asked = top.parse_args()
    leave(result(asked.pods, measure(asked.pods, asked.runs)), Path(os.environ["OOMWARD_LAB_OUT"]))


if __name__ == "__main__":
    main()
