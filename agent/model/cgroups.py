"""Cgroups: what a path is, what a live one counts, what came of a write to one, and what the tree tells the loop."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class CgroupKind(StrEnum):
    KUBEPODS = "kubepods"
    QOS = "qos"
    POD = "pod"
    CONTAINER = "container"
    NESTED = "nested"  # below a container: a runtime's child (crun's ``container``) or the workload's own
    OTHER = "other"  # conmon scopes, mounts, anything that is no pod or container


@dataclass(frozen=True, slots=True)
class CgroupPlace:
    """What a path below the memory hierarchy is. ``pod_key`` is a uid with dashes (lower case) or a static pod's config hash."""

    path: str  # relative to the memory hierarchy's mount, no slash in front or behind
    kind: CgroupKind
    pod_key: str | None = None
    container_id: str | None = None
    runtime: str | None = None  # containerd | cri-o | docker | podman | nerdctl as far as the name tells


@dataclass(frozen=True, slots=True)
class Cgroup:
    """One live cgroup directory. (path, inode) is its identity: paths are used again, inodes within a boot are not."""

    place: CgroupPlace
    inode: int

    @property
    def path(self) -> str:
        return self.place.path


def is_inside(path: str, top: str) -> bool:
    """Whether the cgroup at ``path`` is the one at ``top`` or lies below it; all lie below the hierarchy's root, the empty path."""
    return not top or path == top or path.startswith(top + "/")


def levels_above(path: str) -> Iterator[str]:
    """Paths of the cgroups above this one, the nearest first, but for the hierarchy's root."""
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


NODE = Cgroup(
    CgroupPlace(path="", kind=CgroupKind.OTHER), inode=0
)  # stands for the whole node, whose counter is in /proc/vmstat


@dataclass(frozen=True, slots=True)
class MemoryEvents:
    """Counters of one cgroup's OOM kills since its making.

    ``oom_kill`` counts processes and everything below (v2: memory.events). It
    counts the first victim of a group kill twice. ``oom_group_kill`` is None before kernel 5.17 and on v1. ``oom`` counts
    hits of this cgroup's limit and of those below; ``local_oom`` only this cgroup's own (memory.events.local), None
    where the kernel doesn't tell.
    """

    oom_kill: int
    oom: int = 0
    oom_group_kill: int | None = None
    local_oom: int | None = None


class Vanished:
    """The cgroup is gone. A value, not an error: normal flow."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "VANISHED"


VANISHED = Vanished()


class WriteOutcome(StrEnum):
    WRITTEN = "written"
    ALREADY = "already"
    DRY_RUN = "dry_run"
    GONE = "gone"
    DENIED = "denied"
    UNSUPPORTED = "unsupported"
    CONFLICT = "conflict"  # read back and it was not what we wrote


@dataclass(frozen=True, slots=True)
class KnobWrite:
    """What came of one attempt to hold memory.oom.group. ``before`` is the value found, None when it could not be read."""

    outcome: WriteOutcome
    before: int | None
    wanted: int
    detail: str = ""


class KillOutcome(StrEnum):
    """What came of one attempt to kill all processes of a container."""

    EMPTY = "empty"  # nobody is left
    GONE = "gone"  # nor is the cgroup
    KILLED = "killed"  # SIGKILL was sent to all that were there: look again whether all went
    DENIED = "denied"


@dataclass(frozen=True, slots=True)
class KillAttempt:
    """``detail`` says why it was denied, and what to do."""

    outcome: KillOutcome
    detail: str = ""


@dataclass(frozen=True, slots=True)
class CgroupAppeared:
    cgroup: Cgroup
    at_monotonic_s: float


@dataclass(frozen=True, slots=True)
class CgroupGone:
    cgroup: Cgroup
    at_monotonic_s: float


@dataclass(frozen=True, slots=True)
class CgroupMissed:
    """A container's cgroup came and went before anyone could look at it."""

    place: CgroupPlace
    at_monotonic_s: float


@dataclass(frozen=True, slots=True)
class KnobTouched:
    """Somebody (we too) wrote memory.oom.group of this cgroup."""

    cgroup: Cgroup
    at_monotonic_s: float


@dataclass(frozen=True, slots=True)
class CountersTouched:
    """memory.events of this cgroup (or v1: its eventfd) told of a change: read it and take the difference."""

    cgroup: Cgroup
    at_monotonic_s: float


@dataclass(frozen=True, slots=True)
class TreeOverflowed:
    """Notifications were lost (queue overflow) or could not be asked for (watch limit): ``why`` says which."""

    why: str
    at_monotonic_s: float


TreeEvent = CgroupAppeared | CgroupGone | CgroupMissed | KnobTouched | CountersTouched | TreeOverflowed
