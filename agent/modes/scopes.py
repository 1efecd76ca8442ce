"""Which containers in mode single have a scope that systemd stops after the OOM kill of a single process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from agent.model import Cgroup, ScopePolicy


@dataclass(eq=False)
class Scopes:
    """``read`` gives the policy of the scope with this cgroup path, or None. Read once per container, in conflict again at ``recheck``."""

    read: Callable[[str], ScopePolicy | None]
    _conflicts: dict[int, ScopePolicy] = field(default_factory=dict, init=False)
    _read: set[int] = field(default_factory=set, init=False)

    def conflict(self, container: Cgroup) -> ScopePolicy | None:
        """The policy that breaks mode single of this container; None: none does."""
        if container.inode not in self._read:
            self._read.add(container.inode)
            self._keep(container)
        return self._conflicts.get(container.inode)

    def recheck(self, container: Cgroup) -> bool:
        """Whether a conflict of this container has ended: a drop-in and a daemon-reload end it for running containers too."""
        if container.inode in self._conflicts:
            self._keep(container)
            return container.inode not in self._conflicts
        return False

    def _keep(self, container: Cgroup) -> None:
        policy = self.read(container.path)
        self._conflicts.pop(container.inode, None)
        if policy is not None and policy.stops_survivors:
            self._conflicts[container.inode] = policy

    def forget(self, container: Cgroup) -> None:
        """Its cgroup is gone, or it is not in mode single any more."""
        self._read.discard(container.inode)
        self._conflicts.pop(container.inode, None)

    def __len__(self) -> int:
        return len(self._conflicts)
