"""Word of changes where the kernel is short of something, late with something, or has it another way."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import agent.cgroup.watches as watches_module
from agent.cgroup.files import CgroupFiles
from agent.cgroup.layout import classify
from agent.cgroup.tree import Tree
from agent.model import (
    AgentError,
    Cgroup,
    CgroupAppeared,
    CgroupGone,
    CgroupMissed,
    CountersTouched,
    OomGroupTouched,
    TreeEvent,
    TreeOverflowed,
)
from tests.unit.cgroup.fakes import CONTAINER, POD, make, remove

QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")
ID2 = "b" * 64
MEMORY_FILES = ("memory.oom.group", "memory.events", "memory.events.local", "memory.max", "memory.current")


@dataclass
class Trees:
    """Makes trees over one mount, and closes them."""

    mount: Path
    _closers: list[Callable[[], None]] = field(default_factory=list)

    def __call__(self, version: str = "v2", *, roots: tuple[str, ...] = (), max_depth: int = 5) -> Tree:
        files = CgroupFiles(self.mount, version, check_magic=False)
        tree = Tree(files, root_override=roots, max_depth=max_depth)
        self._closers += [tree.close, files.close]
        return tree

    def close(self) -> None:
        for close in self._closers:
            close()


@pytest.fixture
def trees(mount: Path) -> Iterator[Trees]:
    trees = Trees(mount)
    yield trees
    trees.close()


def appeared(events: list[TreeEvent]) -> list[str]:
    return [event.cgroup.path for event in events if isinstance(event, CgroupAppeared)]


def told(events: list[TreeEvent], kind: type) -> list[Cgroup]:
    return [
        event.cgroup
        for event in events
        if isinstance(event, kind) and not isinstance(event, CgroupMissed | TreeOverflowed)
    ]


def write(mount: Path, path: str, file: str, text: str) -> None:
    (mount / path / file).write_text(text)


# --------------------------------------------------------------------------------------------------- short of watches


def limit_watches(tree: Tree, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    """fs.inotify.max_user_watches, for this tree alone."""
    real = tree._watches.inotify.add_watch

    def limited(path: str, mask: int) -> int:
        if tree.watches >= limit:
            raise OSError(errno.ENOSPC, "No space left on device")
        return int(real(path, mask))

    monkeypatch.setattr(tree._watches.inotify, "add_watch", limited)


def test_who_scans_on_being_told_of_the_limit_is_not_told_again(
    mount: Path, trees: Trees, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(mount, CONTAINER)
    tree = trees()
    limit_watches(tree, monkeypatch, 3)
    assert len([e for e in tree.scan(1.0) if isinstance(e, TreeOverflowed)]) == 1
    assert tree.scan(2.0) == []
    make(mount, "kubepods/besteffort")
    assert appeared(tree.scan(3.0)) == ["kubepods/besteffort"], "what is not watched is found by scans"
    assert [e for e in tree.read(4.0) if isinstance(e, TreeOverflowed)] == []


def test_the_limit_is_told_anew_when_it_is_reached_again_after_it_was_not(
    mount: Path, trees: Trees, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(mount, CONTAINER)
    tree = trees()
    with monkeypatch.context() as few:
        limit_watches(tree, few, 3)
        tree.scan(1.0)
    tree.scan(2.0)
    limit_watches(tree, monkeypatch, tree.watches)
    make(mount, f"{POD}/{ID2}")
    events = tree.read(3.0)
    assert appeared(events) == [f"{POD}/{ID2}"]
    assert len([e for e in events if isinstance(e, TreeOverflowed)]) == 1


def test_an_unreadable_directory_is_told_and_the_rest_goes_on(
    mount: Path, trees: Trees, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(mount, CONTAINER)
    make(mount, "kubelet/kubepods")
    tree = trees()
    tree.scan(1.0)
    known = set(tree.cgroups)
    real = os.open

    def refusing(path: str, flags: int, *rest: int, dir_fd: int | None = None) -> int:
        if path == "burstable":
            raise OSError(errno.EACCES, "Permission denied")
        return real(path, flags, *rest, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", refusing)
    late = make(mount, "kubelet/kubepods/besteffort")
    events = tree.scan(2.0)
    assert told(events, CgroupAppeared) == [late]
    assert told(events, CgroupGone) == [], "what can't be read is not gone for that"
    (trouble,) = [e for e in events if isinstance(e, TreeOverflowed)]
    assert "kubepods/burstable: Permission denied" in trouble.why
    assert set(tree.cgroups) == known | {late.path}


# --------------------------------------------------------------------------------------------------- too much at once


def test_a_real_overflow_of_the_queue_is_told_and_a_scan_brings_all_back(mount: Path, trees: Trees) -> None:
    cgroup = make(mount, CONTAINER)
    tree = trees()
    tree.scan(1.0)
    knob, counters = (os.open(mount / CONTAINER / f, os.O_WRONLY) for f in ("memory.oom.group", "memory.events"))
    for _ in range(int(QUEUE.read_text()) // 2 + 1):
        os.write(knob, b"1")  # alternating, since like ones in a row are merged
        os.write(counters, b"1")
    os.close(knob)
    os.close(counters)
    late = make(mount, f"{POD}/{ID2}")
    remove(mount, CONTAINER)
    events = tree.read(2.0)
    assert events[:2] == [OomGroupTouched(cgroup, 2.0), CountersTouched(cgroup, 2.0)], "thousands are told once"
    (overflow,) = events[2:]
    assert isinstance(overflow, TreeOverflowed)
    assert "fs.inotify.max_queued_events" in overflow.why
    assert tree.scan(3.0) == [CgroupGone(cgroup, 3.0), CgroupAppeared(late, 3.0)]


def test_a_storm_of_directories_leaves_exactly_what_is_there(mount: Path, trees: Trees) -> None:
    make(mount, POD)
    tree = trees()
    tree.scan(1.0)
    watches = tree.watches
    paths = [f"{POD}/{n:064x}" for n in range(60)]
    for path in paths:
        make(mount, path)
    for path in paths[::2]:
        remove(mount, path)
    tree.read(2.0)
    assert {p for p in tree.cgroups if p.startswith(f"{POD}/")} == set(paths[1::2])
    assert tree.scan(3.0) == [], "notifications told it all"
    for path in paths[1::2]:
        remove(mount, path)
    assert len(told(tree.read(4.0), CgroupGone)) == 30
    assert tree.watches == watches, "no watch is left behind"


def test_a_container_that_was_there_only_between_two_reads_is_told_as_missed(mount: Path, trees: Trees) -> None:
    make(mount, POD)
    tree = trees()
    tree.scan(1.0)
    make(mount, CONTAINER)
    remove(mount, CONTAINER)
    assert tree.read(2.0) == [CgroupMissed(classify(CONTAINER), 2.0)]
    assert tree.cgroups.keys() == {POD.partition("/")[0], POD.rpartition("/")[0], POD}


def test_a_pod_that_was_there_only_between_two_reads_is_never_told(mount: Path, trees: Trees) -> None:
    make(mount, POD)
    tree = trees()
    tree.scan(1.0)
    other = POD[:-1] + "0"
    make(mount, other)
    remove(mount, other)
    assert tree.read(2.0) == []


# ------------------------------------------------------------------------------------------------- late, or elsewhere


def strip_memory(mount: Path, path: str) -> None:
    for file in MEMORY_FILES:
        (mount / path / file).unlink()


def test_a_controller_that_comes_later_brings_its_files_under_watch(mount: Path, trees: Trees) -> None:
    make(mount, POD, cgroup__subtree_control="")
    tree = trees()
    tree.scan(1.0)
    cgroup = make(mount, CONTAINER)
    strip_memory(mount, CONTAINER)
    assert tree.read(2.0) == [CgroupAppeared(cgroup, 2.0)]
    write(mount, CONTAINER, "memory.oom.group", "0\n")
    write(mount, CONTAINER, "memory.events", "oom_kill 0\n")
    write(mount, POD, "cgroup.subtree_control", "memory\n")
    assert tree.read(3.0) == [OomGroupTouched(cgroup, 3.0), CountersTouched(cgroup, 3.0)], "to be looked at from now on"
    write(mount, CONTAINER, "memory.oom.group", "1\n")
    assert tree.read(4.0) == [OomGroupTouched(cgroup, 4.0)]


def switch_memory(mount: Path, parent: str, *paths: str, on: bool) -> None:
    """As the kernel does: the files go without a word on 6.x, others come, and the write is notified after that."""
    for path in paths:
        for file in ("memory.oom.group", "memory.events"):
            if on:
                write(mount, path, file, "0\n" if file == "memory.oom.group" else "oom_kill 0\n")
            else:
                (mount / path / file).rename(mount.parent / f"{len(list(mount.parent.iterdir()))}")
    write(mount, parent, "cgroup.subtree_control", "memory\n" if on else "")


@pytest.mark.parametrize("between", [True, False], ids=["read in between", "read afterwards"])
def test_a_controller_that_is_switched_off_and_on_leaves_everything_watched(
    mount: Path, trees: Trees, between: bool
) -> None:
    """All watches on the files were lost until the next full resync, and nobody noticed."""
    make(mount, POD, cgroup__subtree_control="memory\n")
    paths = (CONTAINER, f"{POD}/{ID2}")
    cgroups = [make(mount, path) for path in paths]
    tree = trees()
    tree.scan(1.0)
    watches = tree.watches
    for second in (2.0, 3.0):
        switch_memory(mount, POD, *paths, on=False)
        if between:
            assert tree.read(second) == []
            assert tree.watches == watches - 4
        switch_memory(mount, POD, *paths, on=True)
        assert tree.read(second) == [
            event for cgroup in cgroups for event in (OomGroupTouched(cgroup, second), CountersTouched(cgroup, second))
        ], "to be looked at: the values began again"
        assert tree.watches == watches
    for path, cgroup in zip(paths, cgroups, strict=True):
        write(mount, path, "memory.oom.group", "1\n")
        assert tree.read(4.0) == [OomGroupTouched(cgroup, 4.0)]


def test_another_controller_that_is_switched_costs_one_look_and_changes_nothing(
    mount: Path, trees: Trees, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(mount, POD, cgroup__subtree_control="memory\n")
    for number in range(50):
        make(mount, f"{POD}/{number:064}")
    tree = trees()
    tree.scan(1.0)
    watches, added = tree.watches, list[str]()
    real = tree._watches.inotify.add_watch

    def counted(path: str, mask: int) -> int:
        added.append(path)
        return int(real(path, mask))

    monkeypatch.setattr(tree._watches.inotify, "add_watch", counted)
    write(mount, POD, "cgroup.subtree_control", "memory pids\n")
    assert tree.read(2.0) == []
    assert (len(added), tree.watches) == (2, watches)


def test_once_nothing_is_missing_a_tree_has_the_watches_that_a_fresh_one_has(mount: Path, trees: Trees) -> None:
    make(mount, POD, cgroup__subtree_control="")
    tree = trees()
    tree.scan(1.0)
    others = f"{POD}/{ID2}"
    for path in (CONTAINER, others):
        make(mount, path)
        strip_memory(mount, path)
    tree.read(2.0)
    before = tree.watches
    for path in (CONTAINER, others):
        write(mount, path, "memory.oom.group", "0\n")
        write(mount, path, "memory.events", "oom_kill 0\n")
        write(mount, POD, "cgroup.subtree_control", "memory\n")
        tree.read(3.0)
    fresh = trees()
    fresh.scan(4.0)
    assert before < tree.watches == fresh.watches


def test_files_that_come_while_a_cgroup_is_looked_at_leave_no_watch_behind(
    mount: Path, trees: Trees, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(mount, POD, cgroup__subtree_control="")
    tree = trees()
    tree.scan(1.0)
    cgroup = make(mount, CONTAINER)
    strip_memory(mount, CONTAINER)
    real = tree._watches.inotify.add_watch

    def enabled_meanwhile(path: str, mask: int) -> int:
        if path.endswith("subtree_control"):
            write(mount, CONTAINER, "memory.oom.group", "0\n")
            write(mount, CONTAINER, "memory.events", "oom_kill 0\n")
        return int(real(path, mask))

    monkeypatch.setattr(tree._watches.inotify, "add_watch", enabled_meanwhile)
    tree.read(2.0)
    fresh = trees()
    fresh.scan(3.0)
    assert tree.watches == fresh.watches
    write(mount, CONTAINER, "memory.oom.group", "1\n")
    assert tree.read(4.0) == [OomGroupTouched(cgroup, 4.0)]


def test_a_renamed_directory_is_another_cgroup_and_stays_watched(mount: Path, trees: Trees) -> None:
    """v1 lets cgroups be renamed within their parent."""
    first = make(mount, CONTAINER)
    tree = trees()
    tree.scan(1.0)
    other = f"{POD}/{ID2}"
    (mount / CONTAINER).rename(mount / other)
    events = tree.read(2.0)
    assert told(events, CgroupGone) == [first]
    (second,) = told(events, CgroupAppeared)
    assert (second.path, second.inode) == (other, first.inode)
    write(mount, other, "memory.oom.group", "1\n")
    assert tree.read(3.0) == [OomGroupTouched(second, 3.0)]


def test_a_renamed_directory_that_a_scan_finds_first_stays_watched_too(mount: Path, trees: Trees) -> None:
    make(mount, CONTAINER)
    tree = trees()
    tree.scan(1.0)
    other = f"{POD}/{ID2}"
    (mount / CONTAINER).rename(mount / other)
    tree.scan(2.0)
    tree.read(3.0)
    write(mount, other, "memory.oom.group", "1\n")
    assert [c.path for c in told(tree.read(4.0), OomGroupTouched)] == [other]


def test_a_renamed_directory_that_is_found_before_its_renaming_is_told_stays_watched_too(
    mount: Path, trees: Trees
) -> None:
    make(mount, POD, cgroup__subtree_control="")
    make(mount, CONTAINER)
    make(mount, f"{POD}/{'c' * 64}")
    strip_memory(mount, f"{POD}/{'c' * 64}")
    tree = trees()
    tree.scan(1.0)
    other = f"{POD}/{ID2}"
    write(
        mount, POD, "cgroup.subtree_control", "memory\n"
    )  # makes the tree look into the pod, before the renaming's turn
    (mount / CONTAINER).rename(mount / other)
    tree.read(2.0)
    write(mount, other, "memory.oom.group", "1\n")
    assert [c.path for c in told(tree.read(3.0), OomGroupTouched)] == [other]


def test_old_news_of_a_removal_do_not_take_the_cgroup_that_has_the_path_now(mount: Path, trees: Trees) -> None:
    first = make(mount, CONTAINER)
    tree = trees()
    tree.scan(1.0)
    (mount / CONTAINER).rename(mount.parent / "kept")  # its inode stays in use: the next one is another
    second = make(mount, CONTAINER)
    assert tree.scan(2.0) == [CgroupGone(first, 2.0), CgroupAppeared(second, 2.0)]
    assert tree.read(3.0) == []
    write(mount, CONTAINER, "memory.oom.group", "1\n")
    assert tree.read(4.0) == [OomGroupTouched(second, 4.0)]


def test_a_new_kind_node_is_found_when_it_comes(mount: Path, trees: Trees) -> None:
    make(mount, "system.slice/ssh.service")
    tree = trees()
    tree.scan(1.0)
    root = f"system.slice/docker-{ID2}.scope/kubelet.slice/kubelet-kubepods.slice"
    make(mount, root)
    assert appeared(tree.read(2.0)) == [root]
    assert [r.path for r in tree.roots] == [root]


def test_a_container_outside_of_any_root_is_found_by_its_name(mount: Path, trees: Trees) -> None:
    uid = "11111111_2222_4333_8444_555555555555"
    path = f"system.slice/containerd.service/kubepods-burstable-pod{uid}.slice:cri-containerd:{ID2}"
    tree = trees()
    tree.scan(1.0)
    cgroup = make(mount, path)
    assert tree.read(2.0) == [CgroupAppeared(cgroup, 2.0)]
    assert tree.roots == ()


def test_roots_deeper_than_asked_for_are_not_found(mount: Path, trees: Trees) -> None:
    make(mount, "a/b/kubepods")
    assert appeared(trees(max_depth=3).scan(1.0)) == ["a/b/kubepods"]
    assert appeared(trees(max_depth=2).scan(1.0)) == []


def test_a_root_that_was_named_is_found_at_any_depth_and_when_it_comes_later(mount: Path, trees: Trees) -> None:
    root = "a/b/c/d/e/f/g/kubepods"
    make(mount, "a/b")
    make(mount, CONTAINER)
    tree = trees(roots=(root,))
    assert appeared(tree.scan(1.0)) == []
    make(mount, root)
    assert appeared(tree.read(2.0)) == [root]


def test_conmon_and_mounts_below_a_pod_are_not_told(mount: Path, trees: Trees) -> None:
    slice_ = "kubepods.slice/kubepods-pod11111111_2222_4333_8444_555555555555.slice"
    make(mount, f"{slice_}/crio-conmon-{ID2}.scope/deeper")
    make(mount, f"{slice_}/run-x.mount")
    tree = trees()
    assert appeared(tree.scan(1.0)) == ["kubepods.slice", slice_]


def test_other_changes_in_a_watched_directory_are_not_told(mount: Path, trees: Trees) -> None:
    make(mount, CONTAINER)
    tree = trees()
    tree.scan(1.0)
    write(mount, POD, "some.file", "x")
    write(mount, CONTAINER, "memory.max", "1\n")
    write(mount, POD, "memory.current", "1\n")
    assert tree.read(2.0) == []


# --------------------------------------------------------------------------------------------------- other hierarchies


def test_nesting_without_end_is_followed_only_so_far(mount: Path, trees: Trees) -> None:
    make(mount, "/".join([CONTAINER, *("d" * 40)]))
    tree = trees("v1")
    depths = [path.count("/") for path in appeared(tree.scan(1.0))]
    assert max(depths) == 31


def test_on_v1_directories_are_told_and_no_file_is_watched(mount: Path, trees: Trees) -> None:
    make(mount, CONTAINER)
    tree = trees("v1")
    assert appeared(tree.scan(1.0)) == ["kubepods", "kubepods/burstable", POD, CONTAINER]
    assert tree.watches == 5, "the mount and these four"
    write(mount, CONTAINER, "memory.oom.group", "1\n")
    nested = make(mount, f"{CONTAINER}/docker")
    assert tree.read(2.0) == [CgroupAppeared(nested, 2.0)]


def test_the_descriptor_is_readable_when_there_is_something_to_tell(mount: Path, trees: Trees) -> None:
    import select

    make(mount, CONTAINER)
    tree = trees()
    tree.scan(1.0)
    assert select.select([tree.fileno()], [], [], 0)[0] == []
    write(mount, CONTAINER, "memory.oom.group", "1\n")
    assert select.select([tree.fileno()], [], [], 5)[0] == [tree.fileno()]


def test_no_inotify_instance_to_be_had_is_said_with_the_sysctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(nonblocking: bool) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(watches_module, "INotify", refused)
    files = CgroupFiles(tmp_path, "v2", check_magic=False)
    with pytest.raises(AgentError, match=r"sysctl fs\.inotify\.max_user_instances"):
        Tree(files)
    files.close()
