"""Cgroups above containers in mode single that have memory.oom.group 1: a kill at a limit there or further up ends everything below."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from agent.model import Cgroup, levels_above
from agent.modes.enforcer import Enforcer
from agent.modes.notices import ModeNotices
from agent.pods.registry import Registry
from agent.wording import notes


@dataclass(eq=False)
class Ancestors:
    """``values`` are the last known ones of memory.oom.group, by path."""

    enforcer: Enforcer
    registry: Registry
    notices: ModeNotices
    values: Mapping[str, int]

    def warn(self, container: Cgroup) -> None:
        pod = self.registry.pod_of(container.place)
        if pod is not None:
            for above in self._with_1(container):
                self.notices.failed(pod, notes.ancestor_note(above), f"ancestor-{above}", pod.uid)

    def conflicts(self, containers: Iterable[Cgroup]) -> int:
        """How many containers in mode single are below such a cgroup."""
        return sum(bool(self._with_1(container)) for container in containers)

    def _with_1(self, container: Cgroup) -> list[str]:
        """Their paths, the nearest first."""
        if self.enforcer.wanted(container) != 0:
            return []
        return [above for above in levels_above(container.path) if self.values.get(above)]
