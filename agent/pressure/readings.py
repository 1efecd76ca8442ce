"""What a container at its limit looks like now, from its control files and PSI."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from agent.cgroup.files import CgroupError, CgroupFiles
from agent.kernel.processes import largest
from agent.model import AtLimit, Cgroup, MemoryUse, SeenProcess, Vanished


class Readings:
    """``files`` are of the memory hierarchy. ``stalled_us`` is Psi.stalled_us, None: there is no PSI. ``between``: see Node.

    ``certain``: a signal proves that the limit was reached; None: by the version, since v1 signals the node's own reclaim as well.
    """

    def __init__(
        self,
        files: CgroupFiles,
        stalled_us: Callable[[Cgroup], int | None] | None,
        on_error: Callable[[CgroupError], None],
        between: Callable[[], None] = lambda: None,
        *,
        certain: bool | None = None,
    ) -> None:
        self.certain = files.version == "v2" if certain is None else certain
        self._files = files
        self._stalled_us = stalled_us
        self._on_error = on_error
        self.between = between

    def at_limit(self, container: Cgroup, limit_bytes: int, also: Cgroup | None = None) -> AtLimit | None:
        """``also``: the pod with the same limit, whose hits are the container's. None: it was removed, or can't be read."""
        try:
            events, usage = self._files.memory_events(container), self._files.usage_bytes(container)
            use, hits = self._files.memory_use(container), self._hits(container)
            hits += self._hits(also) if also is not None else 0
            stalled_us = self._stalled_us(container) if self._stalled_us is not None else None
        except CgroupError as error:
            self._on_error(error)
            return None
        if (
            isinstance(events, Vanished)
            or isinstance(usage, Vanished)
            or not isinstance(use, MemoryUse)
            or usage is None
        ):
            return None
        return AtLimit(limit_bytes, usage, hits, events.oom_kill, use, stalled_us)

    def _hits(self, cgroup: Cgroup) -> int:
        hits = self._files.times_at_limit(cgroup)
        return 0 if isinstance(hits, Vanished) else hits

    def usage_bytes(self, cgroup: Cgroup) -> int:
        """0 where it can't be read."""
        try:
            usage = self._files.usage_bytes(cgroup)
        except CgroupError as error:
            self._on_error(error)
            return 0
        return usage if isinstance(usage, int) else 0

    def hits(self, cgroups: Iterable[Cgroup]) -> int | None:
        """How often all these reached limits of their own; None: it can't be read."""
        try:
            return sum(map(self._hits, cgroups))
        except CgroupError as error:
            self._on_error(error)
            return None

    def largest(self, container: Cgroup) -> list[SeenProcess]:
        """Its processes and those below, the largest first; empty where they can't be read."""
        try:
            pids = self._files.pids(container)
        except CgroupError as error:
            self._on_error(error)
            return []
        return [] if isinstance(pids, Vanished) else largest(pids, between=self.between)
