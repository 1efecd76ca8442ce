"""What used the memory at the limit, in every form in which the kernel prints it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.kernel.oom_memory import KMEM, MEMSW, Numbers, add, kinds_of_line, take, use_of
from agent.model import MemoryUse
from tests.unit.kernel.made_reports import assemble, records

KB, MIB = 1024, 1 << 20


def of(*records: str) -> Numbers:
    """The numbers of these records between ``Memory cgroup stats for …`` and the task table."""
    numbers: Numbers = {}
    for text in records:
        take(numbers, text)
    return numbers


def test_one_record_per_kind_and_all_kinds_in_one_record_are_the_same() -> None:
    lines = ["anon 4096", "file 12288", "shmem 4096", "kernel 100", "sock 7", "file_dirty 1", "file_writeback 2"]
    assert of(*lines) == of(r"\x0a".join(lines))
    use = use_of(of(*lines), None)
    assert use == MemoryUse(anon=4096, file=8192, shmem=4096, kernel=100, sock=7, dirty=3)


def test_page_cache_is_without_tmpfs_which_the_kernel_counts_in_it() -> None:
    assert use_of({"anon": 0, "file": 100, "shmem": 90}, None) == MemoryUse(anon=0, file=10, shmem=90)
    assert use_of({"rss": 0, "cache": 100, "shmem": 90}, None) == MemoryUse(anon=0, file=10, shmem=90)
    racing = use_of({"anon": 0, "file": 80, "shmem": 90}, None)
    assert racing is not None
    assert racing.file == 0


def test_before_5_18_the_kernels_memory_is_the_sum_of_its_parts() -> None:
    parts = {
        "slab": 100,
        "kernel_stack": 20,
        "pagetables": 3,
        "percpu": 4000,
        "sec_pagetables": 50000,
        "vmalloc": 600000,
    }
    use = use_of({"anon": 1, **parts, "slab_reclaimable": 60, "slab_unreclaimable": 40}, None)
    assert use is not None
    assert (use.kernel, use.slab_reclaimable) == (654123, 60)
    without_slab = use_of({"anon": 1, "slab_reclaimable": 60, "slab_unreclaimable": 40}, None)
    assert without_slab is not None
    assert without_slab.kernel == 100
    newer = use_of({"anon": 1, **parts, "kernel": 7}, None)
    assert newer is not None
    assert newer.kernel == 7


def test_v1_counts_the_kernels_memory_apart() -> None:
    for kinds in ({"rss": 1}, {"anon": 1, "slab": 5}):
        use = use_of({**kinds, KMEM: 900}, None)
        assert use is not None
        assert use.kernel == 900


def test_up_to_5_1_each_cgroup_has_only_its_own_and_all_are_the_domains() -> None:
    numbers: Numbers = {}
    for line in (
        "cache:0KB rss:0KB swap:0KB",
        "cache:8KB rss:40KB rss_huge:2048KB swap:1KB",
        "cache:0KB rss:2KB swap:0KB",
    ):
        add(numbers, kinds_of_line(line))
    assert use_of(numbers, None) == MemoryUse(anon=42 * KB, file=8 * KB, swap=KB)


def test_in_newer_v1_only_the_hierarchical_numbers_count() -> None:
    """A pod's own cgroup has no process, so its own numbers are 0."""
    lines = ["cache 0", "rss 0", "swap 0", "total_cache 300", "total_rss 4096", "total_shmem 100", "total_swap 5"]
    assert use_of(of(*lines), None) == MemoryUse(anon=4096, file=200, shmem=100, swap=5)


@pytest.mark.parametrize(("both", "swap"), [(3 * MIB, 2 * MIB), (MIB, 0), (0, None), (None, None)])
def test_v1_counts_swap_together_with_memory_or_not_at_all(both: int | None, swap: int | None) -> None:
    numbers = {"anon": 1, **({} if both is None else {MEMSW: both})}
    use = use_of(numbers, MIB)
    assert use is not None
    assert use.swap == swap


def test_a_report_without_statistics_has_none() -> None:
    assert use_of({}, MIB) is None
    assert use_of({KMEM: 5, "swap": 0}, MIB) is None


@pytest.mark.parametrize(
    "text",
    [
        "anon",
        "anon 1 2",
        "anon -1",
        "anon 1x",
        "anon[12]: segfault",
        "inactive_anon 5",
        "anon  7",
        f"anon {'9' * 19}",
        "anon \u00b2",
    ],
)
def test_other_lines_of_the_kernel_add_nothing(text: str) -> None:
    assert of(text) == {}


def test_the_first_of_two_lines_of_one_kind_counts() -> None:
    assert of("anon 1", "anon 2") == {"anon": 1}


def test_a_line_in_pieces_is_put_together() -> None:
    """The kernel cut it behind the path, or behind a kind: the record of the rest begins with a blank."""
    head = ["java invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), nodemask=(null), order=0, oom_score_adj=0"]
    tail = [
        "Memory cgroup out of memory: Kill process 9 (java) score 1 or sacrifice child",
        "Killed process 9 (java) total-vm:1kB, anon-rss:1kB, file-rss:0kB, shmem-rss:0kB",
    ]
    task = "Task in /p/c killed as a result of limit of /p/c"
    whole = [*head, task, "Memory cgroup stats for /p/c: cache:4KB rss:8KB rss_huge:0KB shmem:4KB", *tail]
    pieces = [*head, task, "Memory cgroup stats for /p/c: cache:4KB", " rss:8KB rss_huge:0KB", " shmem:4KB", *tail]
    behind_path = [*head, task, "Memory cgroup stats for /p/c:", " cache:4KB rss:8KB", " shmem:4KB", *tail]
    logs = [[r._replace(fragment=r.text[0] == " ") for r in records(lines)] for lines in (whole, pieces, behind_path)]
    uses = [assemble(log)[0].use for log in logs]
    assert uses == [MemoryUse(anon=8 * KB, file=0, shmem=4 * KB)] * 3


TEXTS = st.one_of(
    st.text(max_size=40),
    st.builds(
        "{} {}".format,
        st.sampled_from(["anon", "file", "shmem", "kernel", "rss", "total_rss", "cache"]),
        st.integers(-9, 10**20),
    ),
    st.builds(" {}:{}KB".format, st.sampled_from(["rss", "cache", "swap"]), st.integers(0, 10**18)),
)


@given(st.lists(TEXTS, max_size=12), st.none() | st.integers(0, 2**60))
def test_no_text_makes_it_fail_and_no_kind_is_negative(texts: list[str], usage_bytes: int | None) -> None:
    use = use_of(of(*texts), usage_bytes)
    if use is not None:
        kinds = (use.anon, use.file, use.dirty, use.shmem, use.kernel, use.slab_reclaimable, use.sock, use.swap)
        assert all(kind is None or kind >= 0 for kind in kinds)
