"""Kills to make sentences and metrics of."""

from __future__ import annotations

from dataclasses import replace

from agent.model import Mode, OomKill, Outcome, Scope, TaskRow, Victim

MIB = 1 << 20
WORKER = Victim(4312, "worker", 1000, 400 * MIB, 180 * MIB, 200 * 1024, 0, 0)
KILL = OomKill(
    kill_id="boot-7-1",
    at_unix_s=1_760_000_000.0,
    node="node-1",
    cgroup_path="kubepods/podu/c",
    processes=1,
    namespace="default",
    pod="herder-1",
    pod_uid="u",
    container="herder",
    container_id="c",
    victims=(WORKER,),
    mode=Mode.SINGLE,
    scope=Scope.CONTAINER,
    limit_bytes=256 * MIB,
    usage_bytes=256 * MIB,
    largest=(TaskRow(4312, "worker", 180 * MIB), TaskRow(4313, "worker", 44 * MIB), TaskRow(1, "herder", 1258291)),
    outcome=Outcome.SURVIVED,
    sources=frozenset({"counters", "kmsg"}),
)
GROUP = replace(
    KILL, processes=3, group_kill=True, mode=Mode.GROUP, outcome=Outcome.DIED, victims=(WORKER, Victim(4300, "herder"), Victim(4301, "sh"))
)
LOST = replace(KILL, victims=(), largest=(), details_missing=True, usage_bytes=None)
HOST = replace(
    KILL, namespace=None, pod=None, pod_uid=None, container=None, container_id=None, scope=Scope.NODE, mode=None, outcome=None,
    cgroup_path="system.slice/backup.service", limit_bytes=None,
)  # fmt: skip
CASES = {
    "the container's limit, survived": KILL,
    "the container's limit, PID 1 was it": replace(KILL, outcome=Outcome.DIED),
    "the container's limit, group": GROUP,
    "the pod's limit": replace(KILL, scope=Scope.POD),
    "all pods' limit": replace(KILL, scope=Scope.KUBEPODS, limit_bytes=28 << 30),
    "the node": replace(KILL, scope=Scope.NODE, limit_bytes=None),
    "no details": LOST,
    "a group without details": replace(GROUP, victims=(), largest=(), details_missing=True),
    "a group with some details": replace(GROUP, processes=9, details_missing=True),
    "nothing but the count": replace(LOST, scope=None, limit_bytes=None, mode=None, outcome=None),
    "outside of pods": HOST,
    "names made to deceive": replace(KILL, victims=(replace(WORKER, comm="\x1b[2Jx\ny\u202eevil"),), largest=()),
}
