"""The words for kills at which no limit of the container or its pod was hit: why, and what to do."""

from __future__ import annotations

from collections.abc import Mapping

from agent.model import Scope

_SHORT = "the node, or all pods together, ran out of memory"
SHORTAGE: Mapping[Scope | None, str] = {
    Scope.KUBEPODS: _SHORT,
    Scope.NODE: _SHORT,
    Scope.NUMA: "a NUMA node or cpuset of the node ran out of memory",
    Scope.SYSRQ: "somebody asked the kernel for an OOM kill (sysrq f)",
}
SHORTAGE_ADVICE: Mapping[Scope | None, str] = {
    Scope.NUMA: (
        "let it use more of the node's NUMA nodes (cpuset.mems, the kubelet's memory manager policy, numactl or other memory policies), "
        "or run less on this one"
    ),
    Scope.SYSRQ: (
        "ask who wrote f to /proc/sysrq-trigger on the node: an administrator, or a program that watches memory, such as earlyoom"
    ),
}
