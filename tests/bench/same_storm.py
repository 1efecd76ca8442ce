"""Group peers: the storm that two published tools were measured with on a real node, here for the agent.

Five containers in mode single, one kill every 0.4 s for 75 s. ``--where lab``, inside of the lab: how many kills are reported, with
the right pod and scope; the kernel's counters are the reference. ``--where native``: the agent's memory and processor time, on
directories (trees.py). The other tools are Go programs that can't be had here: their figures are the real node's, and say so.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from agent.ledger import LedgerReader
from agent.model import OomKill, Scope
from tests.bench.contestants import AGENT
from tests.bench.figures import Result, Table, leave, share
from tests.bench.processes import usage
from tests.bench.record import Kernel
from tests.bench.rig import Rig
from tests.bench.timeline import kill_lines, wait_until
from tests.bench.trees import MODE
from tests.kernel.conftest import make_node
from tests.lab.cgroups import memory_events
from tests.lab.spec import MIB, Container, Pod

CONTAINERS = 5
EVERY_S, LASTS_S = 0.4, 75.0
LIMIT_MIB = 8
SEEN_S = 30.0
REAL_NODE = "a real node, 2026-08"
# Kubernetes 1.36, kernel 7.2, the programs built from their sources of August 2026; 199 kills by the kernel's count. oomward as it
# was then, on the same node; one of its kills had a wrong scope.
ON_A_REAL_NODE = (
    ("oomward 0.1.0", REAL_NODE, share(199, 199), share(199, 199), "55", "12.8, of which some 7 its start"),
    ("node-problem-detector", REAL_NODE, share(199, 199), share(0, 199), "38", "1.0"),
    ("kubernetes-oomkill-exporter", REAL_NODE, share(131, 199), share(131, 199), "24", "0.9"),
)
COLUMNS = ("tool", "where", "kills reported", "with the right pod", "resident (MiB)", "processor, whole run (s)")
LAB_COLUMNS = (*COLUMNS[:4], "with the right scope", "with the victim's name")


@dataclass(frozen=True, slots=True)
class Reported:
    """Kills by the kernel's count, and of those in the ledger how many have the right pod and scope, and a victim."""

    kernel: int
    reported: int
    right_pod: int
    right_scope: int
    named: int


def in_the_lab(work: Path, lasts_s: float) -> Reported:
    """One process after the other uses up the memory of a container."""
    node = make_node(work, "systemd")
    try:
        node.start_agent("--mode-applied-events", "false")
        pods = [
            Pod(f"five-{n}", (Container("main", ("pause",), LIMIT_MIB),), labels={MODE: "single"})
            for n in range(CONTAINERS)
        ]
        instances = [instance for pod in pods for instance in node.kubelet.run_pod(pod)]
        wait_until(lambda: all(node.knob(i.path) == "0" for i in instances), SEEN_S, "enforced")
        began = time.monotonic()
        for number in range(int(lasts_s / EVERY_S)):
            node.kubelet.execute(instances[number % CONTAINERS], "eat", "0", "eater", "0", "1000")
            time.sleep(max(0.0, began + EVERY_S * (number + 1) - time.monotonic()))
        counted = {i.container_id: memory_events(i.path)["oom_kill"] for i in instances}
        wait_until(lambda: kill_lines(node.agent) >= sum(counted.values()), SEEN_S, "all kills logged")
        node.agent.stop()
        reader = LedgerReader(node.work / "state")
        kills = reader.kills(limit=10_000)
        reader.close()
        return _reported(kills, counted, {i.container_id: i.pod.name for i in instances})
    finally:
        node.close()


def _reported(kills: list[OomKill], counted: dict[str, int], pods: dict[str, str]) -> Reported:
    right = [kill for kill in kills if pods.get(kill.container_id or "") == kill.pod]
    return Reported(
        sum(counted.values()),
        sum(kill.processes for kill in kills),
        sum(kill.processes for kill in right),
        sum(kill.processes for kill in right if kill.scope is Scope.CONTAINER),
        sum(bool(kill.victims) for kill in right),
    )


def natively(lasts_s: float) -> tuple[int, float, float, float]:
    """Kills, resident MiB at the end, processor seconds of the whole run, and how many of them were the start."""
    rig = Rig(2 * CONTAINERS, native=True)  # half of them ask
    try:
        agent, _ = rig.start("--mode-applied-events", "false")
        started_s = usage(agent.process.pid).cpu_s
        kernel = Kernel(rig, rig.log, sequence=time.monotonic_ns() // 1000)
        asking = [instance for instance in rig.instances if MODE in instance.pod.labels][:CONTAINERS]
        began, number = time.monotonic(), int(lasts_s / EVERY_S)
        for n in range(number):
            kernel.kill(asking[n % len(asking)], reported=True)
            time.sleep(max(0.0, began + EVERY_S * (n + 1) - time.monotonic()))
        wait_until(lambda: kill_lines(agent) >= number, SEEN_S, "all kills logged")
        cost = usage(agent.process.pid)
        agent.stop()
        return number, cost.rss_bytes / MIB, cost.cpu_s, started_s
    finally:
        rig.close()


def lab_result(found: Reported) -> Result:
    row = (
        AGENT,
        "lab",
        share(found.reported, found.kernel),
        share(found.right_pod, found.kernel),
        share(found.right_scope, found.kernel),
        share(found.named, found.kernel),
    )
    note = (
        f"One kill every {EVERY_S} s in five containers in mode `single`. The cgroups' own counters are the reference."
    )
    table = Table("The storm of the other tools: what is reported", LAB_COLUMNS, (row,), note)
    numbers = {"kills": float(found.kernel), "right": float(found.right_pod), "right_scope": float(found.right_scope)}
    return Result("peers", "lab", "lab", {"kills": found.kernel, "containers": CONTAINERS}, (table,), (), numbers)


def native_result(kills: int, rss_mib: float, cpu_s: float, started_s: float) -> Result:
    row = (
        AGENT,
        "this machine, directories",
        "see above",
        "see above",
        f"{rss_mib:.1f}",
        f"{cpu_s:.1f}, of which {started_s:.1f} its start",
    )
    note = (
        "The other tools were measured on another machine, and oomward as it was then beside them: there the rows can be compared. Today's "
        "oomward needs more memory and processor time than they do: it is "
        "Python, it reads the counters of each level, writes a ledger that survives `kill -9`, watches the API for the pods' names, "
        "and looks at the container again for the outcome. For that each kill has its pod, the limit that was hit, and whether the "
        "container survived."
    )
    table = Table("The storm of the other tools: what it costs", COLUMNS, (row, *ON_A_REAL_NODE), note)
    numbers = {
        "rss_mib": rss_mib,
        "cpu_s": cpu_s,
        "start_cpu_s": started_s,
        "cpu_ms_per_kill": (cpu_s - started_s) * 1e3 / kills,
    }
    return Result("peers", "native", "native", {"kills": kills, "containers": CONTAINERS}, (table,), (), numbers)


def main() -> None:
    """Measure in one of both places."""
    top = argparse.ArgumentParser(description=__doc__)
    top.add_argument("--where", choices=("lab", "native"), required=True)
    top.add_argument("--lasts", type=float, default=LASTS_S, help="seconds")
    asked = top.parse_args()
    if asked.where == "lab":
        result = lab_result(in_the_lab(Path(tempfile.mkdtemp()), asked.lasts))
    else:
        result = native_result(*natively(asked.lasts))
    leave(result, Path(os.environ["OOMWARD_LAB_OUT"]))


if __name__ == "__main__":
    main()
