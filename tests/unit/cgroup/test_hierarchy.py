"""Where the memory controller is, and where its kubepods roots lie."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.cgroup import layout
from agent.cgroup.layout import Hierarchy, NoMemoryHierarchyError, find_hierarchy, may_hold_roots
from tests.unit.cgroup.layouts import NAMES

UID, ID, ID2 = NAMES["uid"], NAMES["id"], NAMES["id2"]


def mountinfo(mount: Path | str, options: str) -> str:
    return (
        "22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw\n"
        f"33 22 0:27 / {mount} rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 {options}\n"
        "34 22 0:28 / /elsewhere rw - cgroup2 cgroup2 rw,memory_localevents\n"
    )


def v2(mount: Path, controllers: str = "cpuset cpu io memory pids") -> Path:
    mount.mkdir(parents=True, exist_ok=True)
    (mount / "cgroup.controllers").write_text(controllers + "\n")
    return mount


def v1(mount: Path) -> Path:
    (mount / "memory").mkdir(parents=True)
    (mount / "memory" / "cgroup.procs").touch()
    return mount


def test_a_v2_mount_with_the_memory_controller_is_found(tmp_path: Path) -> None:
    found = find_hierarchy(v2(tmp_path), mountinfo(tmp_path, "rw,nsdelegate"))
    assert found == Hierarchy("v2", tmp_path, hybrid=False, local_events=False)


def test_memory_localevents_is_read_from_this_mounts_options_and_no_others(tmp_path: Path) -> None:
    v2(tmp_path)
    assert find_hierarchy(tmp_path, mountinfo(tmp_path, "rw,nsdelegate,memory_localevents")).local_events
    assert not find_hierarchy(tmp_path, mountinfo(tmp_path, "rw,memory_recursiveprot")).local_events
    assert not find_hierarchy(tmp_path, "").local_events
    assert not find_hierarchy(tmp_path, "garbage\n1 2 3 - cgroup2\n").local_events


def test_the_last_of_two_mounts_at_one_place_is_the_one_that_counts(tmp_path: Path) -> None:
    text = mountinfo(tmp_path, "rw,memory_localevents") + mountinfo(tmp_path, "rw")
    assert not find_hierarchy(v2(tmp_path), text).local_events


def test_a_blank_in_the_mounts_path_is_understood(tmp_path: Path) -> None:
    mount = v2(tmp_path / "host cgroup")
    text = mountinfo(str(mount).replace(" ", "\\040"), "rw,memory_localevents")
    assert find_hierarchy(mount, text).local_events


def test_without_a_text_the_processs_own_mountinfo_is_read(tmp_path: Path) -> None:
    assert not find_hierarchy(v2(tmp_path)).local_events


def test_mounts_of_names_that_are_no_text_hide_no_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a tenant's subPath: the kernel escapes blanks of such a name only."""
    mount, text = v2(tmp_path / "cgroup\udcff"), tmp_path / "mountinfo"
    line = mountinfo(mount, "rw,memory_localevents")
    text.write_bytes(b"44 22 8:1 /pods/\xff /volume rw - ext4 /dev/sda1 rw\n" + os.fsencode(line))
    monkeypatch.setattr(layout, "MOUNTINFO", text)
    assert find_hierarchy(mount).local_events


def test_only_the_kernels_own_blanks_part_the_fields_of_a_mount(tmp_path: Path) -> None:
    """A cgroup may have a no-break space in its name, which the kernel does not escape."""
    text = mountinfo(v2(tmp_path), "rw,memory_localevents").replace("0:27 / ", "0:27 /a\u00a0b ")
    assert find_hierarchy(tmp_path, text).local_events


def test_v1_is_found_below_memory(tmp_path: Path) -> None:
    found = find_hierarchy(v1(tmp_path), "")
    assert found == Hierarchy("v1", tmp_path / "memory", hybrid=False, local_events=False)


def test_a_hybrid_node_keeps_memory_on_v1(tmp_path: Path) -> None:
    v2(v1(tmp_path) / "unified", "")
    assert find_hierarchy(tmp_path, "") == Hierarchy("v1", tmp_path / "memory", hybrid=True, local_events=False)


def test_a_hybrid_node_may_have_memory_on_v2(tmp_path: Path) -> None:
    unified = v2(tmp_path / "unified", "memory")
    found = find_hierarchy(tmp_path, mountinfo(unified, "rw,memory_localevents"))
    assert found == Hierarchy("v2", unified, hybrid=True, local_events=True)


def test_a_cgroup_that_is_called_unified_does_not_make_a_v2_node_hybrid(tmp_path: Path) -> None:
    v2(v2(tmp_path) / "unified")
    assert find_hierarchy(tmp_path, "") == Hierarchy("v2", tmp_path, hybrid=False, local_events=False)


def test_a_v2_mount_without_the_memory_controller_is_refused_with_what_it_has(tmp_path: Path) -> None:
    with pytest.raises(
        NoMemoryHierarchyError, match=r"without the memory controller \(it has: cpu pids\).*cgroup_disable"
    ):
        find_hierarchy(v2(tmp_path, "cpu pids"), "")


def test_no_cgroups_at_all_are_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NoMemoryHierarchyError, match=r"neither cgroup.controllers.*--cgroup-mount"):
        find_hierarchy(tmp_path / "nothing", "")


# ----------------------------------------------------------------------------------------------------------- roots


def test_directories_that_may_yet_hold_a_root_are_those_outside_of_any_and_not_too_deep() -> None:
    assert may_hold_roots("kubelet")
    assert may_hold_roots(f"system.slice/docker-{ID2}.scope")
    assert may_hold_roots("a/b", 3)
    assert not may_hold_roots("a/b/c", 3)
    assert not may_hold_roots("kubepods")
    assert not may_hold_roots(f"kubepods/pod{UID}/{ID}/docker")
