"""Cgroups: what a path is, what a live one counts, the result of a write to one, and how the tree changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, StrEnum


class CgroupKind(StrEnum):
    KUBEPODS = "kubepods"
    QOS = "qos"
    POD = "pod"
    CONTAINER = "container"
    NESTED = "nested"  # below a container: a runtime's child (crun's ``container``) or the workload's own
    OTHER = "other"  # conmon scopes, mounts, anything else


@dataclass(frozen=True, slots=True)
class CgroupPlace:
    """What a path below the memory hierarchy is. ``pod_key`` is a uid with dashes (lower case) or a static pod's config hash."""

    path: str  # relative to the memory hierarchy's mount, without slashes around it
    kind: CgroupKind
    pod_key: str | None = None
    container_id: str | None = None
    runtime: str | None = None  # containerd | cri-o | docker | podman | nerdctl; None if the name does not show it


@dataclass(frozen=True, slots=True)
class Cgroup:
    """One live cgroup directory. (path, inode) is its identity: paths are reused, inodes within a boot are not."""

    place: CgroupPlace
    inode: int

    @property
    def path(self) -> str:
        return self.place.path


def is_inside(path: str, top: str) -> bool:
    """Whether ``path`` is ``top`` or a cgroup below it. The hierarchy's root is the empty path."""
    return not top or path == top or path.startswith(top + "/")


def parent_of(path: str) -> str:
    """Path of the cgroup right above this one: of a container its pod's. The hierarchy's root is the empty path."""
    return path.rpartition("/")[0]


def levels_above(path: str) -> Iterator[str]:
    """Paths of the cgroups above this one, the nearest first, without the hierarchy's root."""
    while "/" in path:
        path = parent_of(path)
        yield path


# The whole node, with its counter in /proc/vmstat.
NODE = Cgroup(CgroupPlace(path="", kind=CgroupKind.OTHER), inode=0)


@dataclass(frozen=True, slots=True)
class MemoryEvents:
    """Counters of one cgroup's OOM kills since it was created.

    ``oom_kill`` counts processes, also those below (v2: memory.events), and the first victim of a group kill twice. ``oom_group_kill``
    is None before kernel 5.17 and on v1. ``oom`` counts hits of this cgroup's limit and of those below; ``local_oom`` only of its own
    (memory.events.local), None where the kernel has no such file. ``local_max`` counts how often this cgroup's own limit was
    reached, usually many times before a kill; of the cgroups below too where there is no memory.events.local; 0 on v1, which doesn't
    count it.
    """

    oom_kill: int
    oom: int = 0
    oom_group_kill: int | None = None
    local_oom: int | None = None
    local_max: int = 0


class Vanished(Enum):
    """The cgroup was removed. A value, not an error: this is normal."""

    VANISHED = "vanished"


VANISHED = Vanished.VANISHED


class WriteOutcome(StrEnum):
    WRITTEN = "written"
    ALREADY = "already"
    DRY_RUN = "dry_run"
    GONE = "gone"
    DENIED = "denied"
    UNSUPPORTED = "unsupported"
    NO_CONTROLLER = "no_controller"  # of memory here, or not yet: runtimes make a cgroup first and switch it on then
    CONFLICT = "conflict"  # another value was read back


@dataclass(frozen=True, slots=True)
class OomGroupWrite:
    """Result of one write of memory.oom.group. ``before`` is the value found, None when it could not be read."""

    outcome: WriteOutcome
    before: int | None
    wanted: int
    detail: str = ""


class KillOutcome(StrEnum):
    """Result of one attempt to kill all processes of a container."""

    EMPTY = "empty"  # no process is left
    GONE = "gone"  # the cgroup was removed
    KILLED = "killed"  # SIGKILL was sent to all that were there: check again that none is left
    DENIED = "denied"


@dataclass(frozen=True, slots=True)
class KillAttempt:
    """``detail`` says why it was denied, and what to do."""

    outcome: KillOutcome
    detail: str = ""


@dataclass(frozen=True, slots=True)
class _OfOneCgroup:
    cgroup: Cgroup
    at_monotonic_s: float


class CgroupAppeared(_OfOneCgroup):
    """It was created, or found by a scan."""


class CgroupGone(_OfOneCgroup):
    """It was removed."""


class OomGroupTouched(_OfOneCgroup):
    """Its memory.oom.group was written, perhaps by us."""


class CountersTouched(_OfOneCgroup):
    """Its memory.events changed (v1: its eventfd fired): read the counters."""


@dataclass(frozen=True, slots=True)
class CgroupMissed:
    """A container's cgroup was created and removed before it could be read."""

    place: CgroupPlace
    at_monotonic_s: float


@dataclass(frozen=True, slots=True)
class TreeOverflowed:
    """Notifications were lost (queue overflow) or are not available (watch limit): ``why`` says which."""

    why: str
    at_monotonic_s: float


TreeEvent = CgroupAppeared | CgroupGone | CgroupMissed | OomGroupTouched | CountersTouched | TreeOverflowed
