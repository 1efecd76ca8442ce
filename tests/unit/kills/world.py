"""A small world for the attribution: cgroups with counters that behave as the kernel's, and a clock that is set by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from agent.kills import Attribution, Findings
from agent.model import (
    NODE,
    VANISHED,
    Baseline,
    Cgroup,
    CgroupKind,
    CgroupPlace,
    ContainerUse,
    Identity,
    MemoryEvents,
    MemoryUse,
    Mode,
    OomKill,
    OomReport,
    SeenProcess,
    Vanished,
    Victim,
)

ROOT = "kubepods"
POD = f"{ROOT}/burstable/pod11111111-2222-3333-4444-555555555555"
A = f"{POD}/{'a' * 64}"
B = f"{POD}/{'b' * 64}"


def _place(path: str) -> CgroupPlace:
    depth = path.count("/")
    if depth == 0:
        return CgroupPlace(path, CgroupKind.KUBEPODS)
    key = path.split("/")[2].removeprefix("pod")
    if depth == 2:
        return CgroupPlace(path, CgroupKind.POD, key)
    return CgroupPlace(path, CgroupKind.CONTAINER, key, path.split("/")[3])


def pod_of(path: str) -> str:
    """Where its container lives."""
    return path.rpartition("/")[0]


@dataclass
class World:
    """``tallies`` by path, hierarchical; ``fire`` raises them as the kernel does."""

    now: float = 100.0
    tallies: dict[str, MemoryEvents] = field(default_factory=dict)
    cgroups: dict[str, Cgroup] = field(default_factory=dict)
    limits: dict[str, int] = field(default_factory=dict)
    unnamed: set[str] = field(default_factory=set)
    only_containers: dict[str, str] = field(default_factory=dict)  # names, by pod
    dead: set[str] = field(default_factory=set)
    empty: set[str] = field(default_factory=set)  # without a process, after a group kill
    grouped: set[str] = field(default_factory=set)  # memory.oom.group is 1
    inits: dict[str, int] = field(default_factory=dict)
    ended: dict[int, bool] = field(default_factory=dict)  # by the agent; whether they lived then
    deleted_pods: set[str] = field(default_factory=set)
    capped: bool = False  # a level above kubepods has a limit
    node_kills: int = 0
    reads: list[str] = field(default_factory=list)  # paths of counters that were read
    uses: dict[str, MemoryUse] = field(default_factory=dict)
    uses_read: list[str] = field(default_factory=list)
    containers: dict[str, tuple[ContainerUse, ...]] = field(default_factory=dict)  # by pod
    next_inode: int = 1000
    processes: dict[str, tuple[SeenProcess, ...]] = field(default_factory=dict)  # that were read, by path
    seen_of: list[float | None] = field(
        default_factory=list
    )  # when the kills were recorded of which processes were asked for

    def make(self, *paths: str) -> None:
        for path in paths:
            self.next_inode += 1
            self.cgroups[path] = Cgroup(_place(path), self.next_inode)
            self.tallies[path] = MemoryEvents(0, 0, 0, 0)

    def kill(self, path: str, *, raw: int = 1, groups: int = 0, limit_of: str | None = None, hit: bool = True) -> None:
        """``raw`` processes of ``path`` are counted, here and above; the limit hit is that of ``limit_of`` (default: its own)."""
        self.node_kills += raw
        if groups:
            self.empty.add(path)
        for level, events in self.tallies.items():
            if path == level or path.startswith(level + "/"):
                self.tallies[level] = replace(
                    events, oom_kill=events.oom_kill + raw, oom_group_kill=(events.oom_group_kill or 0) + groups
                )
        if hit:
            self.hit(limit_of or path)

    def hit(self, domain: str) -> None:
        """A limit is hit: counted there and above."""
        for level, events in self.tallies.items():
            if domain == level or domain.startswith(level + "/"):
                own = level == domain
                self.tallies[level] = replace(
                    self.tallies[level], oom=events.oom + 1, local_oom=(events.local_oom or 0) + own
                )

    def remove(self, path: str) -> Cgroup:
        self.dead.add(path)
        del self.tallies[path]
        return self.cgroups.pop(path)

    # Facts

    def names_at(self, path: str) -> Identity:
        place = _place(path) if path.startswith(ROOT + "/burstable/pod") else CgroupPlace(path, CgroupKind.OTHER)
        if place.pod_key is None or (path in self.unnamed and place.container_id is None):
            return Identity()
        if place.container_id is None and path in self.only_containers:
            return Identity("default", "herder-1", place.pod_key, self.only_containers[path])
        container = None if place.container_id is None or path in self.unnamed else f"name-{place.container_id[0]}"
        return Identity("default", "herder-1", place.pod_key, container, place.container_id)

    def mode(self, cgroup: Cgroup) -> Mode | None:
        """Forgotten with the cgroup, as the agent's knobs are (modes/controller.py)."""
        if cgroup.path in self.dead:
            return None
        return Mode.GROUP if cgroup.path in self.grouped else Mode.SINGLE

    def counters(self, cgroup: Cgroup) -> MemoryEvents | Vanished:
        self.reads.append(cgroup.path)
        if cgroup == NODE:
            return MemoryEvents(self.node_kills)
        return self.tallies.get(cgroup.path, VANISHED)

    def limit_bytes(self, path: str) -> int | None:
        return self.limits.get(path)

    def memory_use(self, path: str) -> MemoryUse | None:
        self.uses_read.append(path)
        return self.uses.get(path)

    def containers_use(self, path: str) -> tuple[ContainerUse, ...]:
        return self.containers.get(path, ())

    def alone(self, path: str) -> bool:
        return not any(at != path and pod_of(at) == pod_of(path) for at in self.cgroups if at.count("/") == 3)

    def limited_above(self, path: str) -> bool:
        return self.capped

    def seen(self, path: str, victims: Sequence[Victim], recorded_s: float | None) -> tuple[SeenProcess, ...]:
        self.seen_of.append(recorded_s)
        killed = {victim.pid for victim in victims}
        return tuple(sorted(self.processes.get(path, ()), key=lambda one: one.pid not in killed))

    def init_pid(self, cgroup: Cgroup) -> int | None:
        return self.inits.get(cgroup.path)

    def lives(self, cgroup: Cgroup) -> bool:
        return self.populated(cgroup)

    def ended_by_agent(self, inode: int) -> bool | None:
        return self.ended.get(inode)

    def deleted(self, path: str) -> bool:
        return path.rpartition("/")[0] in self.deleted_pods

    def populated(self, cgroup: Cgroup) -> bool:
        return cgroup.path not in self.dead | self.empty

    def container_path(self, path: str) -> str | None:
        parts = path.split("/")
        return "/".join(parts[:4]) if len(parts) >= 4 and path.startswith(ROOT) else None

    def localize(self, kernel_path: str) -> str | None:
        return kernel_path.strip("/")

    def unix_s(self) -> float:
        return 1_700_000_000.0 + self.now

    def monotonic_s(self) -> float:
        return self.now

    def report_unix_s(self, at_us: int) -> float:
        return 1_700_000_000.0 + at_us / 1e6


@dataclass
class Agent:
    """An attribution in that world; ``kept`` is what its ledger would hold."""

    world: World
    kept: dict[int, Baseline] = field(default_factory=dict)
    seen_this_boot: bool = False
    kmsg: bool = True
    recorded: tuple[OomKill, ...] = ()  # the ledger's, newest first

    def __post_init__(self) -> None:
        self.attribution = Attribution(
            "boot", "node-1", self.world, self.kept, seen_this_boot=self.seen_this_boot, kmsg=self.kmsg
        )
        if self.seen_this_boot:
            self.attribution.was_away(self.world.now)
        self.attribution.resume(self.recorded, self.world.now)
        self.attribution.counted_node(self.world.node_kills, self.world.now)
        self.see(*self.world.cgroups, newborn=False)
        self.attribution.ignore_earlier()

    def see(self, *paths: str, newborn: bool = True) -> None:
        for path in sorted(paths):
            self.attribution.appeared(
                self.world.cgroups[path], self.world.tallies[path], self.world.now, newborn=newborn
            )

    def read(self, *paths: str) -> None:
        """Notifications have come: read these (all, when none is named)."""
        for path in paths or tuple(self.world.tallies):
            self.attribution.counted(self.world.cgroups[path], self.world.tallies[path], self.world.now)

    def after(self, seconds: float) -> Findings:
        """Let time pass, and take what is found; baselines go where the ledger would put them."""
        self.world.now += seconds
        findings = self.attribution.collect(self.world.now)
        self.kept.update({b.inode: b for b in findings.baselines})
        return findings


def report(
    path: str | None, *pids: int, sequence: int = 1, domain: str | None = None, group: str | None = None
) -> OomReport:
    """A report as the assembler makes it; ``path`` None: the line that names the cgroup was lost."""
    return OomReport(
        first_sequence=sequence,
        last_sequence=sequence + 9,
        at_us=1000,
        victims=tuple(Victim(pid, "worker", 0, 4096, 2048, 1024, 0) for pid in pids),
        global_oom=False,
        oom_memcg=f"/{domain or path}" if path else None,
        task_memcg=f"/{path}" if path else None,
        group_memcg=f"/{group}" if group else None,
    )
