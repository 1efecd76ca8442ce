"""Containers that the runtime creates with our value: where it gives one up, the next attempt goes without us. Pure.

The runtime refuses a container if two plugins set the same key (nri, pkg/adaptation/result.go, claimUnified). It does not say so
to the plugins: they only see that the container is removed before it was created. So no container fails twice because of us.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from agent.model import CreationFailed, RuntimeContainer, Sandbox

MOST = 1000  # of each kind are remembered
CONFLICTS = (
    3  # creations of different containers, one after the other, that failed where another value was there before ours
)


@dataclass(frozen=True, slots=True)
class _Creation:
    sandbox: Sandbox
    container: RuntimeContainer
    replaced: bool  # another value was there before ours: the kubelet's, or another plugin's

    @property
    def key(self) -> tuple[str, str]:
        return self.sandbox.pod.uid, self.container.name


class Creations:
    """The creations of one connection. Not thread-safe."""

    def __init__(self) -> None:
        self._pending: OrderedDict[str, _Creation] = OrderedDict()  # by container id
        self._failed: OrderedDict[tuple[str, str], None] = OrderedDict()  # pod's uid and container's name
        self._conflicts = 0

    def may_adjust(self, sandbox: Sandbox, container: RuntimeContainer, so_far: str | None, oom_group: int) -> bool:
        """Whether to ask for ``oom_group``. ``so_far``: the value that is asked for already, None: not known."""
        if so_far == str(oom_group) or (sandbox.pod.uid, container.name) in self._failed:
            return False
        return so_far is None or self._conflicts < CONFLICTS

    def started(self, sandbox: Sandbox, container: RuntimeContainer, so_far: str | None) -> None:
        """We asked for a value."""
        self._pending[container.container_id] = _Creation(sandbox, container, so_far is not None)
        _bound(self._pending)

    def finished(self, container_id: str) -> None:
        """The runtime has created it."""
        creation = self._pending.pop(container_id, None)
        if creation is not None and creation.replaced:
            self._conflicts = 0

    def removed(self, container_id: str) -> CreationFailed | None:
        """The runtime has removed a container. None: not one whose creation with our value was not finished."""
        creation = self._pending.pop(container_id, None)
        if creation is None:
            return None
        self._failed[creation.key] = None
        _bound(self._failed)
        self._conflicts += creation.replaced
        return CreationFailed(creation.sandbox, creation.container, creation.replaced)


def _bound(known: OrderedDict[str, _Creation] | OrderedDict[tuple[str, str], None]) -> None:
    while len(known) > MOST:
        known.popitem(last=False)
