"""A 1 in memory.oom.group above a container: a kill at a limit there or further up ends all below, whatever the container has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from agent.model import Cgroup
from agent.modes.announced import Announced
from agent.modes.enforcer import Enforcer
from agent.modes.notices import ModeNotices
from agent.pods.registry import Registry
from agent.wording import notes


class Ancestors:
    """``values`` is what memory.oom.group said last, by path."""

    def __init__(
        self,
        values: Mapping[str, int],
        enforcer: Enforcer,
        registry: Registry,
        notices: ModeNotices,
        announced: Announced,
    ) -> None:
        self._values = values
        self._enforcer = enforcer
        self._registry = registry
        self._notices = notices
        self._announced = announced

    def warn(self, container: Cgroup) -> None:
        """An Event for each such level above a container in mode single, once per pod."""
        pod = self._registry.pod_of(container.place)
        if pod is None:
            return
        for above in self._in_conflict(container):
            if self._announced.first_time(pod.uid, "ancestor", above):
                self._notices.failed(pod, notes.ancestor_note(above), f"ancestor-{above}")

    def conflicts(self, containers: Iterable[Cgroup]) -> int:
        """How many of these are in mode single below such a level."""
        return sum(bool(self._in_conflict(container)) for container in containers)

    def _in_conflict(self, container: Cgroup) -> list[str]:
        """The nearest first; none unless 0 is enforced for the container."""
        if self._enforcer.wanted(container) != 0:
            return []
        found, above = [], container.path
        while above := above.rpartition("/")[0]:
            if self._values.get(above):
                found.append(above)
        return found
