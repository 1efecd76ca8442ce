"""memory.stat by kind, of both versions and all kernels: unknown keys are ignored, missing ones are None."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.cgroup.files import CgroupFiles
from agent.cgroup.stat import use_of_v1, use_of_v2
from agent.model import KERNEL_PARTS, VANISHED, MemoryUse
from tests.unit.cgroup.fakes import CONTAINER, make, remove

V2 = """anon 1048576
file 8388608
kernel 3145728
kernel_stack 65536
pagetables 131072
percpu 0
sock 4096
vmalloc 0
shmem 2097152
file_mapped 0
file_dirty 1048576
file_writeback 524288
slab_reclaimable 2000000
slab_unreclaimable 900000
slab 2900000
pgfault 17
"""
V1 = """cache 1
rss 1
shmem 1
dirty 1
writeback 1
total_cache 8388608
total_rss 1048576
total_rss_huge 0
total_shmem 2097152
total_dirty 1048576
total_writeback 0
total_swap 300
"""
KEYS = (
    *("anon", "file", "shmem", "kernel", "sock", "file_dirty", "file_writeback", "slab_reclaimable", *KERNEL_PARTS),
    *("cache", "rss", "dirty", "writeback", "swap", "total_cache", "total_rss", "total_shmem", "total_swap", "new_key"),
)
COUNTS = st.dictionaries(st.sampled_from(KEYS), st.integers(0, 2**50))


def read(tmp_path: Path, version: str, **files: str) -> MemoryUse | object:
    (tmp_path / "mount").mkdir()
    cgroup = make(tmp_path / "mount", CONTAINER, **files)
    cgroup_files = CgroupFiles(tmp_path / "mount", version, check_magic=False)
    found = cgroup_files.memory_use(cgroup)
    remove(tmp_path / "mount", CONTAINER)
    assert cgroup_files.memory_use(cgroup) is VANISHED
    cgroup_files.close()
    return found


def test_v2_page_cache_is_without_shared_memory_and_writeback_is_not_written_back(tmp_path: Path) -> None:
    found = read(tmp_path, "v2", memory__stat=V2, memory__swap__current="77\n")
    assert found == MemoryUse(1048576, 6291456, 1572864, 2097152, 3145728, 2000000, 4096, 77, by_report=False)


def test_v1_counts_the_cgroups_below(tmp_path: Path) -> None:
    found = read(tmp_path, "v1", memory__stat=V1, memory__kmem__usage_in_bytes="5000\n")
    assert found == MemoryUse(1048576, 6291456, 1048576, 2097152, 5000, None, None, 300, by_report=False)


def test_before_5_18_kernel_memory_is_the_sum_of_its_parts() -> None:
    assert use_of_v2({"kernel_stack": 1, "slab": 20, "pagetables": 300, "slab_reclaimable": 7}, None).kernel == 321
    assert use_of_v2({}, None).kernel is None


@given(COUNTS, st.none() | st.integers(0, 2**50), st.sampled_from([use_of_v1, use_of_v2]))
def test_any_statistics_are_sizes_that_are_not_negative(counts: dict[str, int], beside: int | None, of: object) -> None:
    found = of(counts, beside)  # type: ignore[operator]
    sizes = [getattr(found, each.name) for each in fields(found) if each.name != "by_report"]
    assert all(size is None or size >= 0 for size in sizes)
    assert not found.by_report
    if "shmem" in counts and of is use_of_v2 and counts.get("file", 0) >= counts["shmem"]:
        assert found.file + found.shmem == counts["file"] if "file" in counts else found.file is None


@pytest.mark.parametrize("of", [use_of_v1, use_of_v2])
def test_what_the_kernel_does_not_say_is_none(of: object) -> None:
    assert of({}, None) == MemoryUse(by_report=False)  # type: ignore[operator]
