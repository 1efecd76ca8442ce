"""The loop's state at one moment, for other threads that only read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agent.model import Cgroup, Rules
from agent.pods.registry import Registry


@dataclass(frozen=True, slots=True)
class NodeState:
    """Copies, so that nothing changes any more: the live ``cgroups`` by path, the pods, and the rules in force."""

    cgroups: Mapping[str, Cgroup]
    registry: Registry
    rules: Rules
