"""memory.stat becomes a MemoryUse. Pure: keys and their values in, bytes by kind out; unknown keys are ignored.

Sources: cgroup-v2.rst, memory.stat; cgroup-v1/memory.rst, 5.2 stat file; mm/memcontrol.c.
"""

from __future__ import annotations

from collections.abc import Mapping

from agent.model import MemoryUse

KERNEL_PARTS = ("kernel_stack", "pagetables", "sec_pagetables", "percpu", "vmalloc", "slab")  # before 5.18


def use_of_v2(stat: Mapping[str, int], swap_bytes: int | None) -> MemoryUse:
    """``swap_bytes`` is memory.swap.current; None: the kernel has none. ``kernel`` is there since 5.18, and does not include ``sock``."""
    parts = [stat[name] for name in KERNEL_PARTS if name in stat]
    return MemoryUse(
        anon=stat.get("anon"),
        file=_without(stat.get("file"), stat.get("shmem")),
        dirty=_sum(stat.get("file_dirty"), stat.get("file_writeback")),
        shmem=stat.get("shmem"),
        kernel=stat.get("kernel", sum(parts) if parts else None),
        slab_reclaimable=stat.get("slab_reclaimable"),
        sock=stat.get("sock"),
        swap=swap_bytes,
        by_report=False,
    )


def use_of_v1(stat: Mapping[str, int], kernel_bytes: int | None) -> MemoryUse:
    """``kernel_bytes`` is memory.kmem.usage_in_bytes. Keys ``total_…`` include the cgroups below. v1 does not count ``sock`` as memory."""
    found = {name: stat.get(f"total_{name}", stat.get(name)) for name in ("cache", "rss", "shmem", "swap")}
    dirty, writeback = (stat.get(f"total_{name}", stat.get(name)) for name in ("dirty", "writeback"))
    return MemoryUse(
        anon=found["rss"],
        file=_without(found["cache"], found["shmem"]),
        dirty=_sum(dirty, writeback),
        shmem=found["shmem"],
        kernel=kernel_bytes,
        swap=found["swap"],
        by_report=False,
    )


def _without(whole: int | None, part: int | None) -> int | None:
    """The kernel counts page cache with shared memory, and the two at slightly different times."""
    return None if whole is None else max(0, whole - (part or 0))


def _sum(*parts: int | None) -> int | None:
    known = [part for part in parts if part is not None]
    return sum(known) if known else None
