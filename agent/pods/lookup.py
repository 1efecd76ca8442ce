"""The Facts of kills/facts.py, from the registry, the tree and the cgroups' files."""

from __future__ import annotations

import errno
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TypeVar

from agent.cgroup.files import CgroupError, CgroupFiles
from agent.cgroup.layout import RUNTIME_CHILD, classify, place_of_kernel_path
from agent.kernel.processes import ProcessIdentity, init_process, is_alive, node_oom_kills
from agent.model import (
    NODE,
    VANISHED,
    Cgroup,
    CgroupKind,
    Identity,
    MemoryEvents,
    Mode,
    Vanished,
    levels_above,
)
from agent.pods.registry import Registry

T = TypeVar("T")
MOST_LIMITS = 5000
MOST_ENDED = 1000


class Lookup:
    """``oom_group`` has the last values of memory.oom.group, ``cgroups`` the live ones, both by path."""

    def __init__(
        self,
        files: CgroupFiles,
        registry: Registry,
        cgroups: Callable[[], Mapping[str, Cgroup]],
        oom_group: Mapping[str, int],
        on_error: Callable[[CgroupError], None],
    ) -> None:
        self._files = files
        self._registry = registry
        self._cgroups = cgroups
        self._oom_group = oom_group
        self._on_error = on_error
        self._is_whole = files.is_whole
        self._inits: dict[int, ProcessIdentity] = {}
        self._ended: OrderedDict[int, bool] = OrderedDict()  # by inode: whether it lived when the agent ended it
        self._limits: OrderedDict[str, int | None] = OrderedDict()  # as read last, also of removed cgroups

    def names_at(self, path: str) -> Identity:
        if not self._is_ours(path):
            return Identity()
        place = classify(path)
        pod, named = self._registry.pod_of(place), self._registry.identity(place)
        if named is not None or pod is None:
            return named or Identity(container_id=place.container_id)
        alone = place.kind is CgroupKind.POD and len(pod.containers) == 1  # a cgroup with an id may be the sandbox
        container = pod.containers[0].name if alone else None
        return Identity(pod.namespace, pod.name, pod.uid, container, place.container_id)

    def _is_ours(self, path: str) -> bool:
        """Whether the kubelet's roots or cgroups that we know have it: anyone may make one of a pod's name elsewhere."""
        cgroups = self._cgroups()
        return path in self._limits or any(at in cgroups for at in (path, *levels_above(path)))

    def mode(self, cgroup: Cgroup) -> Mode | None:
        inner = self._oom_group.get(f"{cgroup.path}/{RUNTIME_CHILD}")
        value = self._oom_group.get(cgroup.path) if inner is None else max(inner, self._oom_group.get(cgroup.path, 0))
        return None if value is None else (Mode.GROUP if value else Mode.SINGLE)

    def counters(self, cgroup: Cgroup, *, newborn: bool = False) -> MemoryEvents | Vanished:
        """``newborn``: of a cgroup that has just been made, a missing file is no error: its controllers may be switched on after that."""
        if cgroup == NODE:
            total = node_oom_kills()
            return VANISHED if total is None else MemoryEvents(oom_kill=total)
        return self._read(self._files.memory_events, cgroup, ignored=errno.ENOENT if newborn else None)

    def limit_bytes(self, path: str) -> int | None:
        cgroup = self._cgroups().get(path)
        limit = VANISHED if cgroup is None else self._read(self._files.limit_bytes, cgroup)
        if isinstance(limit, Vanished):
            known = self._limits.get(path)  # None also if it was read before the runtime had set it
            return self._limit_by_spec(path) if known is None else known
        if limit is None and classify(path).kind is CgroupKind.CONTAINER:
            limit = self.limit_bytes(f"{path}/{RUNTIME_CHILD}")  # crun under systemd sets it on its child
        self._limits[path] = limit
        self._limits.move_to_end(path)
        if len(self._limits) > MOST_LIMITS:
            self._limits.popitem(last=False)
        return limit

    def alone(self, path: str) -> bool:
        """Whether no other container of its pod has a cgroup. A sandbox, which has neither a name nor a limit, is none."""
        pod = path.rpartition("/")[0]
        others = [c for at, c in self._cgroups().items() if at != path and at.rpartition("/")[0] == pod]
        containers = (other for other in others if other.place.kind is CgroupKind.CONTAINER)
        return not any(self._registry.identity(c.place) or self.limit_bytes(c.path) is not None for c in containers)

    def _limit_by_spec(self, path: str) -> int | None:
        """Of a container that was removed before its limit was read, by the API; None: unlimited or not known."""
        place = classify(path)
        pod, named = self._registry.pod_of(place), self._registry.identity(place)
        if pod is None or place.kind is not CgroupKind.CONTAINER:
            return None
        limits = {c.limit_bytes for c in pod.containers if named is None or c.name == named.container}
        return limits.pop() if len(limits) == 1 else None

    def _read(self, read: Callable[[Cgroup], T], cgroup: Cgroup, *, ignored: int | None = None) -> T | Vanished:
        try:
            return read(cgroup)
        except CgroupError as error:
            if error.errno != ignored:
                self._on_error(error)
            return VANISHED

    def limited_above(self, path: str) -> bool:
        """On a node that is a container (kind), or below a service's limit. The hierarchy's root has no limit."""
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
        """Remember the container's PID 1 while it is there."""
        if cgroup.inode not in self._inits:
            pids = self._read(self._files.pids, cgroup)
            if not isinstance(pids, Vanished) and (found := init_process(pids)) is not None:
                self._inits[cgroup.inode] = found

    def forget(self, cgroup: Cgroup) -> None:
        """The cgroup was removed."""
        self._inits.pop(cgroup.inode, None)

    def init_pid(self, cgroup: Cgroup) -> int | None:
        known = self._inits.get(cgroup.inode)
        return None if known is None else known.pid

    def populated(self, cgroup: Cgroup) -> bool:
        return self._read(self._files.populated, cgroup) is True

    def lives(self, cgroup: Cgroup) -> bool:
        if not self.populated(cgroup):
            return False
        init = self._inits.get(cgroup.inode)
        return init is None or is_alive(init)

    def ending(self, container: Cgroup) -> None:
        """The agent is about to end this container, since its tolerance was exceeded."""
        self._ended.setdefault(container.inode, self.lives(container))
        if len(self._ended) > MOST_ENDED:
            self._ended.popitem(last=False)

    def ended_by_agent(self, inode: int) -> bool | None:
        return self._ended.get(inode)

    def deleted(self, path: str) -> bool:
        pod = self._registry.pod_of(classify(path))
        return pod is not None and (pod.status.deletion_unix_s is not None or self._registry.has_departed(pod.uid))

    def container_path(self, path: str) -> str | None:
        if classify(path).container_id is None:
            return None
        return next((at for at in (path, *levels_above(path)) if classify(at).kind is CgroupKind.CONTAINER), None)

    def localize(self, kernel_path: str) -> str | None:
        place = place_of_kernel_path(kernel_path, self._cgroups(), whole=self._is_whole)
        return None if place is None else place.path

    def unix_s(self) -> float:
        return time.time()

    def report_unix_s(self, at_us: int) -> float:
        """The log's clock is that of CLOCK_MONOTONIC, to some milliseconds."""
        return time.time() - max(0.0, time.monotonic() - at_us / 1e6)
