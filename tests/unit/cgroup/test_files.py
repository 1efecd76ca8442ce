"""The opener of control files: writes one file only, where it may, and never through a link."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from agent.cgroup.files import CgroupError, CgroupFiles, NotACgroupMountError
from agent.cgroup.layout import classify
from agent.model import VANISHED, Cgroup, MemoryEvents, WriteOutcome
from tests.unit.cgroup.fakes import CONTAINER, POD, make, remove


def knob(mount: Path, path: str = CONTAINER) -> Path:
    return mount / path / "memory.oom.group"


def test_an_ordinary_directory_is_refused_as_a_cgroup_mount(mount: Path) -> None:
    with pytest.raises(NotACgroupMountError, match="--cgroup-mount"):
        CgroupFiles(mount, "v2")


def test_a_different_value_is_written_and_read_back(mount: Path, files: CgroupFiles) -> None:
    cgroup = make(mount, CONTAINER, memory__oom__group="1\n")
    write = files.set_oom_group(cgroup, 0)
    assert (write.outcome, write.before) == (WriteOutcome.WRITTEN, 1)
    assert knob(mount).read_text().startswith("0")
    assert files.read_oom_group(cgroup) == 0


def test_what_is_about_to_be_changed_is_told_first(mount: Path, files: CgroupFiles) -> None:
    cgroup = make(mount, CONTAINER, memory__oom__group="1\n")
    heard: list[tuple[int, str]] = []
    files.set_oom_group(cgroup, 0, lambda before: heard.append((before, knob(mount).read_text())))
    files.set_oom_group(cgroup, 0, lambda before: heard.append((before, "nothing changes")))
    assert heard == [(1, "1\n")]


def test_the_right_value_is_left_alone(mount: Path, files: CgroupFiles) -> None:
    cgroup = make(mount, CONTAINER)
    before = knob(mount).stat().st_mtime_ns
    assert files.set_oom_group(cgroup, 0).outcome is WriteOutcome.ALREADY
    assert knob(mount).stat().st_mtime_ns == before


def test_a_plan_says_what_would_be_and_writes_nothing(mount: Path, files: CgroupFiles) -> None:
    cgroup = make(mount, CONTAINER, memory__oom__group="1\n")
    assert files.plan_oom_group(cgroup, 0).outcome is WriteOutcome.DRY_RUN
    assert files.plan_oom_group(cgroup, 1).outcome is WriteOutcome.ALREADY
    assert knob(mount).read_text() == "1\n"


@pytest.mark.parametrize("path", [POD, "kubepods", "kubepods/burstable", "system.slice"])
def test_anything_but_a_containers_cgroup_is_never_written(mount: Path, files: CgroupFiles, path: str) -> None:
    cgroup = make(mount, path)
    with pytest.raises(ValueError, match="not ours to write"):
        files.set_oom_group(cgroup, 1)


@pytest.mark.parametrize("value", [2, -1])
def test_only_0_and_1_are_written(mount: Path, files: CgroupFiles, value: int) -> None:
    with pytest.raises(ValueError, match="0 or 1"):
        files.set_oom_group(make(mount, CONTAINER), value)


def test_a_link_in_the_knobs_place_is_not_followed(mount: Path, files: CgroupFiles, tmp_path: Path) -> None:
    cgroup = make(mount, CONTAINER)
    victim = tmp_path / "shadow"
    victim.write_text("1")
    knob(mount).unlink()
    knob(mount).symlink_to(victim)
    assert files.set_oom_group(cgroup, 0).outcome not in (WriteOutcome.WRITTEN, WriteOutcome.ALREADY)
    assert victim.read_text() == "1"


def test_a_link_in_a_directorys_place_is_not_followed(mount: Path, files: CgroupFiles, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    make(mount, POD)
    elsewhere.mkdir()
    (elsewhere / "memory.oom.group").write_text("1")
    (mount / CONTAINER).symlink_to(elsewhere)
    cgroup = Cgroup(classify(CONTAINER), elsewhere.stat().st_ino)
    assert files.set_oom_group(cgroup, 0).outcome is WriteOutcome.GONE
    assert (elsewhere / "memory.oom.group").read_text() == "1"


def test_a_device_in_the_knobs_place_is_not_written(mount: Path, files: CgroupFiles) -> None:
    cgroup = make(mount, CONTAINER)
    knob(mount).unlink()
    os.mkfifo(knob(mount))
    assert files.set_oom_group(cgroup, 0).outcome is WriteOutcome.DENIED


def test_a_path_that_is_another_cgroups_now_is_gone(mount: Path, files: CgroupFiles) -> None:
    cgroup = make(mount, CONTAINER, memory__oom__group="1\n")
    stale = replace(cgroup, inode=cgroup.inode + 1)
    assert files.set_oom_group(stale, 0).outcome is WriteOutcome.GONE
    assert files.read_oom_group(stale) is VANISHED
    assert knob(mount).read_text() == "1\n"


def test_a_vanished_cgroup_is_a_value_and_no_error(mount: Path, files: CgroupFiles) -> None:
    cgroup = make(mount, CONTAINER)
    remove(mount, CONTAINER)
    assert files.set_oom_group(cgroup, 1).outcome is WriteOutcome.GONE
    assert files.memory_events(cgroup) is VANISHED
    assert files.limit_bytes(cgroup) is VANISHED
    assert files.pids(cgroup) is VANISHED
    assert files.populated(cgroup) is VANISHED
    assert files.children(CONTAINER) is VANISHED


def test_a_kernel_without_the_knob_kills_single_processes_anyway_and_can_do_no_other(
    mount: Path, files: CgroupFiles
) -> None:
    cgroup = make(mount, CONTAINER)
    knob(mount).unlink()
    assert files.read_oom_group(cgroup) == 0
    assert files.set_oom_group(cgroup, 0).outcome is WriteOutcome.ALREADY
    write = files.set_oom_group(cgroup, 1)
    assert write.outcome is WriteOutcome.UNSUPPORTED
    assert "4.19" in write.detail
    assert not knob(mount).exists()


def test_a_cgroup_whose_memory_controller_is_not_enabled_yet_is_not_an_old_kernel(
    mount: Path, files: CgroupFiles
) -> None:
    """crun makes <scope>/container first and enables its controllers then (measured, crun 1.28 under systemd)."""
    cgroup = make(mount, CONTAINER, cgroup__controllers="cpu\n")
    knob(mount).unlink()
    assert files.set_oom_group(cgroup, 0).outcome is WriteOutcome.ALREADY
    assert files.set_oom_group(cgroup, 1).outcome is WriteOutcome.NO_CONTROLLER
    assert files.plan_oom_group(cgroup, 1).outcome is WriteOutcome.NO_CONTROLLER


def test_an_unreadable_file_is_an_error_that_says_what_and_where(mount: Path, files: CgroupFiles) -> None:
    cgroup = make(mount, CONTAINER)
    (mount / CONTAINER / "memory.max").unlink()
    (mount / CONTAINER / "memory.max").mkdir()
    with pytest.raises(CgroupError) as error:
        files.limit_bytes(cgroup)
    assert str(error.value).startswith(f"memory.max of cgroup {CONTAINER}: Is a directory; ")


def test_counters_are_read_whatever_keys_the_kernel_has(mount: Path, files: CgroupFiles) -> None:
    events = "low 0\noom 3\noom_kill 4\noom_group_kill 1\nsock_throttled 9\nodd line here\n"
    cgroup = make(mount, CONTAINER, memory__events=events, memory__events__local="oom 2\noom_kill 4\n")
    assert files.memory_events(cgroup) == MemoryEvents(oom_kill=4, oom=3, oom_group_kill=1, local_oom=2)


def test_counters_of_an_old_kernel_lack_group_kills_and_local_ones(mount: Path, files: CgroupFiles) -> None:
    cgroup = make(mount, CONTAINER, memory__events="low 0\nhigh 0\nmax 0\noom 1\noom_kill 1\n")
    (mount / CONTAINER / "memory.events.local").unlink()
    assert files.memory_events(cgroup) == MemoryEvents(oom_kill=1, oom=1, oom_group_kill=None, local_oom=None)


def test_limits_and_sizes_are_numbers_or_none(mount: Path, files: CgroupFiles) -> None:
    cgroup = make(mount, CONTAINER, memory__max="268435456\n", memory__current="4096\n")
    assert (files.limit_bytes(cgroup), files.usage_bytes(cgroup), files.peak_bytes(cgroup)) == (268435456, 4096, None)
    assert files.limit_bytes(make(mount, POD)) is None


def test_processes_of_nested_cgroups_are_the_containers_too(mount: Path, files: CgroupFiles) -> None:
    cgroup = make(mount, CONTAINER, cgroup__procs="10\n0\n11\n")
    make(mount, f"{CONTAINER}/inner", cgroup__procs="12\n")
    assert files.pids(cgroup) == (10, 0, 11, 12)
    assert files.populated(cgroup) is True


def test_v1_has_its_own_files_and_no_knob(mount: Path) -> None:
    files = CgroupFiles(mount, "v1", check_magic=False)
    cgroup = make(
        mount,
        CONTAINER,
        memory__oom_control="oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
        memory__limit_in_bytes="9223372036854771712\n",
        memory__usage_in_bytes="7\n",
        memory__max_usage_in_bytes="8\n",
    )
    assert files.memory_events(cgroup) == MemoryEvents(oom_kill=2)
    assert (files.limit_bytes(cgroup), files.usage_bytes(cgroup), files.peak_bytes(cgroup)) == (None, 7, 8)
    knob(mount).unlink()
    assert files.read_oom_group(cgroup) == 0
    assert files.set_oom_group(cgroup, 0).outcome is WriteOutcome.ALREADY
    assert files.set_oom_group(cgroup, 1).outcome is WriteOutcome.UNSUPPORTED
    files.close()


@pytest.mark.parametrize("path", ["kubepods/../etc", "./kubepods", "kubepods//pod"])
def test_a_path_that_could_lead_elsewhere_is_refused(mount: Path, files: CgroupFiles, path: str) -> None:
    make(mount, POD)
    with pytest.raises(ValueError, match="no path of a cgroup"):
        files.inode(path)
