"""What filled a limit: never a kind with less than the largest share, and advice that fits the kind."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model import (
    AtLimit,
    ContainerKind,
    ContainerUse,
    Filled,
    MemoryUse,
    MemoryVolume,
    Pod,
    PodContainer,
    Scope,
    TaskRow,
)
from agent.wording import filled as wording
from agent.wording.filled import advice_now
from agent.wording.kill_record import kill_fields
from agent.wording.kills import kill_line, kill_note
from agent.wording.pressure import pressure_note
from tests.unit.wording.kills import FILLED, KILL, MIB, UNWRITTEN, USED

SIZES = st.none() | st.integers(0, 2**40)
KINDS = {
    "anon": Filled.PROCESSES, "file": Filled.PAGE_CACHE, "shmem": Filled.SHARED, "kernel": Filled.KERNEL, "sock": Filled.SOCKETS,
    "swap": Filled.SWAP,
}  # fmt: skip
PARTS = ("dirty", "slab_reclaimable")
USES = st.builds(
    MemoryUse, by_report=st.booleans(), **{f.name: SIZES for f in fields(MemoryUse) if f.name != "by_report"}
)
CACHE = MemoryVolume("cache", 200 * MIB)
FEWER = "fewer or smaller processes"


def advice(use: MemoryUse, *volumes: MemoryVolume, scope: Scope = Scope.CONTAINER) -> str:
    return kill_note(replace(KILL, use=use, scope=scope), container_limits={}, volumes=volumes)


@given(USES, SIZES)
def test_no_kind_is_named_that_holds_less_than_another_or_than_what_is_not_known(
    use: MemoryUse, limit: int | None
) -> None:
    found = wording.filled_by(replace(KILL, use=use, limit_bytes=limit, usage_bytes=None))
    sizes = {kind: getattr(use, name) or 0 for name, kind in KINDS.items()}
    rest = max(0, (limit or 0) - sum(size for kind, size in sizes.items() if kind is not Filled.SWAP))
    if found is None:
        assert (use.by_report and rest > max(sizes.values())) or max(sizes.values()) == 0
        return
    if not use.by_report:
        sizes[Filled.PROCESSES] += rest
        rest = 0
    assert sizes[found] == max(sizes.values()) >= rest
    assert sizes[found] > 0


@given(USES)
def test_the_parts_of_a_sentence_fall_and_none_is_tiny_but_an_only_one(use: MemoryUse) -> None:
    text = wording.memory_text(use)
    known = [getattr(use, name) or 0 for name, kind in KINDS.items() if kind is not Filled.SWAP]
    shown = [part for part in text.split(", ") if part and not part.endswith("in swap")]
    assert bool(shown) == any(known)
    least = max(MIB, 0.01 * sum(known))
    assert len(shown) == max(bool(any(known)), sum(size >= least for size in known))
    assert ("in swap" in text) == ((use.swap or 0) >= least)


@given(USES, st.sampled_from(Scope), st.integers(0, 3))
def test_any_use_makes_a_note_and_a_line(use: MemoryUse, scope: Scope, volumes: int) -> None:
    kill = replace(KILL, use=use, scope=scope)
    note = kill_note(kill, container_limits={"herder": MIB}, volumes=(MemoryVolume("v" * 63),) * volumes)
    assert len(note.encode()) <= 1024
    assert " … " not in note, "nothing is cut within a sentence"
    assert kill_line(kill)
    assert kill_fields(kill)["filled_by"] in (None, *Filled)


def test_memory_reads_as_people_say_it() -> None:
    assert wording.memory_text(USED) == "241 MiB processes, 9 MiB page cache, 6 MiB kernel"
    assert "212 MiB page cache (208 MiB not yet written back)" in wording.memory_text(UNWRITTEN)
    assert wording.memory_text(MemoryUse(anon=1000)) == "1000 B processes", "the only part is named however small"
    assert wording.memory_text(MemoryUse()) == ""


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("full of processes", FEWER),
        ("full of page cache that is not written back", "write smaller pieces with fsync"),
        ("full of page cache that can be freed", "freed before a kill unless it is locked or in use"),
        ("full of files in memory", "files in /dev/shm"),
        ("full of names of files", "look up or create fewer files"),
        ("full of kernel memory", "connections, open files, threads and page tables"),
        ("full of buffers of connections", "buffers of network connections"),
        ("more in swap than in memory", "900 MiB more was in swap"),
        ("read after the kill, which freed most", FEWER),
        ("the pod's limit, by another container", "ontainer sidecar used most of the pod's memory (200 MiB)"),
    ],
)
def test_the_advice_follows_what_filled_the_limit(name: str, words: str) -> None:
    note = kill_note(FILLED[name], container_limits={})
    assert words in note
    assert (FEWER in note) == (words == FEWER or "swap" in name)


def test_an_empty_dir_in_memory_is_named_with_its_size() -> None:
    full = MemoryUse(20 * MIB, 2 * MIB, 0, 230 * MIB)
    assert "files in emptyDir cache (in memory, sizeLimit 200 MiB) count toward the limit" in advice(full, CACHE)
    assert "emptyDir tmp (in memory, no sizeLimit)" in advice(full, MemoryVolume("tmp"))
    assert "emptyDir" not in advice(USED, CACHE), "processes filled the limit"


def test_at_the_pods_limit_the_volumes_of_all_its_containers_count_and_at_its_own_only_its() -> None:
    containers = (
        PodContainer("herder", ContainerKind.REGULAR),
        PodContainer("other", ContainerKind.REGULAR, memory_volumes=(CACHE,)),
    )
    pod = Pod("u", "default", "herder-1", "node-1", containers=containers)
    assert wording.volumes_of(pod, KILL) == ()
    assert wording.volumes_of(pod, replace(KILL, scope=Scope.POD)) == (CACHE,)
    assert wording.volumes_of(None, KILL) == ()


def test_what_a_kill_freed_before_the_reading_was_of_its_processes() -> None:
    after = MemoryUse(20 * MIB, 60 * MIB, 0, 0, 6 * MIB, by_report=False)
    assert wording.filled_by(replace(KILL, use=after)) is Filled.PROCESSES
    assert wording.filled_by(replace(KILL, use=replace(after, by_report=True))) is None, "170 MiB are unknown"
    assert wording.filled_by(replace(KILL, use=replace(after, shmem=150 * MIB))) is Filled.SHARED


@pytest.mark.parametrize("scope", [Scope.KUBEPODS, Scope.NODE, None])
def test_a_limit_of_others_gives_no_advice_about_what_filled_it(scope: Scope | None) -> None:
    assert wording.filled_advice(replace(KILL, use=UNWRITTEN, scope=scope), ()) is None


def test_without_statistics_the_largest_processes_say_whether_they_filled_it() -> None:
    assert wording.filled_by(replace(KILL, largest=(TaskRow(1, "a", 200 * MIB),))) is Filled.PROCESSES
    assert wording.filled_by(replace(KILL, largest=(TaskRow(1, "a", 2 * MIB),))) is Filled.NOT_PROCESSES
    assert wording.filled_by(replace(KILL, largest=())) is None


def test_a_note_without_room_leaves_out_the_least_important_sentences_whole() -> None:
    """First the limits, then the containers, then the processes; what happened, the memory and the advice stay."""
    many = tuple(ContainerUse("c" * 60 + str(i), 9 * MIB) for i in range(5))
    kill = replace(FILLED["full of page cache that is not written back"], scope=Scope.POD, containers=many)
    note = kill_note(kill, container_limits={"d" * 60 + str(i): MIB for i in range(6)})
    assert "Memory limits of" not in note
    assert all(
        part in note for part in ("Memory of the pod then: 212 MiB", "write smaller pieces", "OOM-killed worker")
    )
    assert len(note.encode()) <= 1024
    assert " … " not in note


@pytest.mark.parametrize(
    ("use", "says"),
    [
        (MemoryUse(anon=10 * MIB, file=220 * MIB, dirty=200 * MIB), "220 MiB is page cache not yet written to disk"),
        (
            MemoryUse(anon=10 * MIB, shmem=220 * MIB),
            "220 MiB is shared memory and tmpfs: files in emptyDir cache (in memory, no",
        ),
        (MemoryUse(anon=10 * MIB, kernel=220 * MIB), "220 MiB is kernel memory"),
        (MemoryUse(anon=220 * MIB), None),
        (MemoryUse(anon=20 * MIB, swap=220 * MIB), None),
        (MemoryUse(shmem=20 * MIB), None),
    ],
)
def test_before_a_kill_the_advice_follows_what_fills_the_limit_too(use: MemoryUse, says: str | None) -> None:
    volumes = (MemoryVolume("cache", None),)
    advice = advice_now(use, 250 * MIB, volumes)
    assert advice is None if says is None else (advice or "").startswith(says)
    note = pressure_note(
        "app", AtLimit(256 * MIB, 250 * MIB, 1, 0, use), None, (), lasts_s=0.0, shared=False, volumes=volumes
    )
    assert ("run fewer or smaller processes" in note) is (says is None)
    assert says is None or says in note
    assert "likely if this goes on. " in note
