"""What used the memory below the limit that was hit, by the statistics of an OOM report: kinds and numbers in, MemoryUse out.

mm/memcontrol.c prints them in three forms. Up to 5.1 and in EL 8: one line per cgroup of the domain, the domain's first, each with its
own memory only (``cache:4KB rss:8KB …``). Then the names of v2's memory.stat, on v1 too, hierarchical: all in one record (``anon 4096``,
``\\x0a``, ``file 0`` …), in newer kernels (seen in 6.12) one record per kind. There v1 has the names of its own memory.stat, of which
those with ``total_`` are hierarchical (seen in 6.18).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from agent.model import KERNEL_PARTS, MemoryUse, less_part, sum_known

V2 = (
    *("anon", "file", "shmem", "file_dirty", "file_writeback", "kernel", "sock", "slab_reclaimable"),
    *("slab_unreclaimable", *KERNEL_PARTS),
)
V1 = ("cache", "rss", "shmem", "dirty", "writeback", "swap")
KINDS = frozenset((*V2, *V1, *(f"total_{kind}" for kind in V1)))
KMEM, MEMSW = "kmem", "memory+swap"  # v1: lines of their own, as is ``swap`` on v2
NEXT_LINE = r"\x0a"  # as /dev/kmsg writes it
_IN_KB = re.compile(r"(\w{1,40}):(\d{1,15})KB")
MOST_DIGITS = 18
Numbers = dict[str, int]  # bytes by kind


def kinds_of_line(text: str) -> tuple[tuple[str, int], ...]:
    """``cache:4KB rss:8KB …`` in bytes."""
    return tuple((kind, int(kb) * 1024) for kind, kb in _IN_KB.findall(text) if kind in KINDS)


def add(numbers: Numbers, kinds: Iterable[tuple[str, int]]) -> None:
    """The memory of one more cgroup."""
    for kind, size in kinds:
        numbers[kind] = numbers.get(kind, 0) + size


def take(numbers: Numbers, text: str) -> None:
    """A record between ``Memory cgroup stats for …`` and the task table: one kind, or several lines of them. Others are passed over."""
    kind, _, value = text.partition(" ")
    if value.isdecimal():
        _take_one(numbers, kind, value)
    elif NEXT_LINE in value:
        for line in text.split(NEXT_LINE):
            kind, _, value = line.partition(" ")
            _take_one(numbers, kind, value)
    elif not kind:  # the rest of a line in pieces
        add(numbers, kinds_of_line(value))


def _take_one(numbers: Numbers, kind: str, value: str) -> None:
    if kind in KINDS and value.isdecimal() and len(value) <= MOST_DIGITS:
        numbers.setdefault(kind, int(value))


def use_of(numbers: Mapping[str, int], usage_bytes: int | None) -> MemoryUse | None:
    """The domain's memory; None: the report has no statistics. ``usage_bytes``: of the domain, without swap.

    v1 before 4.x does not name ``shmem``: there it is part of ``file``.
    """
    if "anon" in numbers:
        return _use_v2(numbers, usage_bytes)
    prefix = "total_" if "total_rss" in numbers else ""
    found = {kind: numbers.get(prefix + kind) for kind in V1}
    if found["rss"] is None:
        return None
    return MemoryUse(
        anon=found["rss"],
        file=less_part(found["cache"], found["shmem"]),
        dirty=sum_known(found["dirty"], found["writeback"]),
        shmem=found["shmem"],
        kernel=numbers.get(KMEM),
        swap=_swap(numbers, usage_bytes) if found["swap"] is None else found["swap"],
    )


def _use_v2(numbers: Mapping[str, int], usage_bytes: int | None) -> MemoryUse:
    shmem = numbers.get("shmem")
    kernel = numbers.get("kernel", numbers.get(KMEM))
    return MemoryUse(
        anon=numbers["anon"],
        file=less_part(numbers.get("file"), shmem),
        dirty=sum_known(numbers.get("file_dirty"), numbers.get("file_writeback")),
        shmem=shmem,
        kernel=_kernel_parts(numbers) if kernel is None else kernel,
        slab_reclaimable=numbers.get("slab_reclaimable"),
        sock=numbers.get("sock"),
        swap=_swap(numbers, usage_bytes),
    )


def _kernel_parts(numbers: Mapping[str, int]) -> int | None:
    slab = sum_known(numbers.get("slab_reclaimable"), numbers.get("slab_unreclaimable"))
    return sum_known(numbers.get("slab", slab), *(numbers.get(kind) for kind in KERNEL_PARTS if kind != "slab"))


def _swap(numbers: Mapping[str, int], usage_bytes: int | None) -> int | None:
    """v1 counts memory and swap together, or not at all (swapaccount=0 shows 0)."""
    both = numbers.get(MEMSW)
    if "swap" in numbers or both is None or usage_bytes is None or both < usage_bytes:
        return numbers.get("swap")
    return both - usage_bytes
