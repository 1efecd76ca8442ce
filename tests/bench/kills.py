"""Group kills: from the kernel's kill to the ledger, the metric, the log line and the accepted Event.

Runs inside of the lab: ``python -m tests.bench.kills --kills 100 --storm-kills 600``. One by one, each in a pod of its own,
since later kills of one container are counted in one Event; then many at once.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from agent.ledger import LedgerReader
from tests.bench.figures import Result, Table, Verdict, leave, ms, share, spread
from tests.bench.timeline import KernelKills, TimedStore, after_kill, first_events, kill_lines, lines_of, wait_until
from tests.kernel.conftest import MODE, Node, make_node
from tests.lab.spec import Container, Instance, Pod
from tests.lab.storm import Storm

LIMIT_MIB = 8
AT_ONCE = 4
EVERY_S = 1.1  # the budget of Events for a node is one per second
SEEN_S = 30.0
STORM_CONTAINERS = 20
RECORD_GOAL_S, EVENT_GOAL_S = 0.050, 1.5


@dataclass(slots=True)
class OneByOne:
    """The times of each kill; ``early``: log lines written before the ledger row or the count."""

    lines_s: list[float] = field(default_factory=list)
    events_s: list[float] = field(default_factory=list)
    early: int = 0


def new_node(work: Path) -> tuple[Node, TimedStore]:
    """A node with an API that records when it accepts Events, and the agent on it."""
    node = make_node(work, "systemd", status_delay_s=0.5)
    store = TimedStore()
    node.api.store = store
    node.start_agent("--mode-applied-events", "false")
    return node, store


def start_quiet(node: Node, count: int) -> list[Instance]:
    """Idle pods, each known to the agent by name."""
    pods = [
        Pod(f"quiet-{number}", (Container("main", ("pause",), LIMIT_MIB),), labels={MODE: "single"})
        for number in range(count)
    ]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        started = [instance for some in pool.map(node.kubelet.run_pod, pods) for instance in some]
    node.agent.wait_for(
        lambda: sum(name == "oomward_container_oom_group" for name, _ in node.agent.metrics()) >= count, 60, "named"
    )
    return started


def one_by_one(node: Node, store: TimedStore, kills: int) -> OneByOne:
    """A process that uses up the memory, in one pod after the other."""
    started, found = start_quiet(node, kills), OneByOne()
    kernel, pids = KernelKills(), list[int]()
    for instance in started:
        began = time.monotonic()
        size = node.agent.log_path.stat().st_size
        pid = node.kubelet.execute(instance, "eat", "0", "eater", "0", "1000")
        pids.append(pid)
        pod = instance.pod.name
        wait_until(lambda size=size: node.agent.log_path.stat().st_size > size, SEEN_S, "logged")  # type: ignore[misc]
        wait_until(lambda pod=pod: any(x.pod == pod for x in lines_of(node.agent)), SEEN_S, "logged")  # type: ignore[misc]
        found.early += not has_event(node, pod)
        wait_until(lambda pod=pod: store.first_of(pod) is not None, SEEN_S, f"an Event of {pod}")  # type: ignore[misc]
        time.sleep(max(0.0, began + EVERY_S - time.monotonic()))
    kernel.end()
    lines = lines_of(node.agent)
    found.lines_s = after_kill(lines, {pid: kernel.at_s[pid] for pid in pids})
    found.events_s = first_events(lines, kernel.at_s, store)
    if len(found.lines_s) != kills or len(found.events_s) != kills:
        raise RuntimeError(f"{kills} kills, but {len(found.lines_s)} lines and {len(found.events_s)} Events of them")
    return found


def has_event(node: Node, pod: str) -> bool:
    """Whether the ledger has the pod's kill and the metric counts it."""
    reader = LedgerReader(node.work / "state")
    kills = reader.kills(pod=pod, limit=10)
    reader.close()
    return len(kills) == 1 and node.agent.total("oomward_oom_kills_total", pod=pod) == 1


@dataclass(frozen=True, slots=True)
class Together:
    """A storm: how many kills the kernel counted and how fast, and the times of those with a named victim."""

    kills: int
    per_s: float
    lines_s: list[float]
    events_s: list[float]


def together(node: Node, store: TimedStore, kills: int) -> Together:
    """At least ``kills`` kills, as fast as the kernel can make them."""
    storm = Storm(node.kubelet, STORM_CONTAINERS)
    paths = [instance.path for instance in storm.instances]
    wait_until(lambda: all(node.knob(path) == "0" for path in paths), 60, "enforced")
    kernel = KernelKills()
    before = kill_lines(node.agent)
    began = time.monotonic()
    storm.begin()
    storm.wait_for(kills, 60 + kills / 5, lambda: time.sleep(0.1))
    counted = sum(storm.end().values())
    lasted = time.monotonic() - began
    patience_s = 60 + kills / 50
    wait_until(lambda: kill_lines(node.agent) - before >= counted, patience_s, f"{counted} kills logged", 0.5)
    pods = {instance.pod.name for instance in storm.instances}
    wait_until(lambda: all(store.first_of(pod) for pod in pods), 120, "an Event of each pod", 0.5)
    kernel.end()
    lines = lines_of(node.agent)[before:]
    return Together(counted, counted / lasted, after_kill(lines, kernel.at_s), first_events(lines, kernel.at_s, store))


def rows(what: str, lines_s: list[float], events_s: list[float]) -> list[tuple[str, ...]]:
    """Two rows of the table."""
    named = (("ledger, metric and log line", lines_s), ("first Event of the pod accepted", events_s))
    return [(what, path, str(len(took)), *map(ms, spread(took))) for path, took in named]


def result(alone: OneByOne, storm: Together) -> Result:
    """The table and what it says of the goals."""
    many = f"{storm.kills} kills, {storm.per_s:.0f} per second"
    note = (
        "ms from the time of the kernel's own log line about the kill to the time of the agent's. The ledger row and the metric come "
        f"before it: when the line was there, {share(len(alone.lines_s) - alone.early, len(alone.lines_s))} were in "
        "both. Up to 10 ms too long, since the lab kernel's clock ticks every 10 ms. Later kills of a container are counted in its "
        "Event at intervals of 10 s and more, so only the first of each pod is timed."
    )
    records = [
        (spread(alone.lines_s)[1], "in the lab, one by one"),
        (spread(storm.lines_s)[1], "in the lab, in a storm"),
    ]
    events = [
        (spread(alone.events_s)[1], "in the lab, one by one"),
        (spread(storm.events_s)[1], "in the lab, in a storm"),
    ]
    columns = ("kills", "path", "n", "p50", "p99", "max")
    return Result(
        "kills",
        "lab",
        "lab",
        {"one by one": len(alone.lines_s), "storm": storm.kills, "storm's containers": STORM_CONTAINERS},
        (
            Table(
                "From a kill to its report",
                columns,
                (*rows("one by one", alone.lines_s, alone.events_s), *rows(many, storm.lines_s, storm.events_s)),
                note,
            ),
        ),
        (
            *(Verdict("record", f"p99 {ms(took)} ms {how}", took <= RECORD_GOAL_S) for took, how in records),
            *(Verdict("event", f"p99 {ms(took)} ms {how}", took <= EVENT_GOAL_S) for took, how in events),
        ),
        {
            "record_p50_s": spread(alone.lines_s)[0],
            "record_p99_s": records[0][0],
            "storm_record_p50_s": spread(storm.lines_s)[0],
            "storm_record_p99_s": records[1][0],
            "event_p99_s": events[0][0],
            "storm_kills_per_s": storm.per_s,
            "early_lines": alone.early,
        },
    )


def main() -> None:
    """Measure inside the lab."""
    top = argparse.ArgumentParser(description=__doc__)
    top.add_argument("--kills", type=int, required=True)
    top.add_argument("--storm-kills", type=int, required=True)
    asked = top.parse_args()
    node, store = new_node(Path(tempfile.mkdtemp()))
    try:
        alone = one_by_one(node, store, asked.kills)
        print(f"{asked.kills} kills one by one", flush=True)
        storm = together(node, store, asked.storm_kills)
        print(f"{storm.kills} kills together", flush=True)
    finally:
        node.close()
    leave(result(alone, storm), Path(os.environ["OOMWARD_LAB_OUT"]))


if __name__ == "__main__":
    main()
