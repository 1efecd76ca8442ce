"""Containers that the runtime creates with our value: where it gives one up, the next attempt goes without us. Pure.

The runtime refuses a container if two plugins set the same key (nri, pkg/adaptation/result.go, claimUnified). It does not say so
to the plugins: they only see that the container is removed before it was created. So no container fails twice because of us.
Others fail without us as well: CRI-O finds only at the creation that a command does not exist. It was us if the next attempt succeeds.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from agent.model import CreationFailed, RuntimeContainer, Sandbox
from agent.wording.shares import Shares

MOST = 1000  # of each kind are remembered, in shares of the pods and namespaces
CONFLICTS = 3  # creations in a namespace, one after the other, that failed because of us where another value was there before ours

_Key = tuple[str, str, str]  # namespace, pod's uid, container's name


@dataclass(frozen=True, slots=True)
class _Creation:
    sandbox: Sandbox
    container: RuntimeContainer
    adjusted: bool  # we asked for a value
    replaced: bool  # another value was there before ours: the kubelet's, or another plugin's

    @property
    def key(self) -> _Key:
        return _key(self.sandbox, self.container)


class Creations:
    """The creations of one connection. Not thread-safe."""

    def __init__(self) -> None:
        self._pending: dict[str, _Creation] = {}  # by container id
        self._pending_shares = Shares[str, _Creation]("containers are being created", lambda _, one: one.key[:2])
        self._failed_shares = Shares[_Key, _Creation | None]("creations of containers failed", lambda key, _: key[:2])
        # Those that are not asked for again; None: it was not us, or it is reported.
        self._failed: dict[_Key, _Creation | None] = {}
        self._conflicts: OrderedDict[str, int] = (
            OrderedDict()
        )  # by namespace, so that no tenant costs another its values

    def may_adjust(self, sandbox: Sandbox, container: RuntimeContainer, so_far: str | None, oom_group: int) -> bool:
        """Whether to ask for ``oom_group``. ``so_far``: the value that is asked for already, None: not known."""
        if so_far == str(oom_group) or _key(sandbox, container) in self._failed:
            return False
        return so_far is None or self._conflicts.get(sandbox.pod.namespace, 0) < CONFLICTS

    def started(self, sandbox: Sandbox, container: RuntimeContainer, so_far: str | None) -> None:
        """We asked for a value."""
        self._pending[container.container_id] = _Creation(sandbox, container, True, so_far is not None)
        self._pending_shares.trim(self._pending, MOST)

    def started_without(self, sandbox: Sandbox, container: RuntimeContainer) -> None:
        """We asked for nothing."""
        creation = _Creation(sandbox, container, False, False)
        if creation.key in self._failed:
            self._pending[container.container_id] = creation
            self._pending_shares.trim(self._pending, MOST)

    def finished(self, container_id: str) -> CreationFailed | None:
        """The runtime has created it. Returns the creation of this container that failed before, because of us; None: none did."""
        creation = self._pending.pop(container_id, None)
        if creation is None:
            return None
        namespace = creation.sandbox.pod.namespace
        if creation.adjusted:
            if creation.replaced:
                self._conflicts.pop(namespace, None)
            return None
        failed = self._failed.get(creation.key)
        if failed is None:
            return None
        self._failed[creation.key] = None
        if failed.replaced:
            self._conflicts[namespace] = self._conflicts.get(namespace, 0) + 1
            if len(self._conflicts) > MOST:
                self._conflicts.popitem(last=False)
        return CreationFailed(failed.sandbox, failed.container, failed.replaced)

    def removed(self, container_id: str) -> None:
        """The runtime has removed a container, perhaps before it was created."""
        creation = self._pending.pop(container_id, None)
        if creation is not None:
            self._failed[creation.key] = creation if creation.adjusted else None
            self._failed_shares.trim(self._failed, MOST)


def _key(sandbox: Sandbox, container: RuntimeContainer) -> _Key:
    return sandbox.pod.namespace, sandbox.pod.uid, container.name
