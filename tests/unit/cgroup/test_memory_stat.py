"""memory.stat of v2 and v1 → memory by kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.cgroup.files import CgroupFiles
from agent.cgroup.memory_stat import memory_use_v1, memory_use_v2
from agent.model import VANISHED, MemoryUse
from tests.unit.cgroup.fakes import CONTAINER, make, remove

V2 = """anon 100
file 60
kernel 30
kernel_stack 5
pagetables 6
sock 3
shmem 20
file_mapped 7
file_dirty 4
file_writeback 1
slab_reclaimable 8
slab 12
"""
V1 = "cache 1\nrss 2\ntotal_cache 60\ntotal_rss 100\ntotal_shmem 20\ntotal_dirty 4\ntotal_writeback 1\ntotal_swap 9\n"


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    (tmp_path / "mount").mkdir()
    return tmp_path / "mount"


def test_v2_page_cache_is_without_shared_memory_and_dirty_with_writeback() -> None:
    stat = {line.split()[0]: int(line.split()[1]) for line in V2.splitlines()}
    expected = MemoryUse(100, 40, 5, 20, 30, 8, 3, 2, by_report=False)
    assert memory_use_v2(stat, 2) == expected


def test_v2_before_5_18_kernel_memory_is_the_sum_of_its_parts() -> None:
    assert memory_use_v2({"slab": 12, "kernel_stack": 5, "percpu": 1}).kernel == 18


def test_v1_counts_what_is_below_as_well() -> None:
    stat = {line.split()[0]: int(line.split()[1]) for line in V1.splitlines()}
    assert memory_use_v1(stat, 30) == MemoryUse(100, 40, 5, 20, 30, None, None, 9, by_report=False)


def test_a_kind_that_the_kernel_does_not_name_is_not_known() -> None:
    assert memory_use_v2({}) == MemoryUse(by_report=False)
    assert memory_use_v1({}) == MemoryUse(by_report=False)


def test_it_is_read_from_the_cgroups_files(mount: Path) -> None:
    cgroup = make(mount, CONTAINER, memory__stat=V2, memory__swap__current="2\n")
    files = CgroupFiles(mount, "v2", check_magic=False)
    assert files.memory_use(cgroup) == MemoryUse(100, 40, 5, 20, 30, 8, 3, 2, by_report=False)
    remove(mount, CONTAINER)
    assert files.memory_use(cgroup) is VANISHED
    files.close()


def test_how_often_its_own_limit_was_reached(mount: Path) -> None:
    cgroup = make(mount, CONTAINER, memory__events="max 9\n", memory__events__local="max 4\n", memory__failcnt="7\n")
    v2, v1 = CgroupFiles(mount, "v2", check_magic=False), CgroupFiles(mount, "v1", check_magic=False)
    assert (v2.times_at_limit(cgroup), v1.times_at_limit(cgroup)) == (4, 7)
    (mount / CONTAINER / "memory.events.local").unlink()
    assert v2.times_at_limit(cgroup) == 9, "before Linux 5.2"
    v2.close()
    v1.close()
