"""memory.stat → MemoryUse, for cgroup v2 and v1. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from agent.model import MemoryUse

KERNEL_PARTS = ("slab", "kernel_stack", "pagetables", "sec_pagetables", "percpu")  # before `kernel` (5.18)


def memory_use_v2(stat: Mapping[str, int], swap: int | None = None) -> MemoryUse:
    """cgroup-v2.rst, memory.stat: ``file`` there includes shmem. ``swap``: memory.swap.current."""
    parts = [stat[part] for part in KERNEL_PARTS if part in stat]
    return MemoryUse(
        anon=stat.get("anon"),
        file=_without(stat.get("file"), stat.get("shmem")),
        dirty=_sum(stat.get("file_dirty"), stat.get("file_writeback")),
        shmem=stat.get("shmem"),
        kernel=stat.get("kernel", sum(parts) if parts else None),
        slab_reclaimable=stat.get("slab_reclaimable"),
        sock=stat.get("sock"),
        swap=swap,
        by_report=False,
    )


def memory_use_v1(stat: Mapping[str, int], kernel: int | None = None) -> MemoryUse:
    """cgroup-v1/memory.rst, 5.2: ``total_`` is with the cgroups below; ``cache`` includes shmem. ``kernel``: memory.kmem.usage_in_bytes."""
    return MemoryUse(
        anon=stat.get("total_rss"),
        file=_without(stat.get("total_cache"), stat.get("total_shmem")),
        dirty=_sum(stat.get("total_dirty"), stat.get("total_writeback")),
        shmem=stat.get("total_shmem"),
        kernel=kernel,
        swap=stat.get("total_swap"),
        by_report=False,
    )


def _without(whole: int | None, part: int | None) -> int | None:
    return None if whole is None else max(0, whole - (part or 0))


def _sum(*parts: int | None) -> int | None:
    known = [part for part in parts if part is not None]
    return sum(known) if known else None
