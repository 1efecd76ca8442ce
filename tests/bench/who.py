"""How often a killed process has its command line: for slow leaks and for allocators that fill the limit at once.

Runs inside of the lab, cgroup v2 or v1: ``python -m tests.bench.who``; prints a table in Markdown. The first kills are each in a
container of its own; later ones follow each other in one, each of a new process, so the pace at which a container is read counts too.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from pathlib import Path

from agent.ledger import LedgerReader
from agent.model import OomKill
from agent.wording.processes import victim_seen
from tests.bench.figures import share
from tests.kernel.conftest import MODE, Node, make_node
from tests.lab.spec import Container, Pod

SMALL_MIB = 12
# The hog's milliseconds per MiB, and the container's limit: a leak of 1 MiB/s is near this limit for 45 s.
LEAKS = (("1 MiB/s", 1000, 180), ("10 MiB/s", 100, 180), ("as fast as it can", 0, SMALL_MIB))
SLOW_MS = 1000  # from here on one round is enough: it takes three minutes, and finds all of them
PATIENCE_S = 300.0


def kills_of(node: Node, pods: set[str]) -> list[OomKill]:
    reader = LedgerReader(node.work / "state")
    kills = [kill for pod in pods for kill in reader.kills(pod=pod, limit=10_000)]
    reader.close()
    return kills


def measured(
    node: Node, name: str, args: tuple[str, ...], containers: int, kills: int, limit_mib: int
) -> list[OomKill]:
    """The kills of ``containers`` containers, until that many are settled: what is read right after a kill is in it then."""
    pods = {f"{name}-{number}" for number in range(containers)}
    for pod in pods:
        node.kubelet.run_pod(Pod(pod, (Container("main", args, limit_mib),), labels={MODE: "single"}))
    until = time.monotonic() + PATIENCE_S
    found: list[OomKill] = []
    while sum(kill.outcome is not None for kill in found) < kills:
        if time.monotonic() > until:
            raise SystemExit(f"fewer than {kills} kills settled within {PATIENCE_S:.0f} s: {found}")
        time.sleep(0.5)
        found = kills_of(node, pods)
    for pod in pods:
        node.kubelet.delete_pod(next(i.pod for i in node.kubelet.instances if i.pod.name == pod))
    return found


def row(what: str, kills: list[OomKill]) -> str:
    """A row of the table: kills with a report, with a command line, with parents, with none of both but others' commands."""
    named = [kill for kill in kills if kill.victims]
    seen = [one for kill in named if (one := victim_seen(kill)) is not None]
    commands, parents = sum(bool(one.command) for one in seen), sum(bool(one.parent_commands) for one in seen)
    others = sum(any(one.command for one in kill.seen) for kill in kills)
    of = len(named)
    return (
        f"| {what} | {len(kills)} | {of} | {share(commands, of)} | {share(parents, of)} | {share(others, len(kills))} |"
    )


def main() -> None:
    """Measure inside the lab."""
    top = argparse.ArgumentParser(description=__doc__)
    top.add_argument("--containers", type=int, default=6, help="of one round, at the same time")
    top.add_argument("--rounds", type=int, default=4, help="of each speed but the slowest; a single round says little")
    top.add_argument("--later", type=int, default=12, help="kills that follow each other in one container")
    asked = top.parse_args()
    node = make_node(Path(tempfile.mkdtemp()), "systemd", status_delay_s=0.5)
    node.start_agent("--command-lines", "log", "--mode-applied-events", "false")
    lines = [
        f"Linux {platform.release()}, {os.sched_getaffinity(0).__len__()} CPU",
        "",
        "| a process that allocates | kills | in the kernel's log | its command line | its parents | a command line of the container |",
        "|---|---|---|---|---|---|",
    ]
    try:
        for speed, step_ms, limit_mib in LEAKS:
            args = ("family", "1", "0", str(step_ms))
            first = [
                kill
                for number in range(1 if step_ms >= SLOW_MS else asked.rounds)
                for kill in measured(
                    node, f"first-{step_ms}-{number}", args, asked.containers, asked.containers, limit_mib
                )
            ]
            lines.append(row(f"{speed}, limit {limit_mib} MiB, the first kill of a container", first))
            print(lines[-1], flush=True)
        later = measured(node, "later", ("herd", "1", "0", "0", "300"), 1, asked.later, SMALL_MIB)
        lines.append(row("as fast as it can, again and again in one container", later[: len(later) - 1]))
    finally:
        print("\n".join(lines), flush=True)
        node.close()


if __name__ == "__main__":
    main()
