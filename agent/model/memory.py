"""What uses the memory of a cgroup, and which of its processes are large."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """The memory of a cgroup and those below it by kind, in bytes; a kind is None where the kernel doesn't name it.

    Kinds as in memory.stat (cgroup-v2.rst): ``anon``; ``file``: page cache without ``shmem``; ``dirty``: the part of ``file`` that is
    not written back yet, pages under writeback included; ``shmem``: shared memory and tmpfs, such as an emptyDir in memory; ``kernel``:
    slab, stacks, page tables, per-CPU; ``slab_reclaimable``: the part of ``kernel`` that can be freed, as dentries and inodes; ``sock``:
    buffers of sockets; ``swap``: swapped out, not part of the memory. ``by_report``: from the kernel's OOM report, else read right after.
    """

    anon: int | None = None
    file: int | None = None
    dirty: int | None = None
    shmem: int | None = None
    kernel: int | None = None
    slab_reclaimable: int | None = None
    sock: int | None = None
    swap: int | None = None
    by_report: bool = True


# What the kernel counts as ``kernel`` since 5.18 (MEMCG_KMEM), as far as older ones name it; names of memory.stat.
KERNEL_PARTS = ("kernel_stack", "pagetables", "sec_pagetables", "percpu", "vmalloc", "slab")


def less_part(whole: int | None, part: int | None) -> int | None:
    """``whole`` without ``part``, at least 0: the kernel counts one after the other, so a part may be larger than its whole."""
    return None if whole is None else max(0, whole - (part or 0))


def sum_known(*parts: int | None) -> int | None:
    """None: no part is known."""
    known = [part for part in parts if part is not None]
    return sum(known) if known else None


class Filled(StrEnum):
    """The kind of memory that held the largest share of a limit when it was hit."""

    PROCESSES = "processes"
    PAGE_CACHE = "page cache"
    SHARED = "shared memory and tmpfs"
    KERNEL = "kernel"
    SOCKETS = "sockets"
    SWAP = "swap"  # more was swapped out than any kind held in memory
    NOT_PROCESSES = "not processes"  # any of the others: only the processes' sizes are known


@dataclass(frozen=True, slots=True)
class ContainerUse:
    """The memory of one container of a pod at a kill; ``name`` None: the sandbox, or not known."""

    name: str | None
    usage_bytes: int


@dataclass(frozen=True, slots=True)
class SeenProcess:
    """A process as it was shortly before a kill, when its container reached its limit.

    ``command``: its arguments joined with spaces, secrets replaced; "": not known, or not to be known. ``parents``: names of its parents
    in the container, the nearest first; ``parent_commands``: theirs, as many, or none. Nothing of this is safe to print.
    """

    pid: int
    comm: str
    command: str = ""
    parents: tuple[str, ...] = ()
    parent_commands: tuple[str, ...] = ()
    rss_bytes: int | None = None
