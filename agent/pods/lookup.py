"""What the attribution of kills asks for (kills.facts): looked up in the registry, the tree and the cgroup room, never waiting."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping

from agent.cgroup.files import CgroupError, CgroupFiles
from agent.cgroup.layout import RUNTIME_CHILD, classify, place_of_kernel_path
from agent.kernel.processes import ProcessIdentity, init_process, is_alive, node_oom_kills
from agent.model import (
    NODE,
    VANISHED,
    Cgroup,
    CgroupKind,
    CgroupPlace,
    Identity,
    MemoryEvents,
    Mode,
    Pod,
    Vanished,
    levels_above,
)
from agent.pods.registry import Registry

MOST_LIMITS = 5000


class Lookup:
    """``knobs`` is what memory.oom.group said last, by cgroup path; ``cgroups`` the live ones by path."""

    def __init__(
        self,
        files: CgroupFiles,
        registry: Registry,
        cgroups: Callable[[], Mapping[str, Cgroup]],
        knobs: Mapping[str, int],
        on_error: Callable[[CgroupError], None],
    ) -> None:
        self._files = files
        self._registry = registry
        self._cgroups = cgroups
        self._knobs = knobs
        self._on_error = on_error
        self._inits: dict[int, ProcessIdentity] = {}
        self._limits: OrderedDict[str, int | None] = OrderedDict()  # as read last, of cgroups that are gone too

    def names_at(self, path: str) -> Identity:
        place = classify(path)
        pod, who = self._registry.pod_of(place), self._registry.identity(place)
        if who is not None:
            return who
        if pod is not None:
            return Identity(pod.namespace, pod.name, pod.uid, _only_container(pod, place), place.container_id)
        return Identity(container_id=place.container_id)

    def mode(self, cgroup: Cgroup) -> Mode | None:
        inner = self._knobs.get(f"{cgroup.path}/container")
        value = self._knobs.get(cgroup.path) if inner is None else max(inner, self._knobs.get(cgroup.path, 0))
        return None if value is None else (Mode.GROUP if value else Mode.SINGLE)

    def counters(self, cgroup: Cgroup) -> MemoryEvents | Vanished:
        try:
            if cgroup == NODE:
                total = node_oom_kills()
                return VANISHED if total is None else MemoryEvents(oom_kill=total)
            return self._files.memory_events(cgroup)
        except CgroupError as error:
            self._on_error(error)
            return VANISHED

    def limit_bytes(self, path: str) -> int | None:
        limit = self._read_limit(path)
        if isinstance(limit, Vanished):
            known = self._limits.get(path)  # None also when it was read before the runtime had set it
            return self._limit_by_spec(path) if known is None else known
        if limit is None and classify(path).kind is CgroupKind.CONTAINER:
            limit = self.limit_bytes(f"{path}/{RUNTIME_CHILD}")  # crun under systemd sets it on its child
        self._limits[path] = limit
        self._limits.move_to_end(path)
        if len(self._limits) > MOST_LIMITS:
            self._limits.popitem(last=False)
        return limit

    def _limit_by_spec(self, path: str) -> int | None:
        """What the API says of a container that went before its cgroup's limit was read; None: unlimited or not known."""
        place = classify(path)
        pod, named = self._registry.pod_of(place), self._registry.identity(place)
        if pod is None or place.kind is not CgroupKind.CONTAINER:
            return None
        names = [c for c in pod.containers if named is None or c.name == named.container]
        limits = {c.limit_bytes for c in names}
        return limits.pop() if len(limits) == 1 else None

    def _read_limit(self, path: str) -> int | None | Vanished:  # noqa: RUF036
        cgroup = self._cgroups().get(path)
        if cgroup is None:
            return VANISHED
        try:
            return self._files.limit_bytes(cgroup)
        except CgroupError as error:
            self._on_error(error)
            return VANISHED

    def limited_above(self, path: str) -> bool:
        """A node that is itself a container (kind), or a kubelet below a service's limit. The hierarchy's own root has no limit."""
        for level in (*levels_above(path), ""):
            try:
                inode = self._files.inode(level)
                above = inode if isinstance(inode, Vanished) else Cgroup(classify(level), inode)
                limit = above if isinstance(above, Vanished) else self._files.limit_bytes(above)
            except CgroupError as error:
                self._on_error(error)
                return True
            if isinstance(limit, int):
                return True
        return False

    def learn_init(self, cgroup: Cgroup) -> None:
        """Remember the container's PID 1 while it is surely there."""
        if cgroup.inode in self._inits:
            return
        try:
            pids = self._files.pids(cgroup)
        except CgroupError as error:
            self._on_error(error)
            return
        found = None if isinstance(pids, Vanished) else init_process(pids)
        if found is not None:
            self._inits[cgroup.inode] = found

    def forget(self, cgroup: Cgroup) -> None:
        """The cgroup is gone."""
        self._inits.pop(cgroup.inode, None)

    def init_pid(self, cgroup: Cgroup) -> int | None:
        known = self._inits.get(cgroup.inode)
        return None if known is None else known.pid

    def populated(self, cgroup: Cgroup) -> bool:
        try:
            populated = self._files.populated(cgroup)
        except CgroupError as error:
            self._on_error(error)
            return False
        return not isinstance(populated, Vanished) and populated

    def lives(self, cgroup: Cgroup) -> bool:
        if not self.populated(cgroup):
            return False
        init = self._inits.get(cgroup.inode)
        return init is None or is_alive(init)

    def container_path(self, path: str) -> str | None:
        if classify(path).container_id is None:
            return None
        return next((at for at in (path, *levels_above(path)) if classify(at).kind is CgroupKind.CONTAINER), None)

    def localize(self, kernel_path: str) -> str | None:
        place = place_of_kernel_path(kernel_path, self._cgroups())
        return None if place is None else place.path

    def unix_s(self) -> float:
        return time.time()

    def report_unix_s(self, at_us: int) -> float:
        """kmsg stamps with the kernel's local clock, which runs with CLOCK_MONOTONIC; good to some milliseconds."""
        return time.time() - max(0.0, time.monotonic() - at_us / 1e6)


def _only_container(pod: Pod, place: CgroupPlace) -> str | None:
    """Whose everything in the pod is, where it has one container only; not of a cgroup with an id, which may be the sandbox."""
    alone = place.kind is CgroupKind.POD and len(pod.containers) == 1
    return pod.containers[0].name if alone else None
