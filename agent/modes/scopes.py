"""Which containers in mode single have a scope that systemd stops after the OOM kill of a single process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from agent.model import Cgroup, Mode, ScopePolicy


@dataclass(eq=False)
class Scopes:
    """``read`` gives the policy of the scope with this cgroup path, or None. Read once per container, and again at ``recheck``: in
    conflict each time, else after systemd has read its files again, at the time ``loaded_ns``, None: not visible.
    """

    read: Callable[[str], ScopePolicy | None]
    loaded_ns: Callable[[], int | None] = lambda: None
    _loaded_ns: int | None = field(default=None, init=False)
    _conflicts: dict[int, ScopePolicy] = field(default_factory=dict, init=False)
    _read: set[int] = field(default_factory=set, init=False)

    def conflict(self, container: Cgroup, mode: Mode | None) -> ScopePolicy | None:
        """The policy that breaks mode single of this container; None: none does, or it has another mode."""
        if mode is not Mode.SINGLE:
            self.forget(container)
            return None
        if container.inode not in self._read:
            if not self._read:
                self._loaded_ns = self.loaded_ns()
            self._read.add(container.inode)
            self._keep(container)
        return self._conflicts.get(container.inode)

    def recheck(self, containers: Iterable[Cgroup], between: Callable[[], None]) -> Iterator[Cgroup]:
        """The containers with a conflict that has started or ended: a drop-in and a daemon-reload change running scopes too.

        ``between`` is called before each is read, which takes about a millisecond; meanwhile a container may end.
        """
        loaded_ns = self.loaded_ns()
        again = set(self._conflicts) if loaded_ns == self._loaded_ns else set(self._read)
        self._loaded_ns = loaded_ns
        for container in containers:
            if container.inode not in again:
                continue
            between()
            if container.inode in self._read:
                before = container.inode in self._conflicts
                self._keep(container)
                if before is not (container.inode in self._conflicts):
                    yield container

    def _keep(self, container: Cgroup) -> None:
        policy = self.read(container.path)
        if policy is None:  # not visible, or its container ends now
            return
        self._conflicts.pop(container.inode, None)
        if policy.stops_survivors:
            self._conflicts[container.inode] = policy

    def forget(self, container: Cgroup) -> None:
        """Its cgroup is gone, or it is not in mode single any more."""
        self._read.discard(container.inode)
        self._conflicts.pop(container.inode, None)

    def __len__(self) -> int:
        return len(self._conflicts)
