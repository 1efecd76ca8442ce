"""The cgroup room on real cgroups: what inotify, rmdir, the knob and the counters do there, and no ordinary directory does."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.cgroup.files import CgroupError, CgroupFiles, NotACgroupMountError
from agent.cgroup.layout import classify, find_hierarchy
from agent.cgroup.tree import Tree
from agent.ledger import AgentLock, LockedError
from agent.model import (
    VANISHED,
    Cgroup,
    CgroupAppeared,
    CgroupGone,
    CgroupMissed,
    CountersTouched,
    MemoryEvents,
    OomGroupTouched,
    TreeEvent,
    TreeOverflowed,
    WriteOutcome,
)
from tests.lab.cgroups import MOUNT, enable_controllers

POD = "kubepods/burstable/pod11111111-2222-4333-8444-555555555555"
CONTAINER = f"{POD}/{'a' * 64}"
EAT = """
import os, sys
os.write(1, b"in\\n")
os.read(0, 1)
pages = bytearray(64 << 20)
for at in range(0, len(pages), 4096):
    pages[at] = 1
"""


@pytest.fixture(autouse=True)
def pod() -> Iterator[None]:
    """kubepods, its Burstable level and one pod, with controllers; removed after the test."""
    at = MOUNT
    for part in POD.split("/"):
        enable_controllers(at)
        at /= part
        at.mkdir(exist_ok=True)
    enable_controllers(at)
    yield
    top = MOUNT / "kubepods"
    for folder in sorted((p for p in top.rglob("*") if p.is_dir()), key=lambda p: -len(p.parts)):
        folder.rmdir()
    top.rmdir()


@pytest.fixture
def files() -> Iterator[CgroupFiles]:
    files = CgroupFiles(MOUNT, "v2")
    yield files
    files.close()


@pytest.fixture
def tree(files: CgroupFiles) -> Iterator[Tree]:
    tree = Tree(files)
    tree.scan(0.0)
    yield tree
    tree.close()


def make(path: str = CONTAINER) -> Cgroup:
    (MOUNT / path).mkdir()
    return Cgroup(classify(path), (MOUNT / path).stat().st_ino)


def write(path: str, file: str, text: str) -> None:
    (MOUNT / path / file).write_text(text)


def until(tree: Tree, enough: Callable[[list[TreeEvent]], bool], seconds: float = 60.0) -> list[TreeEvent]:
    """All that the tree tells until it is enough."""
    events: list[TreeEvent] = []
    end = time.monotonic() + seconds
    while not enough(events):
        left = end - time.monotonic()
        assert left > 0, f"not told within {seconds} s; told: {events}"
        select.select([tree.fileno()], [], [], left)
        events += tree.read(time.monotonic())
    return events


def of(events: list[TreeEvent], kind: type) -> list[Cgroup]:
    return [
        event.cgroup
        for event in events
        if isinstance(event, kind) and not isinstance(event, CgroupMissed | TreeOverflowed)
    ]


@contextlib.contextmanager
def eater(path: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process in that cgroup which eats 64 MiB once it is told to."""
    process = subprocess.Popen([sys.executable, "-S", "-c", EAT], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        write(path, "cgroup.procs", f"{process.pid}\n")
        yield process
    finally:
        process.kill()
        process.communicate()


def let_eat(process: subprocess.Popen[bytes]) -> int:
    assert process.stdin is not None
    process.stdin.write(b"x")
    process.stdin.flush()
    return process.wait(60)


# ------------------------------------------------------------------------------------------------------------ files


def test_the_kernels_own_mount_is_known_for_cgroup2_and_for_nothing_else() -> None:
    found = find_hierarchy(MOUNT)
    assert (found.version, found.memory_mount) == ("v2", MOUNT)
    CgroupFiles(MOUNT, "v2").close()
    with pytest.raises(NotACgroupMountError):
        CgroupFiles(MOUNT, "v1")
    with pytest.raises(NotACgroupMountError):
        CgroupFiles(Path("/sys"), "v2")


def test_the_root_is_found_by_looking(files: CgroupFiles) -> None:
    everything = Tree(files)
    everything.scan(0.0)
    assert [root.path for root in everything.roots] == ["kubepods"]
    everything.close()


def test_the_knob_is_held_and_each_write_is_told(files: CgroupFiles, tree: Tree) -> None:
    cgroup = make()
    until(tree, lambda events: CgroupAppeared in map(type, events))
    assert files.plan_oom_group(cgroup, 1).outcome is WriteOutcome.DRY_RUN
    assert files.read_oom_group(cgroup) == 0
    write_ = files.set_oom_group(cgroup, 1)
    assert (write_.outcome, write_.before) == (WriteOutcome.WRITTEN, 0)
    assert files.read_oom_group(cgroup) == 1
    assert of(tree.read(1.0), OomGroupTouched) == [cgroup]
    assert files.set_oom_group(cgroup, 1).outcome is WriteOutcome.ALREADY
    assert tree.read(2.0) == [], "looking is not told"
    write(CONTAINER, "memory.oom.group", "0")
    assert tree.read(3.0) == [OomGroupTouched(cgroup, 3.0)]
    write(POD, "memory.oom.group", "1")
    (event,) = tree.read(4.0)
    assert isinstance(event, OomGroupTouched)
    assert event.cgroup.path == POD


def test_a_removed_cgroup_is_gone_to_every_question(files: CgroupFiles) -> None:
    cgroup = make()
    (MOUNT / CONTAINER).rmdir()
    assert files.set_oom_group(cgroup, 1).outcome is WriteOutcome.GONE
    for ask in (files.read_oom_group, files.memory_events, files.limit_bytes, files.usage_bytes, files.peak_bytes):
        assert ask(cgroup) is VANISHED
    assert files.pids(cgroup) is VANISHED
    assert files.populated(cgroup) is VANISHED
    assert files.inode(CONTAINER) is VANISHED


@pytest.mark.parametrize("file", ["memory.oom.group", "memory.events", "cgroup.events"])
def test_a_cgroup_removed_between_its_opening_and_its_files_is_gone(
    files: CgroupFiles, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    cgroup = make()
    real = os.open

    def removing(path: str, flags: int, *rest: int, dir_fd: int | None = None) -> int:
        if path == file and (MOUNT / CONTAINER).exists():
            (MOUNT / CONTAINER).rmdir()
        return real(path, flags, *rest, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", removing)
    if file == "memory.oom.group":
        assert files.set_oom_group(cgroup, 1).outcome is WriteOutcome.GONE
    else:
        assert (files.memory_events if file == "memory.events" else files.populated)(cgroup) is VANISHED


def test_a_cgroup_on_its_way_out_is_gone_and_never_an_error(files: CgroupFiles) -> None:
    """rmdir takes the files away before the directory: in between memory.events is missing from a cgroup that is there."""
    code = "import os, sys\nfor _ in range(20000): os.mkdir(sys.argv[1]); os.rmdir(sys.argv[1])"
    seen = vanished = 0
    with subprocess.Popen([sys.executable, "-S", "-c", code, str(MOUNT / CONTAINER)]) as process:
        while process.poll() is None:
            inode = files.inode(CONTAINER)
            if isinstance(inode, int):
                found = files.memory_events(Cgroup(classify(CONTAINER), inode))
                seen += isinstance(found, MemoryEvents)
                vanished += found is VANISHED
    print(f"seen {seen} times, vanished in between {vanished} times")
    assert process.returncode == 0
    assert seen
    assert vanished


def test_a_path_used_again_is_another_cgroup(files: CgroupFiles, tree: Tree) -> None:
    first = make()
    (MOUNT / CONTAINER).rmdir()
    second = make()
    assert first.inode != second.inode
    assert files.set_oom_group(first, 1).outcome is WriteOutcome.GONE
    assert files.read_oom_group(second) == 0
    until(tree, lambda events: second in of(events, CgroupAppeared))
    (MOUNT / CONTAINER).rmdir()
    third = make()
    assert tree.read(1.0) == [CgroupGone(second, 1.0), CgroupAppeared(third, 1.0)]
    write(CONTAINER, "memory.oom.group", "1")
    assert tree.read(2.0) == [OomGroupTouched(third, 2.0)], "the new one's knob is watched, not the old one's"


def test_limits_sizes_and_processes_are_the_kernels(files: CgroupFiles) -> None:
    cgroup = make()
    assert files.limit_bytes(cgroup) is None
    write(CONTAINER, "memory.max", str(64 << 20))
    assert files.limit_bytes(cgroup) == 64 << 20
    assert files.populated(cgroup) is False
    inner = make(f"{CONTAINER}/container")
    with eater(inner.path) as process:
        assert files.pids(cgroup) == (process.pid,)
        assert files.populated(cgroup) is True
        usage = files.usage_bytes(cgroup)
        assert isinstance(usage, int)
        peak = files.peak_bytes(cgroup)
        assert peak is None or (isinstance(peak, int) and peak >= 0)


def test_processes_in_threaded_cgroups_are_found_in_their_domain(files: CgroupFiles) -> None:
    cgroup = make()
    threads = make(f"{CONTAINER}/threads")
    write(threads.path, "cgroup.type", "threaded")
    with eater(CONTAINER) as process:
        assert files.pids(cgroup) == (process.pid,)


def test_a_cgroup_without_the_memory_controller_says_so(files: CgroupFiles) -> None:
    make()
    nested = make(f"{CONTAINER}/container")
    assert files.set_oom_group(nested, 0).outcome is WriteOutcome.ALREADY, "no kill takes the group there"
    assert files.set_oom_group(nested, 1).outcome is WriteOutcome.NO_CONTROLLER
    assert files.read_oom_group(nested) == 0
    with pytest.raises(CgroupError, match="memory controller is not enabled"):
        files.memory_events(nested)


# ------------------------------------------------------------------------------------------------------------- kills


def test_a_kill_is_counted_at_every_level_and_told(files: CgroupFiles, tree: Tree) -> None:
    cgroup = make()
    write(CONTAINER, "memory.max", str(16 << 20))
    until(tree, lambda events: cgroup in of(events, CgroupAppeared))
    with eater(CONTAINER) as process:
        assert let_eat(process) == -9
        events = until(
            tree, lambda events: {CONTAINER, POD, "kubepods"} <= {c.path for c in of(events, CountersTouched)}
        )
    assert "kubepods/burstable" not in {c.path for c in of(events, CountersTouched)}
    found = files.memory_events(cgroup)
    assert isinstance(found, MemoryEvents)
    assert (found.oom_kill, found.oom_group_kill) == (1, 0)
    assert found.oom >= 1
    assert found.local_oom == found.oom
    above = files.memory_events(tree.cgroups[POD])
    assert isinstance(above, MemoryEvents)
    assert (above.oom_kill, above.local_oom) == (1, 0), "the pod's limit was not hit"
    (MOUNT / CONTAINER).rmdir()
    after = files.memory_events(tree.cgroups[POD])
    assert isinstance(after, MemoryEvents)
    assert after.oom_kill == 1, "the pod keeps the count when the container is gone"


def test_a_kill_in_a_nested_cgroup_is_told_of_the_container(files: CgroupFiles, tree: Tree) -> None:
    cgroup = make()
    write(CONTAINER, "memory.max", str(16 << 20))
    nested = make(f"{CONTAINER}/docker")
    until(tree, lambda events: cgroup in of(events, CgroupAppeared))
    with eater(nested.path) as process:
        assert let_eat(process) == -9
        until(tree, lambda events: cgroup in of(events, CountersTouched))
    found = files.memory_events(cgroup)
    assert isinstance(found, MemoryEvents)
    assert found.oom_kill == 1


# -------------------------------------------------------------------------------------------------------------- tree


def test_three_hundred_containers_are_told_watched_and_forgotten(files: CgroupFiles, tree: Tree) -> None:
    watches = tree.watches
    paths = [f"{POD}/{n:064x}" for n in range(300)]
    made = [make(path) for path in paths]
    events = until(tree, lambda events: len(of(events, CgroupAppeared)) >= 300)
    assert of(events, CgroupAppeared) == made
    assert tree.scan(1.0) == []
    for path in paths:
        write(path, "memory.oom.group", "1")
    events = until(tree, lambda events: len(of(events, OomGroupTouched)) >= 300)
    assert of(events, OomGroupTouched) == made
    for path in paths:
        (MOUNT / path).rmdir()
    events = until(tree, lambda events: len(of(events, CgroupGone)) >= 300)
    assert of(events, CgroupGone) == made
    assert tree.watches == watches
    assert tree.scan(2.0) == []


def test_a_storm_while_we_look_leaves_exactly_what_is_there(tree: Tree) -> None:
    """Made, removed and made again by another thread, at the same few paths: no cgroup is missed and none told wrongly."""
    done = threading.Event()

    def storm() -> None:
        for round_ in range(40):
            for n in range(8):
                path = MOUNT / f"{POD}/{n:064x}"
                (path.rmdir if path.exists() else path.mkdir)()
                if path.exists() and round_ % 3 == 0:
                    (path / "memory.oom.group").write_text("1")
        done.set()

    thread = threading.Thread(target=storm)
    thread.start()
    live: dict[str, int] = {}
    end = time.monotonic() + 60
    while not done.is_set() or select.select([tree.fileno()], [], [], 0)[0]:
        assert time.monotonic() < end
        select.select([tree.fileno()], [], [], 0.05)
        for event in tree.read(time.monotonic()):
            if isinstance(event, CgroupAppeared):
                assert event.cgroup.path not in live, "nothing appears twice"
                live[event.cgroup.path] = event.cgroup.inode
            elif isinstance(event, CgroupGone):
                assert live.pop(event.cgroup.path) == event.cgroup.inode, "what goes is what appeared"
    thread.join()
    there = {f"{POD}/{p.name}": p.stat().st_ino for p in (MOUNT / POD).iterdir() if p.is_dir()}
    assert live == there
    assert tree.scan(1.0) == [], "a full look finds nothing to repair"


def test_a_pod_that_goes_as_a_whole_goes_children_first(tree: Tree) -> None:
    other = "kubepods/pod99999999-aaaa-4bbb-8ccc-dddddddddddd"
    make(other)
    make(f"{other}/{'b' * 64}")
    until(tree, lambda events: len(of(events, CgroupAppeared)) == 2)
    (MOUNT / other / ("b" * 64)).rmdir()
    (MOUNT / other).rmdir()
    events = until(tree, lambda events: len(of(events, CgroupGone)) == 2)
    assert [c.path for c in of(events, CgroupGone)] == [f"{other}/{'b' * 64}", other]


def test_cruns_child_has_the_knob_and_is_watched(tree: Tree) -> None:
    make()
    enable_controllers(MOUNT / CONTAINER)
    child = make(f"{CONTAINER}/container")
    until(tree, lambda events: child in of(events, CgroupAppeared))
    write(child.path, "memory.oom.group", "1")
    assert child in of(until(tree, lambda events: OomGroupTouched in map(type, events)), OomGroupTouched)


def test_a_controller_enabled_after_the_cgroup_was_made_brings_its_files_under_watch(tree: Tree) -> None:
    """Nothing tells of attribute files that come into being; the write to the parent's cgroup.subtree_control does."""
    make()
    child = make(f"{CONTAINER}/container")
    until(tree, lambda events: child in of(events, CgroupAppeared))
    enable_controllers(MOUNT / CONTAINER)
    assert (MOUNT / child.path / "memory.oom.group").exists()
    assert OomGroupTouched(child, 1.0) in tree.read(1.0), "it is there now, and to be looked at"
    write(child.path, "memory.oom.group", "1")
    assert OomGroupTouched(child, 2.0) in tree.read(2.0)


def test_a_memory_controller_that_is_switched_off_and_on_leaves_everything_watched(
    files: CgroupFiles, tree: Tree
) -> None:
    """Also a pod whose cgroup is there before its controllers, as with crun and the cgroupfs driver."""
    cgroup = make()
    tree.scan(1.0)
    watches = tree.watches
    control = MOUNT / POD / "cgroup.subtree_control"
    for second in (2.0, 3.0):
        control.write_text("-memory")
        control.write_text("+memory")
        events = until(tree, lambda found: bool(of(found, CountersTouched)))
        assert of(events, OomGroupTouched) == of(events, CountersTouched) == [cgroup], second
        assert tree.watches == watches
        assert files.memory_events(cgroup) == MemoryEvents(0, 0, 0, 0)
    write(CONTAINER, "memory.oom.group", "1")
    assert of(until(tree, bool), OomGroupTouched) == [cgroup]
    control.write_text("-pids")
    control.write_text("+pids")
    assert tree.read(4.0) == []


def test_a_lock_of_the_mount_is_one_for_all_who_open_it(tmp_path: Path) -> None:
    with AgentLock(tmp_path / "a", "node-1", MOUNT) as lock:
        assert lock.trouble is None
        with pytest.raises(LockedError, match=str(MOUNT)), AgentLock(tmp_path / "b", "node-1", MOUNT):
            pass
    with AgentLock(tmp_path / "b", "node-1", MOUNT):
        pass


def test_a_root_that_comes_later_is_found(files: CgroupFiles, tree: Tree) -> None:
    root = "kubelet.slice/kubelet-kubepods.slice"
    (MOUNT / root).mkdir(parents=True)
    try:
        until(tree, lambda events: root in {c.path for c in of(events, CgroupAppeared)})
        assert {r.path for r in tree.roots} == {"kubepods", root}
    finally:
        (MOUNT / root).rmdir()
        (MOUNT / "kubelet.slice").rmdir()


def test_reaching_the_kernels_limit_of_watches_is_told_once_and_mended_when_it_is_raised(files: CgroupFiles) -> None:
    limit = Path("/proc/sys/fs/inotify/max_user_watches")
    before = limit.read_text()
    cgroup = make()
    tree = Tree(files)
    try:
        limit.write_text("4")
        told = [e for e in tree.scan(1.0) if isinstance(e, TreeOverflowed)]
        assert ["fs.inotify.max_user_watches" in e.why for e in told] == [True]
        assert tree.scan(2.0) == []
        limit.write_text(before)
        assert OomGroupTouched(cgroup, 3.0) in tree.scan(3.0), "what was not watched is looked at when it is"
        write(CONTAINER, "memory.oom.group", "1")
        assert tree.read(4.0) == [OomGroupTouched(cgroup, 4.0)]
    finally:
        limit.write_text(before)
        tree.close()
