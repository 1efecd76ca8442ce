"""What memory.oom.group of a container would be that the runtime created with our value, to be restored and for NRI's updates."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from agent.model import Cgroup, Mode
from agent.modes.enforcer import Enforcer

WRITTEN_AFTER_S = 10.0  # then the runtime has written the value of a new container (a cgroup begins with 0)


@dataclass(eq=False)
class CreatedWithMode:
    """``containers`` gives all live ones, ``mode_of`` the mode by the last value that was read, None: not known.

    ``without_us``: memory.oom.group as it would have been, by container id.
    """

    enforcer: Enforcer
    containers: Callable[[], Iterable[Cgroup]]
    mode_of: Callable[[Cgroup], Mode | None]
    without_us: dict[str, int] = field(default_factory=dict, init=False)
    _ids: set[str] = field(default_factory=set, init=False)
    _left_alone_since: dict[str, float] = field(default_factory=dict, init=False)  # by id, of those without a mode

    def asked(self, container_id: str) -> None:
        """The runtime was asked to write the desired value when it creates this container."""
        self._ids.add(container_id)

    def removed(self, container_id: str) -> None:
        """The runtime has removed it, perhaps before it had a cgroup."""
        self._ids.discard(container_id)
        self.without_us.pop(container_id, None)

    def gone(self, container_id: str) -> None:
        """Its cgroup was removed."""
        self._left_alone_since.pop(container_id, None)
        self.removed(container_id)

    def decided(
        self, container: Cgroup, child: Cgroup | None, mode: Mode | None, pod_uid: str | None, now_s: float
    ) -> None:
        """``child`` is crun's cgroup below the container's, None: none. ``mode`` None: left alone."""
        container_id = container.place.container_id or ""
        if mode is None:
            self._left_alone_since.setdefault(container_id, now_s)
            return
        self._left_alone_since.pop(container_id, None)
        if container_id in self._ids:
            self._remember(container, child, container_id, pod_uid or "", now_s)

    def _remember(self, container: Cgroup, child: Cgroup | None, container_id: str, pod_uid: str, now_s: float) -> None:
        """Without us the runtime had written what it writes for others."""
        written, originals = child or container, self.enforcer.originals
        if originals.original(written.inode) is not None:
            return
        if child is not None:  # seen later than the container: it is the one that the runtime writes
            originals.forget_original(container.inode)
        value = self._written_for_others(now_s).oom_group
        self.enforcer.created_with_mode(written, value, pod_uid)
        self.without_us[container_id] = value

    def _written_for_others(self, now_s: float) -> Mode:
        """1 by default, 0 if the kubelet runs with singleProcessOOMKill. A 0 counts where the runtime has written by now."""
        seen = set[Mode]()
        for other in self.containers():
            since_s = self._left_alone_since.get(other.place.container_id or "")
            if since_s is None or (mode := self.mode_of(other)) is None:
                continue
            if mode is Mode.GROUP or now_s - since_s >= WRITTEN_AFTER_S:
                seen.add(mode)
        return Mode.SINGLE if seen == {Mode.SINGLE} else Mode.GROUP
