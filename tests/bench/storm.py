"""Group storm: thousands of kills as fast as the kernel can make them; how many each tool counts for the right container.

Runs inside of the lab: ``python -m tests.bench.storm --kills 10000 --deaths 100``. Agent and exporters run side by side,
so that all see the same kills. The kernel's own counters are the reference. Then containers that die whole, and restart.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agent.ledger import LedgerReader
from agent.model import OomKill
from tests.bench.contestants import AGENT, start_exporter
from tests.bench.figures import Result, Table, Verdict, leave, ms, share, spread
from tests.bench.timeline import KernelKills, after_kill, kill_lines, lines_of, wait_until
from tests.kernel.conftest import Node, make_node
from tests.lab.spec import Container, Instance, Pod
from tests.lab.storm import Storm

CONTAINERS = 20
DYING = 8  # containers that die whole, over and over
FAMILY = ("family", "2", "0", "1")
EXPORTERS = {"kmsg_exporter": "exporter, kernel log only", "api_exporter": "reporter, API only"}
EACH = {AGENT: "every process", EXPORTERS["kmsg_exporter"]: "lines of the log", EXPORTERS["api_exporter"]: "restarts"}
STATUS_DELAY_S = 0.5
Counts = Mapping[str, int]  # by container id


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of the kernel and of each tool, kills per second, and the times until the agent's log line (s)."""

    kernel: Counts
    tools: dict[str, Counts]
    per_s: float
    lines_s: list[float] = field(default_factory=list)
    named: int = 0
    detailed: int = 0


def kills_of(node: Node) -> list[OomKill]:
    """All kills in the ledger."""
    reader = LedgerReader(node.work / "state")
    kills = reader.kills(limit=1_000_000)
    reader.close()
    return kills


def single(node: Node, kills: int) -> Tally:
    """Containers in mode single; their processes die and are replaced."""
    storm = Storm(node.kubelet, CONTAINERS)
    wait_until(lambda: all(node.knob(i.path) == "0" for i in storm.instances), 60, "enforced")
    others = {name: start_exporter(name, node) for name in EXPORTERS}
    kernel = KernelKills()
    began = time.monotonic()
    storm.begin()
    storm.wait_for(kills, 120 + kills / 5, lambda: time.sleep(0.2))
    counted = storm.end()
    per_s = sum(counted.values()) / (time.monotonic() - began)
    settle(node, sum(counted.values()))
    kernel.end()
    recorded = kills_of(node)
    ours: Counter[str] = Counter()
    for kill in recorded:
        ours[kill.container_id or ""] += kill.processes
    tools: dict[str, Counts] = {AGENT: ours} | {EXPORTERS[name]: other.end() for name, other in others.items()}
    return Tally(
        counted,
        tools,
        per_s,
        after_kill(lines_of(node.agent), kernel.at_s),
        sum(bool(kill.victims) for kill in recorded),
        sum(not kill.details_missing for kill in recorded),
    )


def settle(node: Node, kills: int) -> None:
    """Until the agent has reported as many, or is quiet for long: then the table shows what is missing."""
    until = time.monotonic() + 60 + kills / 50
    while kill_lines(node.agent) < kills and time.monotonic() < until:
        time.sleep(1.0)
    time.sleep(3 * STATUS_DELAY_S)


def whole(node: Node, deaths: int) -> Tally:
    """Containers without a desired mode: all their processes die at every kill, and the container is restarted."""
    before = {kill.kill_id for kill in kills_of(node)}
    others = {name: start_exporter(name, node) for name in EXPORTERS}
    pods = [Pod(f"dying-{n}", (Container("main", FAMILY, 8),)) for n in range(DYING)]
    uids = {pod.uid for pod in pods}
    began = time.monotonic()
    for pod in pods:
        node.kubelet.run_pod(pod)

    def ended() -> list[Instance]:
        return [i for i in node.kubelet.instances if i.pod.uid in uids and i.ended_s is not None]

    wait_until(lambda: len(ended()) >= deaths, 120 + deaths * 5, f"{deaths} containers dead", 0.2)
    per_s = len(ended()) / (time.monotonic() - began)
    for pod in pods:
        node.kubelet.delete_pod(pod)
    kernel = {i.container_id: i.events["oom_group_kill"] for i in ended() if i.events.get("oom_group_kill")}
    time.sleep(10 * STATUS_DELAY_S)
    recorded = [kill for kill in kills_of(node) if kill.kill_id not in before]
    ours = Counter(kill.container_id or "" for kill in recorded if kill.group_kill)
    tools: dict[str, Counts] = {AGENT: ours} | {EXPORTERS[name]: other.end() for name, other in others.items()}
    return Tally(kernel, tools, per_s)


def right(kernel: Counts, counts: Counts) -> tuple[int, int]:
    """How many are counted for the right container, and how many are too many or misplaced."""
    hits = sum(min(count, counts.get(name, 0)) for name, count in kernel.items())
    return hits, sum(counts.values()) - hits


def rows(what: str, tally: Tally) -> list[tuple[str, ...]]:
    """One row per tool."""
    found: list[tuple[str, ...]] = []
    all_of_them = sum(tally.kernel.values())
    for tool, counts in tally.tools.items():
        hits, strangers = right(tally.kernel, counts)
        found.append((what, tool, EACH[tool], share(hits, all_of_them), str(strangers)))
    return found


def result(storm: Tally, deaths: Tally) -> Result:
    """The table, and the verdict on the goal."""
    total, dead = sum(storm.kernel.values()), sum(deaths.kernel.values())
    hits, strangers = right(storm.kernel, storm.tools[AGENT])
    p50, p99, most = spread(storm.lines_s)
    note = (
        f"The storm: {storm.per_s:.0f} kills per second in {CONTAINERS} containers. Of its kills oomward knows the victim's name for "
        f"{share(storm.named, total)} and has full details for {share(storm.detailed, total)}: the kernel itself writes ten full "
        f"reports in 5 s. Kill to log line: p50 {ms(p50)}, p99 {ms(p99)}, max {ms(most)} ms. "
        f"Deaths: {deaths.per_s:.1f} per second, restarted without back-off; the status follows {STATUS_DELAY_S} s late."
    )
    columns = ("kills", "tool", "counts", "for the right container", "too many or misplaced")
    return Result(
        "storm",
        "lab",
        "lab",
        {"kills": total, "containers": CONTAINERS, "deaths": dead},
        (
            Table(
                "Completeness",
                columns,
                (
                    *rows(f"{total:,} processes, the containers survive", storm),
                    *rows(f"{dead} containers, each dies whole", deaths),
                ),
                note,
            ),
        ),
        (Verdict("complete", f"{share(hits, total)}, {strangers} misplaced", (hits, strangers) == (total, 0)),),
        {"kills": total, "right": hits, "named": storm.named, "detailed": storm.detailed, "per_s": storm.per_s}
        | {"line_p50_s": p50, "line_p99_s": p99, "line_max_s": most},
    )


def main() -> None:
    """Measure inside the lab."""
    top = argparse.ArgumentParser(description=__doc__)
    top.add_argument("--kills", type=int, required=True)
    top.add_argument("--deaths", type=int, required=True)
    asked = top.parse_args()
    node = make_node(Path(tempfile.mkdtemp()), "systemd", status_delay_s=STATUS_DELAY_S, backoff_factor=0.0)
    try:
        node.start_agent("--mode-applied-events", "false")
        storm = single(node, asked.kills)
        print(f"{sum(storm.kernel.values())} kills, {storm.per_s:.0f} per second", flush=True)
        deaths = whole(node, asked.deaths)
        print(f"{sum(deaths.kernel.values())} containers died", flush=True)
    finally:
        node.close()
    leave(result(storm, deaths), Path(os.environ["OOMWARD_LAB_OUT"]))


if __name__ == "__main__":
    main()
