"""The node on a bad day: what is refused, fought over, unreadable, late or wrong is said once, and the rest goes on."""

from __future__ import annotations

import errno
import os
from collections.abc import Sized
from dataclasses import replace
from pathlib import Path

import pytest

from agent.cgroup.errors import CgroupError
from agent.metrics.series import KEEP_S
from agent.model import MODE_LABEL, Cgroup, PodDeleted, PodSkipped, Scope, TreeOverflowed, WatchTrouble
from agent.modes.enforcer import CONFLICT_REWRITES, CONFLICT_WINDOW_S, CORRECT_EVERY_S
from tests.unit.cgroup.fakes import FILES, make, remove
from tests.unit.loop.world import CONTAINER, ID, MODE, POD, UID, World, pod

OTHER_UID = "0" * 8 + UID[8:]
OTHER = f"kubepods/burstable/pod{OTHER_UID}/{'b' * 64}"
LABELS = 'container="main",namespace="default",pod="herder-1"'


def refuse_writing(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """The kernel refuses to open anything for writing; root in a test would be let through."""
    real = os.open

    def refusing(path: str, flags: int, *rest: int, dir_fd: int | None = None) -> int:
        if flags & (os.O_RDWR | os.O_WRONLY) and path == "memory.oom.group":
            raise OSError(code, os.strerror(code))
        return real(path, flags, *rest, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", refusing)


def test_a_write_that_is_refused_is_told_once_with_what_to_do(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.told(pod({MODE: "single"}))
    world.make()
    world.posted.clear()
    refuse_writing(monkeypatch, errno.EROFS)
    for _ in range(3):
        (world.mount / CONTAINER / "memory.oom.group").write_text("1\n")
        world.turn()
    assert world.reasons() == ["OOMModeFailed"]
    assert "read-write" in world.posted[0].note
    assert world.metric('oomward_oom_group_writes_total{outcome="denied"}') == 3
    monkeypatch.undo()


def test_somebody_who_keeps_rewriting_slows_us_down_is_told_of_and_then_we_recover(world: World) -> None:
    world.told(pod({MODE: "single"}))
    world.make(knob=1)
    world.posted.clear()
    for _ in range(CONFLICT_REWRITES + 1):
        world.write(CONTAINER, 1)
    assert world.reasons() == ["OOMModeFailed"]
    assert world.metric("oomward_write_conflicts_total") == 1
    world.write(CONTAINER, 1)
    assert world.knob() == 1, "we wait"
    assert world.node.due_s() == world.now + CORRECT_EVERY_S
    world.turn(after_s=CORRECT_EVERY_S)
    assert world.knob() == 0
    for _ in range(int(CONFLICT_WINDOW_S) + 2):
        world.turn(after_s=CORRECT_EVERY_S)
    assert world.node.due_s() is None
    world.write(CONTAINER, 1)
    assert world.knob() == 0, "at once again"
    assert len(world.posted) == 1


def test_drift_is_counted_and_the_runtimes_own_write_at_the_start_is_none(world: World) -> None:
    world.told(pod({MODE: "single"}, ids={"main": None}))
    world.make(knob=1)
    assert world.metric("oomward_drift_corrections_total") == 0
    world.write(CONTAINER, 1)
    assert world.metric("oomward_drift_corrections_total") == 1


def test_group_on_cgroup_v1_is_told_once_and_single_is_already_so(tmp_path: Path) -> None:
    world = World(tmp_path, version="v1")
    make(world.mount, CONTAINER, memory__usage_in_bytes="0\n")
    (world.mount / CONTAINER / "memory.oom.group").unlink()  # v1 has none
    world.turn()
    world.told(pod({MODE: "single"}))
    assert world.reasons() == ["OOMModeApplied"]
    labels = '{container="main",namespace="default",pod="herder-1"}'
    assert world.metric(f"oomward_container_oom_group{labels}") == 0
    assert world.metric(f"oomward_container_oom_group_desired{labels}") == 0
    for _ in range(2):
        world.told(pod({MODE: "group"}))
    assert world.reasons() == ["OOMModeApplied", "OOMModeFailed"]
    assert "cgroup v1" in world.posted[1].note
    assert world.metric(f"oomward_container_oom_group{labels}") == 0
    assert world.metric(f"oomward_container_oom_group_desired{labels}") == 1
    assert not (world.mount / CONTAINER / "memory.oom.group").exists()
    world.end()


def test_a_static_pod_is_held_by_its_config_hash(world: World) -> None:
    path = f"kubepods/burstable/pod{'c' * 32}/{ID}"
    world.told(replace(pod({MODE: "single"}), config_hash="c" * 32))
    world.make(path, knob=1)
    assert world.knob(path) == 0


def test_two_pods_of_one_name_are_told_apart_by_their_cgroups(world: World) -> None:
    world.told(pod({MODE: "single"}))
    world.told(replace(pod(ids={"main": "b" * 64}), uid=OTHER_UID))
    world.make(knob=1)
    world.make(OTHER, knob=1)
    assert (world.knob(), world.knob(OTHER)) == (0, 1)


def test_an_annotation_for_no_container_is_told_and_harms_no_other(world: World) -> None:
    world.told(pod({MODE: "single"}, {"mode.oomward.dev/mian": "group"}))
    world.make(knob=1)
    assert world.knob() == 0
    assert world.posted[0].reason.value == "OOMModeInvalid"
    assert "no container of that name" in world.posted[0].note


@pytest.mark.parametrize("value", ["x" * 63, "", "single ", "0", "GROUPS", "é" * 20, "\x1b[2J"])
def test_an_odd_label_leaves_the_pod_alone_and_is_said_safely(world: World, value: str) -> None:
    world.told(pod({MODE: value}))
    world.make(knob=1)
    assert world.knob() == 1
    (notice,) = world.posted
    assert MODE_LABEL in notice.note
    assert notice.note.isprintable()


def test_a_label_that_is_corrected_takes_effect_at_once(world: World) -> None:
    world.told(pod({MODE: "singel"}))
    world.make(knob=1)
    world.told(pod({MODE: "single"}))
    assert world.knob() == 0
    world.told(pod({MODE: "group"}))
    assert world.knob() == 1
    assert world.reasons() == ["OOMModeInvalid", "OOMModeApplied", "OOMModeApplied"]


def test_a_relist_that_no_longer_has_the_label_gives_the_first_value_back(world: World) -> None:
    world.listed(pod({MODE: "single"}))
    world.make(knob=1)
    assert world.knob() == 0
    world.listed(pod())
    assert world.knob() == 1


def test_a_pod_that_a_list_could_not_read_is_held_on(world: World) -> None:
    world.listed(pod({MODE: "single"}))
    world.make(knob=1)
    world.listed(skipped=(UID,))
    world.write(CONTAINER, 1)
    assert world.knob() == 0


def test_a_deleted_pods_containers_are_held_until_they_are_gone(world: World) -> None:
    """They get the time of their grace period after the API has forgotten them, at times."""
    world.told(pod({MODE: "single"}))
    world.make(knob=1)
    world.node.message(PodDeleted(UID), world.now)
    world.write(CONTAINER, 1)
    assert world.knob() == 0


def test_a_deleted_pods_decisions_and_series_end_in_time(world: World) -> None:
    world.told(pod({MODE: "single"}, ids={"main": None}))
    world.make(knob=1)
    world.told(pod({MODE: "single"}))
    assert len(world.ledger.kept_decisions()) == 1
    assert world.metric(f"oomward_container_oom_group{{{LABELS}}}") == 0
    world.remove(POD)
    world.node.message(PodDeleted(UID), world.now)
    world.node.housekeeping(world.now + KEEP_S + 1)
    assert world.ledger.kept_decisions() == ()
    assert world.metric(f"oomward_container_oom_group{{{LABELS}}}") is None


def test_a_pod_that_was_deleted_while_no_agent_ran_is_forgotten(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.told(pod({MODE: "single"}, ids={"main": None}))
    world.make(knob=1)
    world.told(pod({MODE: "single"}))
    world.end()
    world.begin()
    world.remove(POD)
    world.listed()
    world.node.housekeeping(world.now + 1000)
    assert world.ledger.kept_decisions() == ()
    world.end()


def test_the_series_of_a_container_tell_actual_and_wanted(world: World) -> None:
    world.make(knob=1)
    world.told(pod())
    assert world.metric(f"oomward_container_oom_group{{{LABELS}}}") == 1
    assert world.metric(f"oomward_container_oom_group_desired{{{LABELS}}}") is None
    world.told(pod({MODE: "single"}))
    assert world.metric(f"oomward_container_oom_group{{{LABELS}}}") == 0
    assert world.metric(f"oomward_container_oom_group_desired{{{LABELS}}}") == 0


def test_the_series_of_a_container_nobody_asked_for_follow_its_knob(world: World) -> None:
    world.told(pod())
    world.make()
    assert world.metric(f"oomward_container_oom_group{{{LABELS}}}") == 0
    world.write(CONTAINER, 1)
    assert world.metric(f"oomward_container_oom_group{{{LABELS}}}") == 1


def test_a_mode_that_can_not_be_put_in_force_shows_in_the_metrics(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.told(pod({MODE: "single"}))
    world.make()
    refuse_writing(monkeypatch, errno.EROFS)
    (world.mount / CONTAINER / "memory.oom.group").write_text("1\n")
    world.turn()
    found = world.metric(f"oomward_container_oom_group{{{LABELS}}}")
    monkeypatch.undo()
    assert found == 1


def test_no_announcement_where_it_is_turned_off(tmp_path: Path) -> None:
    world = World(tmp_path, announce=False)
    world.told(pod({MODE: "single"}))
    world.make(knob=1)
    assert world.knob() == 0
    assert world.posted == []
    world.end()


def test_a_mode_is_not_announced_before_it_is_in_force(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.make(knob=1)
    refuse_writing(monkeypatch, errno.EACCES)
    world.told(pod({MODE: "single"}))
    monkeypatch.undo()
    assert world.reasons() == ["OOMModeFailed"]


def test_a_container_that_vanishes_before_its_write_is_nothing_more(world: World) -> None:
    world.told(pod({MODE: "single"}, ids={"main": None}))
    world.make()
    (world.mount / CONTAINER / "memory.oom.group").write_text("1\n")
    world.remove(CONTAINER)
    assert world.posted == []
    assert world.ledger.originals() == ()
    world.make(knob=1)
    assert world.knob() == 0, "the same path again is another cgroup"


def test_an_object_that_could_not_be_read_is_counted_and_said(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.node.message(PodSkipped("pod default/odd", "metadata.uid is missing"), world.now)
    assert world.metric("oomward_pods_skipped_total") == 1
    assert "pod default/odd could not be read and is left as it was: metadata.uid is missing" in caplog.text


def test_every_restart_of_the_watch_is_counted_by_reason(world: World) -> None:
    for reason in ("timeout", "gone", "gone"):
        world.node.message(WatchTrouble(reason, "why"), world.now)
    assert world.metric('oomward_pod_watch_restarts_total{reason="gone"}') == 2
    assert world.metric('oomward_pod_watch_restarts_total{reason="timeout"}') == 1


def test_a_resync_with_nothing_amiss_repairs_nothing(world: World) -> None:
    world.told(pod({MODE: "single"}))
    world.make(knob=1)
    for _ in range(3):
        world.node.resync(world.now)
    assert world.metric("oomward_resync_corrections_total") == 0


def test_a_full_look_asks_no_cgroup_below_a_container_for_counters(world: World) -> None:
    """crun makes ``container`` first and enables the memory controller for it a moment later."""
    world.make()
    world.make(f"{CONTAINER}/container")
    for file in (world.mount / CONTAINER / "container").glob("memory.*"):
        file.unlink()
    (world.mount / CONTAINER / "container" / "cgroup.controllers").write_text("\n")
    world.node.resync(world.now)
    assert world.metric("oomward_cgroup_errors_total") == 0


def test_a_resync_repairs_what_no_notification_told_of_and_counts_it(world: World) -> None:
    world.told(pod({MODE: "single"}))
    world.make(knob=1)
    (world.mount / CONTAINER / "memory.oom.group").write_text("1\n")
    world.tree.read(world.now)  # lost
    world.node.resync(world.now)
    assert world.knob() == 0
    assert world.metric("oomward_resync_corrections_total") == 1


def test_what_a_notification_still_in_the_queue_tells_of_is_no_repair_of_the_resync(world: World) -> None:
    """A full look in the midst of things: the queue behind it tells of a new cgroup, one that went, and a write."""
    world.told(pod({MODE: "single"}))
    world.make(knob=1)
    (world.mount / CONTAINER / "memory.oom.group").write_text("1\n")
    make(world.mount, f"{POD}/{'b' * 64}")
    world.node.resync(world.now)
    remove(world.mount, f"{POD}/{'b' * 64}")
    world.node.resync(world.now)
    assert world.knob() == 0
    assert world.metric("oomward_drift_corrections_total") == 1
    assert world.metric("oomward_resync_corrections_total") == 0
    assert world.metric("oomward_resyncs_total") == 2


def test_a_write_that_the_kernel_tells_of_a_moment_after_it_is_seen_is_no_repair_of_the_resync(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """fs/read_write.c, vfs_write: the file is written first and told of then; on a busy node the writer may stop in between."""
    world.told(pod({MODE: "single"}))
    world.make(knob=1)
    knob = world.mount / CONTAINER / "memory.oom.group"
    knob.write_text("1\n")
    world.tree.read(world.now)
    monkeypatch.setattr("agent.loop.node.time.sleep", lambda seconds: knob.write_text("1\n"))
    world.node.resync(world.now)
    assert world.knob() == 0
    assert world.metric("oomward_drift_corrections_total") == 1
    assert world.metric("oomward_resync_corrections_total") == 0


def test_a_cgroup_that_no_notification_told_of_is_found_by_the_resync_and_counted(world: World) -> None:
    world.told(pod({MODE: "single"}))
    world.make(knob=1)
    make(world.mount, f"{POD}/{'b' * 64}")
    os.read(world.tree.fileno(), 65536)  # lost
    world.node.resync(world.now)
    assert world.metric("oomward_resync_corrections_total") == 1


def test_an_overflow_is_counted_and_finds_cgroups_and_kills_that_were_missed(world: World) -> None:
    world.told(pod({MODE: "single"}))
    world.make(knob=1)
    world.kill_unseen()
    world.tree.read(world.now)  # lost
    world.node.tree_events([TreeOverflowed("lost", world.now)], world.now)
    world.turn(after_s=0.1)
    assert world.metric("oomward_inotify_overflows_total") == 1
    assert len(world.ledger.kills()) == 1


def test_a_pod_whose_container_restarts_again_and_again_leaves_nothing_behind(world: World) -> None:
    """Each instance is announced once; that it was goes with the instance, not with the pod."""

    def restart(number: int) -> int:
        """How much is remembered afterwards."""
        name = f"{number:064x}"
        world.told(pod({MODE: "single"}, ids={"main": name}))
        world.make(f"{POD}/{name}", knob=1)
        assert world.knob(f"{POD}/{name}") == 0
        world.remove(f"{POD}/{name}")
        parts = (world.node.modes, world.node.modes.notices)
        return sum(len(each) for part in parts for each in vars(part).values() if isinstance(each, Sized))

    restart(0)
    few = restart(1)
    announced = len(world.posted)
    assert {restart(number) for number in range(2, 50)} == {few}
    assert len(world.posted) == announced + 48, "each instance once"


def test_a_container_whose_first_reading_fails_has_its_kills_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too many open files for a moment, or a memory controller that is enabled after the cgroup was created."""
    world = World(tmp_path, kmsg=False, announce=False)
    other = f"{POD}/{'b' * 64}"
    world.told(pod({MODE: "single"}, ids={"main": ID, "side": "b" * 64}))
    world.make(other, knob=1)
    real, failures = world.files.memory_events, 1

    def once(cgroup: Cgroup) -> object:
        nonlocal failures
        if cgroup.path == CONTAINER and failures:
            failures -= 1
            raise CgroupError(cgroup.path, "memory.events", OSError(errno.ENFILE, "Too many open files in system"))
        return real(cgroup)

    monkeypatch.setattr(world.files, "memory_events", once)
    world.make(knob=1)
    world.turn(1.0)
    for _ in range(3):
        world.kill()
        world.turn(2.0)
    assert failures == 0
    assert [kill.container for kill in world.ledger.kills()] == ["main"] * 3
    world.end()


def test_a_pod_that_cannot_be_read_is_counted_each_time_and_logged_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        world.node.message(PodSkipped("pod default/large", "it is larger than 10485760 bytes"), world.now)
    world.node.message(PodSkipped("7 more objects", "as with those before", 7), world.now)
    assert world.metric("oomward_pods_skipped_total") == 10
    assert [record.message for record in caplog.records if "large could" in record.message] == [
        "pod default/large could not be read and is left as it was: it is larger than 10485760 bytes"
    ]


def test_a_memory_controller_that_is_switched_off_and_on_costs_neither_the_mode_nor_a_kill(world: World) -> None:
    """All values and counters below begin again."""
    make(world.mount, POD, cgroup__subtree_control="memory\n")
    world.told(pod({MODE: "single"}))
    world.make(knob=1)
    for _ in range(3):
        world.kill()
        world.turn(after_s=0.1)
    assert len(world.ledger.kills()) == 3
    for file in ("memory.oom.group", "memory.events", "memory.events.local"):
        (world.mount / CONTAINER / file).rename(world.mount.parent / file)
    (world.mount / POD / "cgroup.subtree_control").write_text("")
    world.turn()
    for file in ("memory.events", "memory.events.local"):
        (world.mount / CONTAINER / file).write_text("oom 0\noom_kill 0\noom_group_kill 0\n")
    (world.mount / CONTAINER / "memory.oom.group").write_text("1\n")
    (world.mount / POD / "cgroup.subtree_control").write_text("memory\n")
    world.turn(after_s=1.0)
    assert world.knob() == 0, "at once"
    assert world.metric("oomward_drift_corrections_total") == 1
    for _ in range(2):
        world.kill()
        world.turn(after_s=1.0)
    kills = world.ledger.kills()
    assert [(kill.container, kill.processes, kill.scope) for kill in kills] == [("main", 1, Scope.CONTAINER)] * 5
    assert world.metric("oomward_cgroup_errors_total") == 0
    world.node.resync(world.now)
    assert world.metric("oomward_resync_corrections_total") == 0


def test_a_pod_whose_cgroup_is_there_before_its_controllers_is_no_error(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """crun with the cgroupfs driver makes the pod's cgroup first and switches its controllers on then."""
    make(world.mount, "kubepods/burstable", cgroup__subtree_control="")
    bare = world.mount.parent / "bare"
    bare.mkdir()
    (bare / "cgroup.controllers").write_text("cpu\n")
    bare.rename(world.mount / POD)
    world.turn()
    assert (world.metric("oomward_cgroup_errors_total"), caplog.text) == (0, "")
    (world.mount / POD / "cgroup.controllers").write_text("cpu memory\n")
    for file in ("memory.oom.group", "memory.events", "memory.events.local", "memory.max"):
        (world.mount / POD / file).write_text(FILES[file])
    (world.mount / "kubepods/burstable/cgroup.subtree_control").write_text("memory\n")
    world.turn()
    world.told(pod({MODE: "single"}))
    world.make(knob=1)
    world.kill()
    world.turn(after_s=0.1)
    assert len(world.ledger.kills()) == 1
    assert (world.metric("oomward_cgroup_errors_total"), caplog.text.count("memory.events")) == (0, 0)


def test_a_pod_that_never_gets_the_memory_controller_is_an_error_at_the_full_resync(world: World) -> None:
    bare = world.mount.parent / "bare"
    bare.mkdir()
    (bare / "cgroup.controllers").write_text("cpu\n")
    make(world.mount, "kubepods/burstable")
    bare.rename(world.mount / POD)
    world.turn()
    assert world.metric("oomward_cgroup_errors_total") == 0
    world.node.resync(world.now)
    assert world.metric("oomward_cgroup_errors_total") == 1
