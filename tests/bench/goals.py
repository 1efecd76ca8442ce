"""The design's goals, each with the key that measurements refer to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Goal:
    key: str
    text: str
    groups: tuple[str, ...]  # that measure it


GOALS = (
    Goal(
        "first-instruction",
        "The agent's write comes before the container's first instruction at every start",
        ("start",),
    ),
    Goal(
        "write",
        "From the runtime's write to the agent's: p99 ≤ 5 ms natively with 250 containers on the node",
        ("start",),
    ),
    Goal("nri", "With NRI: an answer within 5 ms (p99), and every mode in force at the first instruction", ("start",)),
    Goal(
        "record-native",
        "From the kernel's count of a kill to the ledger, the metric and the log line, natively, one by one: p99 ≤ 12 ms",
        ("kills",),
    ),
    Goal("record-ten", "The same, 10 kills at once: p99 ≤ 25 ms", ("kills",)),
    Goal(
        "record",
        "From the kernel's kill to the ledger, the metric and the log line, in the lab: p99 ≤ 50 ms",
        ("kills",),
    ),
    Goal("kill-files", "System calls on control files per kill: ≤ 60 at 10, 110 and 500 pods", ("kills",)),
    Goal(
        "kill-calls",
        "All system calls per kill: ≤ 200 at 10, 110 and 500 pods, the same at each size within 10 %",
        ("kills",),
    ),
    Goal("turn", "Longest turn of the loop at 500 pods during kills, also if fsync takes 300 ms: ≤ 3 ms", ("kills",)),
    Goal("event", "From the kernel's kill to the accepted Event: ≤ 1.5 s", ("kills",)),
    Goal(
        "complete",
        "10,000 kills as fast as the kernel can make them: 100 % counted, 100 % for the right container",
        ("storm",),
    ),
    Goal("idle", "Idle at 110 pods: ≤ 0.1 % of a core", ("cost",)),
    Goal("wakeups", "Idle: ≤ 0.05 wake-ups per second, all threads", ("cost",)),
    Goal("rss-110", "Resident at 110 pods: ≤ 48 MiB", ("cost",)),
    Goal("rss-500", "Resident at 500 pods: ≤ 60 MiB", ("cost",)),
    Goal("ready", "Ready within 1 s of start, with 500 pods, too", ("cost",)),
    Goal("fleet", "`kubectl oomward ps -A` over 50 nodes with 110 pods each: p50 ≤ 3 s", ("fleet",)),
    Goal("one-watch", "One watch per node and, when idle, no other request to the API", ("load",)),
)
KEYS = {goal.key: goal for goal in GOALS}
