"""The Facts of kills/facts.py, from the registry, the tree and the cgroups' files."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from agent.cgroup.files import CgroupError, CgroupFiles
from agent.cgroup.layout import RUNTIME_CHILD, classify, place_of_kernel_path
from agent.kernel.processes import ProcessIdentity, init_process, is_alive, node_oom_kills
from agent.model import (
    NODE,
    VANISHED,
    Cgroup,
    CgroupKind,
    CgroupPlace,
    ContainerKind,
    ContainerUse,
    Identity,
    MemoryEvents,
    MemoryUse,
    Mode,
    Pod,
    SeenProcess,
    Vanished,
    Victim,
    levels_above,
)
from agent.pods.recent import Recent
from agent.pods.registry import Registry
from agent.wording.shares import Owner, Shares

T = TypeVar("T")
MOST_LIMITS = 5000
MOST_ENDED = 1000
USE_AGAIN_S = 1.0  # the kernel adds up all CPUs' statistics for it: in a storm a reading is used again for that long
MOST_USES = 1000
MANY = 16  # processes: more than a runtime has in a container's cgroup before its PID 1
MOST_SIBLINGS = 10  # of whose memory one pod's kill reads: two or three system calls each
LASTING = (ContainerKind.REGULAR, ContainerKind.SIDECAR)


class Live(Protocol):
    """The live cgroups, by path, and one pod's containers among them, sandboxes included (cgroup.tree.Tree)."""

    @property
    def cgroups(self) -> Mapping[str, Cgroup]: ...
    def containers(self, pod_key: str | None) -> Sequence[Cgroup]: ...


class Lookup:
    """``oom_group`` has the last values of memory.oom.group, by path. ``seen`` is pressure's SeenProcesses.of_kill."""

    def __init__(
        self,
        files: CgroupFiles,
        registry: Registry,
        live: Live,
        oom_group: Mapping[str, int],
        on_error: Callable[[CgroupError], None],
        seen: Callable[[str, Sequence[Victim], float | None], tuple[SeenProcess, ...]] = lambda *_: (),
    ) -> None:
        self._files = files
        self._registry = registry
        self._live = live
        self._oom_group = oom_group
        self._on_error = on_error
        self.seen = seen
        self._is_whole = files.is_whole
        self._inits: dict[int, ProcessIdentity | None] = {}  # by inode; None: it has none
        self._ended: dict[
            int, tuple[str, bool]
        ] = {}  # by inode: its path, and whether it lived when the agent ended it
        self._limits: dict[str, int | None] = {}  # as read last, also of removed cgroups
        self._uses = Recent[MemoryUse | None](USE_AGAIN_S, MOST_USES)
        self._containers_uses = Recent[tuple[ContainerUse, ...]](USE_AGAIN_S, MOST_USES)
        self._removed: dict[str, int] = {}  # inodes of containers' cgroups, by path
        self._removed_shares = Shares[str, int]("removed containers are remembered", lambda path, _: self._owner(path))
        self._ended_shares = Shares[int, tuple[str, bool]](
            "containers were ended by the agent", lambda _, one: self._owner(one[0])
        )
        self._limit_shares = Shares[str, int | None](
            "cgroups' limits are remembered", lambda path, _: self._owner(path)
        )

    def names_at(self, path: str) -> Identity:
        if not self._is_ours(path):
            return Identity()
        place = classify(path)
        pod, named = self._registry.pod_of(place), self._registry.identity(place)
        if named is not None or pod is None:
            return named or Identity(container_id=place.container_id)
        if place.container_id is not None:
            sandbox = self._is_sandbox(place, pod)
            name = None if sandbox else self._name_of_new_instance(place, pod)
            return Identity(pod.namespace, pod.name, pod.uid, name, place.container_id, sandbox)
        alone = place.kind is CgroupKind.POD and len(pod.containers) == 1
        container = pod.containers[0].name if alone else None
        return Identity(pod.namespace, pod.name, pod.uid, container)

    def _is_sandbox(self, place: CgroupPlace, pod: Pod) -> bool:
        """By the runtime; else it is what was there first in its pod, without a name though the others have theirs. Inodes rise (kernfs).

        CRI-O makes none as a rule (drop_infra_ctr): there the first may be a container.
        """
        if self._registry.runtime.is_sandbox(place):
            return True
        live = self._live.containers(place.pod_key)
        first = min(live, key=lambda cgroup: cgroup.inode, default=None)
        if first is None or first.place.container_id != place.container_id:
            return False
        named = {c.container_id for c in pod.containers}
        return all(c.place.container_id in named for c in live if c is not first) and (
            len(live) > 1 or place.runtime != "cri-o"
        )

    def _name_of_new_instance(self, place: CgroupPlace, pod: Pod) -> str | None:
        """Of a container that the API has not named yet, as during an outage: the only one of its pod that can have restarted.

        Init containers have ended when others have started. A sandbox was there before all that are not there any more.
        """
        live = self._live.containers(place.pod_key)
        own = self._live.cgroups.get(place.path)
        inode = self._removed.get(place.path) if own is None else own.inode
        if inode is None or all(c.inode >= inode for c in live):
            return None
        there = {c.place.container_id for c in live}
        lasting = [c for c in pod.containers if c.kind in LASTING]
        absent = [c.name for c in lasting if c.container_id not in there]
        started = all(c.container_id is not None or c.previous_id is not None for c in pod.containers)
        return absent[0] if started and len(absent) == 1 else None

    def _is_ours(self, path: str) -> bool:
        """Whether the kubelet's roots or cgroups that we know have it: anyone may make one of a pod's name elsewhere."""
        cgroups = self._live.cgroups
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
        cgroup = self._live.cgroups.get(path)
        limit = VANISHED if cgroup is None else self._read(self._files.limit_bytes, cgroup)
        if isinstance(limit, Vanished):
            known = self._limits.get(path)  # None also if it was read before the runtime had set it
            return self._limit_by_spec(path) if known is None else known
        if limit is None and classify(path).kind is CgroupKind.CONTAINER:
            limit = self.limit_bytes(f"{path}/{RUNTIME_CHILD}")  # crun under systemd sets it on its child
        self._limits.pop(path, None)
        self._limits[path] = limit
        self._limit_shares.trim(self._limits, MOST_LIMITS)
        return limit

    def memory_use(self, path: str) -> MemoryUse | None:
        return self._uses.get(path, self._read_use)

    def _read_use(self, path: str) -> MemoryUse | None:
        cgroup = self._live.cgroups.get(path)
        use = VANISHED if cgroup is None else self._read(self._files.memory_use, cgroup)
        return None if isinstance(use, Vanished) else use

    def containers_use(self, path: str) -> tuple[ContainerUse, ...]:
        return self._containers_uses.get(path, self._read_containers_use)

    def _read_containers_use(self, path: str) -> tuple[ContainerUse, ...]:
        key = classify(path).pod_key
        live = self._live.containers(key) if key is not None else ()
        if len(live) > MOST_SIBLINGS:
            return ()
        found = []
        for one in live:
            usage = self._read(self._files.usage_bytes, one)
            if isinstance(usage, int):
                found.append(ContainerUse(self.names_at(one.path).container, usage))
        return tuple(found)

    def _owner(self, path: str) -> Owner:
        """The pod that this is the cgroup of; of one that the API does not name the path."""
        pod = self._registry.pod_of(place := classify(path))
        return (pod.namespace, pod.uid) if pod is not None else ("", place.pod_key or path.partition("/")[0])

    def alone(self, path: str) -> bool:
        """Whether no other container of its pod has a cgroup. A sandbox, which has neither a name nor a limit, is none, nor is another
        start of the same container.
        """
        name = self.names_at(path).container
        others = [c for c in self._live.containers(classify(path).pod_key) if c.path != path]
        if name is not None:
            others = [c for c in others if self.names_at(c.path).container != name]
        return not any(self._registry.identity(c.place) or self.limit_bytes(c.path) is not None for c in others)

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
        """Remember the container's PID 1 while it is there, or that it has none: of MANY processes each search takes its time."""
        if cgroup.inode not in self._inits:
            pids = self._read(self._files.pids, cgroup)
            if isinstance(pids, Vanished):
                return
            found = init_process(pids)
            if found is not None or len(pids) > MANY:
                self._inits[cgroup.inode] = found

    def forget(self, cgroup: Cgroup) -> None:
        """The cgroup was removed."""
        if cgroup.place.kind is CgroupKind.CONTAINER:
            self._removed[cgroup.path] = cgroup.inode
            self._removed_shares.trim(self._removed, MOST_ENDED)
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
        self._ended.setdefault(container.inode, (container.path, self.lives(container)))
        self._ended_shares.trim(self._ended, MOST_ENDED)

    def ended_by_agent(self, inode: int) -> bool | None:
        return self._ended[inode][1] if inode in self._ended else None

    def deleted(self, path: str) -> bool:
        pod = self._registry.pod_of(classify(path))
        return pod is not None and (pod.status.deletion_unix_s is not None or self._registry.has_departed(pod.uid))

    def container_path(self, path: str) -> str | None:
        if classify(path).container_id is None:
            return None
        return next((at for at in (path, *levels_above(path)) if classify(at).kind is CgroupKind.CONTAINER), None)

    def localize(self, kernel_path: str) -> str | None:
        place = place_of_kernel_path(kernel_path, self._live.cgroups, whole=self._is_whole)
        return None if place is None else place.path

    def unix_s(self) -> float:
        return time.time()

    def monotonic_s(self) -> float:
        return time.monotonic()

    def report_unix_s(self, at_us: int) -> float:
        """The log's clock is that of CLOCK_MONOTONIC, to some milliseconds."""
        return time.time() - max(0.0, time.monotonic() - at_us / 1e6)
