"""Word of changes: what appears, what goes, what is written; nothing missed, nothing told twice."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest

from agent.cgroup.files import CgroupFiles
from agent.cgroup.tree import Tree
from agent.model import CgroupAppeared, CgroupGone, CountersTouched, OomGroupTouched, TreeEvent, TreeOverflowed
from tests.unit.cgroup.fakes import CONTAINER, POD, make, remove


def appeared(events: list[TreeEvent]) -> list[str]:
    return [event.cgroup.path for event in events if isinstance(event, CgroupAppeared)]


def gone(events: list[TreeEvent]) -> list[str]:
    return [event.cgroup.path for event in events if isinstance(event, CgroupGone)]


def test_the_first_scan_finds_what_is_there_parents_first(mount: Path, tree: Tree) -> None:
    make(mount, CONTAINER)
    make(mount, "system.slice/cron.service")
    assert appeared(tree.scan(1.0)) == ["kubepods", "kubepods/burstable", POD, CONTAINER]
    assert set(tree.cgroups) == {"kubepods", "kubepods/burstable", POD, CONTAINER}
    assert [root.path for root in tree.roots] == ["kubepods"]
    assert tree.scan(2.0) == [], "a second one finds nothing new"


def test_a_container_made_later_is_told_with_its_writes(mount: Path, tree: Tree) -> None:
    make(mount, POD)
    tree.scan(1.0)
    cgroup = make(mount, CONTAINER)
    assert tree.read(2.0) == [CgroupAppeared(cgroup, 2.0)]
    (mount / CONTAINER / "memory.oom.group").write_text("1\n")
    assert tree.read(3.0) == [OomGroupTouched(cgroup, 3.0)], "two notifications of one write are told once"
    (mount / CONTAINER / "memory.events").write_text("oom_kill 1\n")
    assert tree.read(4.0) == [CountersTouched(cgroup, 4.0)]


def test_a_whole_root_made_later_is_found_level_by_level(mount: Path, tree: Tree) -> None:
    make(mount, "system.slice")
    tree.scan(1.0)
    make(mount, f"kubelet.slice/kubelet-{'kubepods.slice'}")
    make(mount, CONTAINER)
    found: list[str] = []
    while events := tree.read(2.0):
        found += appeared(events)
    assert sorted(found) == sorted(
        ["kubelet.slice/kubelet-kubepods.slice", "kubepods", "kubepods/burstable", POD, CONTAINER]
    )


def test_a_pod_removed_takes_its_containers_with_it_children_first(mount: Path, tree: Tree) -> None:
    make(mount, CONTAINER)
    tree.scan(1.0)
    watches = tree.watches
    remove(mount, POD)
    assert gone(tree.read(2.0)) == [CONTAINER, POD]
    assert tree.watches == watches - 6, "directory, knob and counters of both"
    assert POD not in tree.cgroups


def test_files_that_go_with_their_cgroup_are_not_touched(mount: Path, tree: Tree) -> None:
    """Newer kernels (7.2) tell of a cgroup's files, too, that they are gone: as tmpfs does here."""
    cgroup = make(mount, CONTAINER)
    tree.scan(1.0)
    watches = tree.watches
    shutil.rmtree(mount / CONTAINER)
    assert tree.read(2.0) == [CgroupGone(cgroup, 2.0)]
    assert tree.watches == watches - 3
    again = make(mount, CONTAINER)
    assert tree.read(3.0) == [CgroupAppeared(again, 3.0)]
    (mount / CONTAINER / "memory.oom.group").write_text("1\n")
    assert tree.read(4.0) == [OomGroupTouched(again, 4.0)]


def test_a_path_used_again_is_another_cgroup(mount: Path, tree: Tree) -> None:
    first = make(mount, CONTAINER)
    tree.scan(1.0)
    (mount / CONTAINER).rename(mount.parent / "kept")  # its inode stays in use: the next one is another
    second = make(mount, CONTAINER)
    assert first.inode != second.inode
    events = tree.read(2.0)
    assert events == [CgroupGone(first, 2.0), CgroupAppeared(second, 2.0)]
    (mount / CONTAINER / "memory.oom.group").write_text("1\n")
    assert tree.read(3.0) == [OomGroupTouched(second, 3.0)]


def test_a_scan_repairs_what_notifications_missed(mount: Path, tree: Tree) -> None:
    make(mount, CONTAINER)
    tree.scan(1.0)
    other = f"{POD}/{'b' * 64}"
    make(mount, other)
    remove(mount, CONTAINER)
    events = tree.scan(2.0)
    assert (gone(events), appeared(events)) == ([CONTAINER], [other])
    assert appeared(tree.read(3.0)) == [], "what the scan told is not told again"


def test_what_is_told_while_a_scan_looks_has_not_escaped_notice(mount: Path, tree: Tree) -> None:
    """The loop glances at the notifications between two directories of a scan: that of one which the scan found just before, too."""
    make(mount, POD)
    tree.scan(1.0)
    for name in "ab":
        make(mount, f"{POD}/{name * 64}")
    told: list[TreeEvent] = []

    def glance() -> None:
        if tree.containers(POD.rpartition("pod")[2]):
            told.extend(tree.read(2.0))

    found = appeared(tree.scan(2.0, glance))
    assert len(found) + len(appeared(told)) == 2
    assert found, "one of them the scan found first"
    assert tree.unnotified == set()


@pytest.mark.parametrize("moment", range(9))
def test_a_container_that_is_removed_in_the_middle_of_a_scan_is_gone_once(mount: Path, tree: Tree, moment: int) -> None:
    """The loop drains inotify before each directory of a scan: five that are known, then five to visit."""
    cgroup = make(mount, CONTAINER)
    tree.scan(1.0)
    events: list[TreeEvent] = []
    moments = iter(range(10))

    def between() -> None:
        if next(moments) == moment:
            remove(mount, CONTAINER)
        events.extend(tree.read(2.0))

    events += tree.scan(2.0, between)
    assert gone(events + tree.read(3.0)) == [cgroup.path]
    assert CONTAINER not in tree.cgroups


def test_cruns_child_is_told_and_a_workloads_own_cgroups_are_not(mount: Path, tree: Tree) -> None:
    make(mount, CONTAINER)
    tree.scan(1.0)
    child = make(mount, f"{CONTAINER}/container")
    make(mount, f"{CONTAINER}/init.scope/deeper")
    assert tree.read(2.0) == [CgroupAppeared(child, 2.0)]
    (mount / CONTAINER / "container" / "memory.oom.group").write_text("1\n")
    assert tree.read(3.0) == [OomGroupTouched(child, 3.0)]


def test_ancestors_knobs_are_watched_too(mount: Path, tree: Tree) -> None:
    make(mount, CONTAINER)
    tree.scan(1.0)
    (mount / POD / "memory.oom.group").write_text("1\n")
    (event,) = tree.read(2.0)
    assert isinstance(event, OomGroupTouched)
    assert event.cgroup.path == POD


def test_named_roots_are_the_only_ones_looked_into(mount: Path) -> None:
    make(mount, CONTAINER)
    make(mount, "kubelet/kubepods")
    tree = Tree(CgroupFiles(mount, "v2", check_magic=False), root_override=("/kubelet/kubepods",))
    assert appeared(tree.scan(1.0)) == ["kubelet/kubepods"]
    tree.close()


def test_an_overflow_of_the_queue_is_told(mount: Path, tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    from inotify_simple import Event, flags

    tree.scan(1.0)
    monkeypatch.setattr(tree._watches.inotify, "read", lambda timeout: [Event(-1, flags.Q_OVERFLOW, 0, "")])
    (event,) = tree.read(2.0)
    assert isinstance(event, TreeOverflowed)
    assert "fs.inotify.max_queued_events" in event.why


def test_reaching_the_limit_of_watches_is_told_once_and_mended_by_a_later_scan(
    mount: Path, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(mount, CONTAINER)
    real = tree._watches.inotify.add_watch

    def refuse(path: str, mask: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tree._watches.inotify, "add_watch", refuse)
    events = tree.scan(1.0)
    (overflow,) = [event for event in events if isinstance(event, TreeOverflowed)]
    assert "fs.inotify.max_user_watches" in overflow.why
    assert CONTAINER in appeared(events), "it is known all the same"
    monkeypatch.setattr(tree._watches.inotify, "add_watch", real)
    repaired = tree.scan(2.0)
    assert {type(event) for event in repaired} == {OomGroupTouched, CountersTouched}, (
        "what may have been missed is looked at"
    )
    assert CONTAINER in {event.cgroup.path for event in repaired if isinstance(event, OomGroupTouched)}
    assert tree.scan(3.0) == []


USERS = "user.slice/user-1000.slice/user@1000.service"


@pytest.fixture
def owned(monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies in user.slice is a user's, the rest is root's."""
    monkeypatch.setattr(CgroupFiles, "owner", lambda _, path: 1000 * path.startswith("user.slice"))


@pytest.mark.parametrize("first", ["users", "kubelets"])
@pytest.mark.usefixtures("owned")
def test_a_root_that_a_user_made_counts_only_where_the_kubelet_has_none(mount: Path, tree: Tree, first: str) -> None:
    make(mount, f"{USERS}/{CONTAINER}" if first == "users" else CONTAINER)
    tree.scan(1.0)
    make(mount, CONTAINER if first == "users" else f"{USERS}/{CONTAINER}")
    while tree.read(2.0):
        pass
    tree.scan(3.0)
    assert set(tree.cgroups) == {"kubepods", "kubepods/burstable", POD, CONTAINER}
    assert [cgroup.path for cgroup in tree.containers(POD.rpartition("pod")[2])] == [CONTAINER]
    assert tree.scan(4.0) == []


@pytest.mark.usefixtures("owned")
def test_a_kubelet_without_privileges_has_its_root_in_user_slice(mount: Path, tree: Tree) -> None:
    make(mount, f"{USERS}/{CONTAINER}")
    tree.scan(1.0)
    assert f"{USERS}/{CONTAINER}" in tree.cgroups


@pytest.mark.usefixtures("owned")
def test_a_directory_of_a_users_that_is_named_as_a_mismatched_container_is_none(mount: Path, tree: Tree) -> None:
    uid = POD.rpartition("pod")[2].replace("-", "_")
    name = f"kubepods-burstable-pod{uid}.slice:cri-containerd:{'b' * 64}"
    make(mount, CONTAINER)
    make(mount, f"{USERS}/{name}")
    make(mount, f"system.slice/{name}")
    tree.scan(1.0)
    assert f"{USERS}/{name}" not in tree.cgroups
    assert f"system.slice/{name}" in tree.cgroups, "as containerd makes it where its driver is not the kubelet's"


def test_of_two_at_one_level_that_claim_to_be_one_pod_the_newer_one_counts(mount: Path, tree: Tree) -> None:
    """Static pods keep their key over a change of the kubelet's cgroup driver, and the old driver's tree may be left."""
    key = POD.rpartition("pod")[2]
    burstable = "kubepods.slice/kubepods-burstable.slice"
    newer = f"{burstable}/kubepods-burstable-pod{key.replace('-', '_')}.slice/cri-containerd-{'a' * 64}.scope"
    make(mount, CONTAINER)
    tree.scan(1.0)
    make(mount, newer)
    while tree.read(2.0):
        pass
    tree.scan(3.0)
    assert [cgroup.path for cgroup in tree.containers(key)] == [newer]


@pytest.mark.parametrize("first", [CONTAINER, f"system.slice/x.service/{CONTAINER}"])
def test_of_two_cgroups_that_claim_to_be_one_pod_the_higher_one_counts(mount: Path, tree: Tree, first: str) -> None:
    make(mount, first)
    tree.scan(1.0)
    for path in (CONTAINER, f"system.slice/x.service/{CONTAINER}"):
        if path != first:
            make(mount, path)
    while tree.read(2.0):
        pass
    tree.scan(3.0)
    assert [cgroup.path for cgroup in tree.containers(POD.rpartition("pod")[2])] == [CONTAINER]
