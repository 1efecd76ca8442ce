"""Kills for tests of sentences and metrics."""

from __future__ import annotations

from dataclasses import replace

from agent.model import ContainerUse, MemoryUse, Mode, OomKill, Outcome, Scope, TaskRow, Victim

MIB = 1 << 20
WORKER = Victim(4312, "worker", 1000, 400 * MIB, 180 * MIB, 200 * 1024, 0, 0)
KILL = OomKill(
    boot_id="boot",
    cgroup_inode=7,
    ordinal=1,
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
    KILL,
    processes=3,
    group_kill=True,
    mode=Mode.GROUP,
    outcome=Outcome.DIED,
    victims=(WORKER, Victim(4300, "herder"), Victim(4301, "sh")),
)
LOST = replace(KILL, victims=(), largest=(), details_missing=True, usage_bytes=None)
HOST = replace(
    KILL, namespace=None, pod=None, pod_uid=None, container=None, container_id=None, scope=Scope.NODE, mode=None, outcome=None,
    cgroup_path="system.slice/backup.service", limit_bytes=None,
)  # fmt: skip
PID_1 = replace(KILL, outcome=Outcome.DIED, victims=(Victim(4300, "herder", 0, 9 * MIB, MIB, 0, 0, 0),))
SERVICE = replace(HOST, scope=Scope.CONTAINER, limit_bytes=1 << 30, usage_bytes=1 << 30)
USED = MemoryUse(241 * MIB, 9 * MIB, 0, 0, 6 * MIB, 2 * MIB, 0, 0)
UNWRITTEN = MemoryUse(30 * MIB, 212 * MIB, 208 * MIB, 0, 14 * MIB, MIB, 0, 0)
FILLED = {
    "full of processes": replace(KILL, use=USED),
    "full of page cache that is not written back": replace(KILL, use=UNWRITTEN),
    "full of page cache that can be freed": replace(KILL, use=replace(UNWRITTEN, dirty=MIB)),
    "full of files in memory": replace(KILL, use=MemoryUse(20 * MIB, 2 * MIB, 0, 230 * MIB, 4 * MIB, MIB, 0, 0)),
    "full of names of files": replace(KILL, use=MemoryUse(20 * MIB, 2 * MIB, 0, 0, 234 * MIB, 220 * MIB, 0, 0)),
    "full of kernel memory": replace(KILL, use=MemoryUse(20 * MIB, 2 * MIB, 0, 0, 234 * MIB, MIB, 0, 0)),
    "full of buffers of connections": replace(
        KILL, use=MemoryUse(20 * MIB, 2 * MIB, 0, 0, 34 * MIB, MIB, 200 * MIB, 0)
    ),
    "more in swap than in memory": replace(KILL, use=replace(USED, swap=900 * MIB)),
    "read after the kill, which freed most": replace(
        LOST, use=MemoryUse(20 * MIB, 60 * MIB, 0, 0, 6 * MIB, MIB, 0, 0, by_report=False)
    ),
    "the pod's limit, by another container": replace(
        KILL,
        scope=Scope.POD,
        use=USED,
        containers=(ContainerUse("sidecar", 200 * MIB), ContainerUse("herder", 56 * MIB), ContainerUse(None, MIB)),
    ),
    "all pods' limit, full of processes": replace(KILL, scope=Scope.KUBEPODS, use=USED),
}
CASES = {
    **FILLED,
    "the container's limit, survived": KILL,
    "the container's limit, PID 1 was it": PID_1,
    "the container's limit, died, cgroup v1": replace(PID_1, mode=None),
    "the container's limit, group": GROUP,
    "the container's limit, usage below it": replace(KILL, usage_bytes=255 * MIB),
    "the container's limit, outcome never seen": replace(KILL, outcome=None),
    "a group of one": replace(GROUP, processes=1, victims=(WORKER,)),
    "a group below the container": replace(GROUP, mode=Mode.SINGLE, outcome=Outcome.SURVIVED),
    "a large group": replace(GROUP, processes=12, victims=tuple(Victim(100 + i, f"w{i}") for i in range(12))),
    "the pod's limit": replace(KILL, scope=Scope.POD),
    "the pod's limit, group": replace(GROUP, scope=Scope.POD),
    "the pod's limit, in its sandbox": replace(
        KILL,
        scope=Scope.POD,
        container=None,
        sandbox=True,
        outcome=Outcome.DIED,
        limit_bytes=200 << 10,
        usage_bytes=200 << 10,
        victims=(Victim(4300, "runc:[2:INIT]", 0, 9 * MIB, MIB, 0, 0, -998),),
        largest=(),
    ),
    "all pods' limit": replace(KILL, scope=Scope.KUBEPODS, limit_bytes=28 << 30, usage_bytes=28 << 30),
    "all pods' limit, not known": replace(KILL, scope=Scope.KUBEPODS, limit_bytes=None, usage_bytes=None),
    "the pod's limit, not known": replace(LOST, scope=Scope.POD, limit_bytes=None),
    "no details, not marked": replace(LOST, details_missing=False),
    "the node": replace(KILL, scope=Scope.NODE, limit_bytes=None),
    "the node, died": replace(PID_1, scope=Scope.NODE, limit_bytes=None, mode=Mode.GROUP),
    "one NUMA node": replace(KILL, scope=Scope.NUMA, limit_bytes=None, usage_bytes=None),
    "one NUMA node, outside of pods": replace(HOST, scope=Scope.NUMA),
    "asked for by hand": replace(KILL, scope=Scope.SYSRQ, limit_bytes=None, usage_bytes=None),
    "the pod's limit, in its virtual machine": replace(
        KILL,
        scope=Scope.POD,
        container=None,
        container_id=None,
        sandbox=True,
        mode=None,
        outcome=Outcome.DIED,
        limit_bytes=12 << 30,
        usage_bytes=12 << 30,
        victims=(Victim(1887079, "qemu-kata-syste", 0, 13 << 30, 40 * MIB, 9 * MIB, 11 << 30, -100),),
        largest=(),
    ),
    "no details": LOST,
    "no details, the limit not known": replace(LOST, limit_bytes=None),
    "a size that the log lost": replace(KILL, victims=(Victim(4312, "worker"),), details_missing=True),
    "a group without details": replace(GROUP, victims=(), largest=(), details_missing=True),
    "a group with some details": replace(GROUP, processes=9, details_missing=True),
    "nothing but the count": replace(LOST, scope=None, limit_bytes=None, mode=None, outcome=None),
    "which limit is not known": replace(KILL, scope=None, limit_bytes=None, usage_bytes=None),
    "which of the limits is not known": replace(KILL, scope=None),
    "a container that has no name": replace(LOST, container=None, outcome=Outcome.DIED),
    "a container or sandbox that the API has not named": replace(
        KILL, container=None, container_id="0123456789abcdef" * 4, outcome=None
    ),
    "outside of pods": HOST,
    "outside of pods, a service's own limit": SERVICE,
    "outside of pods, nothing but the count": replace(
        HOST, scope=None, victims=(), largest=(), details_missing=True, cgroup_path="", usage_bytes=None
    ),
    "names made to deceive": replace(KILL, victims=(replace(WORKER, comm="\x1b[2Jx\ny\u202eevil"),), largest=()),
}
