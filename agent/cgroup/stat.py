"""memory.stat becomes a MemoryUse. Pure: keys and their values in, bytes by kind out; unknown keys are ignored.

Sources: cgroup-v2.rst, memory.stat; cgroup-v1/memory.rst, 5.2 stat file; mm/memcontrol.c.
"""

from __future__ import annotations

from collections.abc import Mapping

from agent.model import KERNEL_PARTS, MemoryUse, less_part, sum_known


def use_of_v2(stat: Mapping[str, int], swap_bytes: int | None) -> MemoryUse:
    """``swap_bytes`` is memory.swap.current; None: the kernel has none. ``kernel`` is there since 5.18, and does not include ``sock``."""
    return MemoryUse(
        anon=stat.get("anon"),
        file=less_part(stat.get("file"), stat.get("shmem")),
        dirty=sum_known(stat.get("file_dirty"), stat.get("file_writeback")),
        shmem=stat.get("shmem"),
        kernel=stat["kernel"] if "kernel" in stat else sum_known(*(stat.get(name) for name in KERNEL_PARTS)),
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
        file=less_part(found["cache"], found["shmem"]),
        dirty=sum_known(dirty, writeback),
        shmem=found["shmem"],
        kernel=kernel_bytes,
        swap=found["swap"],
        by_report=False,
    )
