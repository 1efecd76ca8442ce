"""The node's behaviour, with the real rooms around it: who gets which value when, and what is told of it."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

import pytest

from agent.ledger.store import Store
from agent.loop.node import ThreadDiedError
from agent.model import (
    LabelSelector,
    Mode,
    Operator,
    Outcome,
    Pod,
    PodChanged,
    PodDeleted,
    Requirement,
    Rule,
    Rules,
    StateAsked,
    ThreadDied,
    TreeEvent,
    TreeOverflowed,
)
from agent.pods.state import NodeState
from tests.unit.cgroup.fakes import remove
from tests.unit.loop.world import CONTAINER, ID, MODE, POD, SANDBOX, UID, World, pod
from tests.unit.wording.kills import KILL


def test_the_runtimes_1_is_answered_with_0_when_the_pod_is_known_first(world: World) -> None:
    world.listed(pod({MODE: "single"}, ids={"main": None}))
    world.make(knob=1)
    assert world.knob() == 0


def test_a_container_that_was_there_first_comes_right_when_its_pod_is_told(world: World) -> None:
    world.make(knob=1)
    assert world.knob() == 1
    world.told(pod({MODE: "single"}))
    assert world.knob() == 0


def test_a_pod_without_a_wish_is_left_alone(world: World) -> None:
    world.listed(pod())
    world.make(knob=1)
    world.write(CONTAINER, 0)
    world.write(CONTAINER, 1)
    assert world.knob() == 1
    assert world.reasons() == []


def test_whoever_rewrites_a_held_value_it_is_put_back(world: World) -> None:
    world.listed(pod({MODE: "single"}))
    world.make(knob=1)
    for _ in range(3):
        world.write(CONTAINER, 1)
        assert world.knob() == 0


def test_group_waits_for_the_name_and_never_touches_a_sandbox(world: World) -> None:
    world.listed(pod({MODE: "group"}, ids={"main": None}))
    world.make(SANDBOX)
    world.make()
    assert (world.knob(SANDBOX), world.knob()) == (0, 0), "which of them is the container is not known yet"
    world.told(pod({MODE: "group"}))
    assert (world.knob(SANDBOX), world.knob()) == (0, 1)
    world.write(CONTAINER, 0)
    assert world.knob() == 1, "group is held as well"


def test_an_annotation_speaks_for_its_container_alone(world: World) -> None:
    other = f"{POD}/{'b' * 64}"
    world.told(pod(annotations={"mode.oomward.dev/main": "SINGLE"}, ids={"main": ID, "other": "b" * 64}))
    world.make(knob=1)
    world.make(other, knob=1)
    assert (world.knob(), world.knob(other)) == (0, 1)


def test_while_names_are_unknown_and_wishes_differ_nothing_is_guessed(world: World) -> None:
    labelled = {"labels": {MODE: "single"}, "annotations": {"mode.oomward.dev/other": "group"}}
    world.told(pod(**labelled, ids={"main": None, "other": None}))  # type: ignore[arg-type]
    world.make(knob=1)
    assert world.knob() == 1
    world.told(pod(**labelled, ids={"main": ID, "other": None}))  # type: ignore[arg-type]
    assert world.knob() == 0


def test_cruns_child_carries_the_knob(world: World) -> None:
    world.told(pod({MODE: "single"}, ids={"main": None}))
    world.make()
    world.make(f"{CONTAINER}/container", knob=1)
    assert (world.knob(), world.knob(f"{CONTAINER}/container")) == (0, 0)


def test_group_goes_where_the_processes_are(world: World) -> None:
    world.make()
    world.make(f"{CONTAINER}/container")
    world.told(pod({MODE: "group"}))
    assert (world.knob(), world.knob(f"{CONTAINER}/container")) == (0, 1)


def test_a_label_taken_away_brings_the_first_value_back(world: World) -> None:
    world.told(pod({MODE: "single"}))
    world.make(knob=1)
    assert world.knob() == 0
    world.told(pod())
    assert world.knob() == 1
    assert world.ledger.originals() == ()


def test_an_agent_killed_between_its_write_and_the_ledgers_leaves_a_value_that_the_next_one_has_not_read(
    world: World,
) -> None:
    """The mode goes on to hold; without it, the next container has its own value again."""
    world.told(pod({MODE: "single"}))
    world.make()
    (world.mount / CONTAINER / "memory.oom.group").write_text("1\n")
    world.node.tree_events(world.tree.read(world.now), world.now)
    assert world.knob() == 0
    world.die()
    world.begin()
    world.told(pod({MODE: "single"}))
    assert (world.knob(), world.ledger.originals()) == (0, ())
    world.told(pod())
    assert world.knob() == 0
    again = f"{POD}/{'c' * 64}"
    world.make(again, knob=1)
    assert world.knob(again) == 1


def test_a_value_is_written_without_the_ledger_and_all_of_a_turn_is_one_transaction(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    transactions: list[int] = []
    transact = Store.transact

    def counted(store: Store, change: Any) -> bool:
        transactions.append(world.knob())
        return transact(store, change)

    world.told(pod({MODE: "single"}))
    world.make()
    monkeypatch.setattr(Store, "transact", counted)
    world.write(CONTAINER, 1)
    assert transactions == [0], "the value was there, and then the ledger had its original, and its Event"
    monkeypatch.undo()


def test_a_label_that_is_no_mode_is_told_once_and_nothing_is_written(world: World) -> None:
    world.make(knob=1)
    for _ in range(3):
        world.told(pod({MODE: "both"}))
    assert world.knob() == 1
    assert world.reasons() == ["OOMModeInvalid"]
    assert "'both'" in world.posted[0].note


def test_a_mode_that_is_in_force_is_announced_once_for_each_start(world: World) -> None:
    world.told(pod({MODE: "single"}, ids={"main": None}))
    world.make(knob=1)
    for _ in range(2):
        world.told(pod({MODE: "single"}))
    assert world.reasons() == ["OOMModeApplied"]


def test_new_rules_take_effect_at_once(world: World) -> None:
    world.told(pod())
    world.make(knob=1)
    world.node.reload(Rules((Rule("all", Mode.SINGLE, namespaces=("def*",)),)), world.now)
    assert world.knob() == 0
    world.node.reload(Rules(), world.now)
    assert world.knob() == 1


def test_after_new_rules_a_start_without_the_api_decides_by_them(world: World) -> None:
    world.told(pod())
    world.make(knob=1)
    world.node.reload(Rules((Rule("all", Mode.SINGLE, namespaces=("def*",)),)), world.now)
    assert [kept.mode for kept in world.ledger.kept_decisions()] == [Mode.SINGLE]
    world.node.reload(Rules(), world.now)
    assert world.ledger.kept_decisions() == ()


ALL = Rules(
    (Rule("all", Mode.SINGLE, namespaces=("def*",), pods=LabelSelector((Requirement("app", Operator.EXISTS),))),)
)
GROUP = Rules(
    (Rule("web", Mode.GROUP, pods=LabelSelector((Requirement("app", Operator.IN, frozenset({"web"})),))), *ALL.rules)
)
OTHERS = Rules((Rule("db", Mode.SINGLE, pods=LabelSelector((Requirement("app", Operator.IN, frozenset({"db"})),))),))


@pytest.mark.parametrize(("rules", "knob"), [(ALL, 0), (GROUP, 1), (OTHERS, 1), (Rules(), 1)])
def test_rules_that_change_while_neither_the_agent_nor_the_api_is_there_count_at_the_next_start(
    tmp_path: Path, rules: Rules, knob: int
) -> None:
    world = World(tmp_path, ALL)
    world.make(knob=1)
    world.told(pod({"app": "web"}))
    assert world.knob() == 0
    world.end()
    world.settings = replace(world.settings, rules=rules)
    world.begin()
    assert not world.registry.listed
    assert world.knob() == knob
    world.end()


def test_rules_that_change_while_the_api_is_away_count_at_once_and_back_again(tmp_path: Path) -> None:
    world = World(tmp_path, ALL)
    world.make(knob=1)
    world.told(pod({"app": "web"}))
    world.end()
    world.begin()
    for rules, knob in ((GROUP, 1), (ALL, 0), (Rules(), 1), (ALL, 0)):
        world.node.reload(rules, world.now)
        assert world.knob() == knob
    world.end()


def test_what_a_label_requested_stays_whatever_the_rules_unless_they_let_no_label_count(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.make(knob=1)
    world.told(pod({MODE: "single", "app": "web"}))
    world.end()
    world.begin()
    world.node.reload(GROUP, world.now)
    assert world.knob() == 0
    world.node.reload(replace(GROUP, ignore_labels_in=("default",)), world.now)
    assert world.knob() == 1
    world.node.reload(GROUP, world.now)
    assert world.knob() == 0
    world.end()


def test_labels_that_count_by_new_rules_are_checked_at_once(world: World) -> None:
    world.node.reload(Rules(ignore_labels_in=("default",)), world.now)
    world.told(pod({MODE: "singel"}))
    assert world.reasons() == []
    world.node.reload(Rules(), world.now)
    assert world.reasons() == ["OOMModeInvalid"]


def test_labels_are_checked_only_when_what_a_pod_asks_for_changed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[Pod] = []
    monkeypatch.setattr(world.node.modes, "check_settings", checked.append)
    world.message(PodChanged(pod(), asks=False))
    assert checked == []
    world.message(PodChanged(pod()))
    assert checked == [pod()]


def test_a_restarted_container_is_held_though_the_api_still_says_that_the_one_before_runs(world: World) -> None:
    world.told(pod({MODE: "single"}))
    world.make(knob=1)
    world.remove(CONTAINER)
    again = f"{POD}/{'c' * 64}"
    world.make(again, knob=1)
    assert world.knob(again) == 0


def test_it_is_held_too_where_the_cgroup_of_the_one_before_is_not_yet_removed(world: World) -> None:
    world.told(pod({MODE: "single"}))
    world.make(knob=1)
    (world.mount / CONTAINER / "cgroup.events").write_text("populated 0\nfrozen 0\n")
    again = f"{POD}/{'c' * 64}"
    world.make(again, knob=1)
    assert world.knob(again) == 0


def test_a_sandbox_is_not_taken_for_a_restart_while_the_container_runs(world: World) -> None:
    world.told(pod({MODE: "single"}))
    world.make(knob=1)
    world.make(SANDBOX, knob=1)
    assert world.knob(SANDBOX) == 1


def test_without_the_api_what_was_held_is_held_on_and_nothing_is_given_back(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.told(pod({MODE: "single"}, ids={"main": None}))
    world.make(knob=1)
    world.told(pod({MODE: "single"}))
    world.end()
    world.begin()
    assert world.knob() == 0
    world.write(CONTAINER, 1)
    assert world.knob() == 0
    again = f"{POD}/{'c' * 64}"
    world.make(again, knob=1)
    assert world.knob(again) == 0, "a restart of it too"
    world.end()


def test_the_end_of_the_agent_leaves_values_in_force(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.told(pod({MODE: "single"}))
    world.make(knob=1)
    world.end()
    assert world.knob() == 0


def test_a_kill_is_recorded_counted_and_told_once_settled(world: World) -> None:
    world.told(pod({MODE: "single"}))
    world.make(knob=1)
    world.posted.clear()
    world.kill()
    (kill,) = world.ledger.kills()
    assert (kill.pod, kill.container, kill.mode, kill.outcome) == ("herder-1", "main", Mode.SINGLE, None)
    assert world.posted == [], "whether the container lives is not known yet"
    world.turn(after_s=0.6)
    assert world.reasons() == ["ProcessOOMKilled"]
    assert world.ledger.kills()[0].outcome is Outcome.SURVIVED
    assert world.posted[0].about.uid == UID
    world.turn(after_s=5)
    assert len(world.ledger.kills()) == 1


def test_a_container_that_is_gone_after_its_kill_died(world: World) -> None:
    world.told(pod())
    world.make(knob=1)
    world.kill(count=3, groups=1)
    world.remove(CONTAINER)
    world.turn(after_s=1)
    (kill,) = world.ledger.kills()
    assert (kill.processes, kill.outcome, kill.mode) == (2, Outcome.DIED, Mode.GROUP)
    assert world.reasons() == ["ContainerOOMKilled"]


def test_a_kill_whose_outcome_nobody_saw_is_settled_by_the_next_agent(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.told(pod())
    world.make(knob=0)
    world.kill()
    assert world.ledger.without_event() != []
    world.end()
    world.begin()
    assert world.reasons() == ["ProcessOOMKilled"]
    assert world.ledger.without_event() == []
    world.end()


def test_a_boots_id_that_looks_like_a_cgroups_inode_does_not_make_a_kill_that_cgroups(tmp_path: Path) -> None:
    """A boot id's groups are hexadecimal digits, and may all be decimal ones."""
    world = World(tmp_path)
    world.told(pod())
    world.make(knob=0)
    inode = (world.mount / CONTAINER).stat().st_ino
    world.end()
    world.boot = f"5f0c1f0e-{inode}-4d0f"
    world.begin()
    world.told(pod())
    kill = replace(KILL, boot_id=world.boot, cgroup_inode=inode + 1, cgroup_path=CONTAINER, pod_uid=UID, outcome=None)
    world.ledger.record([kill], (), None)
    world.end()
    world.begin()
    assert [kill.outcome for kill in world.ledger.kills()] == [None], "of one that had this path before"
    world.end()


def test_the_next_agent_does_not_take_a_pod_that_lives_for_a_container_that_was_removed(tmp_path: Path) -> None:
    """Such a kill has the pod's cgroup, whose counter alone shows it, and a sandbox or a new container is in there."""
    world = World(tmp_path)
    world.told(pod())
    world.make(knob=0)
    inode = (world.mount / POD).stat().st_ino
    kill = replace(
        KILL, boot_id="boot", cgroup_inode=inode, cgroup_path=POD, pod_uid=UID, container_id=None, outcome=None
    )
    world.ledger.record([kill], (), None)
    world.end()
    world.begin()
    assert [kill.outcome for kill in world.ledger.kills()] == [None]
    world.end()


def test_kills_while_no_agent_ran_are_found_and_none_is_told_twice(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.told(pod())
    world.make(knob=1)
    world.kill()
    world.turn(after_s=1)
    world.end()
    world.kill_unseen()
    world.begin()
    world.told(pod())
    world.turn(after_s=6)
    assert len(world.ledger.kills()) == 2
    world.turn(after_s=6)
    assert len(world.ledger.kills()) == 2
    world.end()


def test_events_wait_in_the_ledger_until_they_are_delivered(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.end()
    world.room = 0
    world.begin()
    world.told(pod({MODE: "nonsense"}))
    assert [n.reason.value for n in world.ledger.undelivered()] == ["OOMModeInvalid"]
    world.end()
    world.room = 1000
    world.begin()
    assert world.reasons() == ["OOMModeInvalid"]
    world.deliver(world.posted[0])
    assert world.ledger.undelivered() == []
    world.end()


def test_an_event_is_sent_in_the_turn_after_the_one_that_posted_it(world: World) -> None:
    """The ledger writes at a turn's end: a count that only the API had would be counted again after a kill -9."""
    world.make(knob=1)
    world.kill()
    world.told(pod())
    while not world.posted:
        world.turn(after_s=0.1)
    assert world.sent == []
    due_s = world.node.due_s()
    assert due_s is not None
    assert due_s <= world.now, "at once"
    world.turn()
    assert world.sent == world.posted


def test_after_an_overflow_everything_is_looked_at_anew(world: World) -> None:
    world.told(pod({MODE: "single"}))
    world.make(knob=1)
    (world.mount / CONTAINER / "memory.oom.group").write_text("1\n")
    world.tree.read(world.now)  # the notification is lost
    world.node.tree_events([TreeOverflowed("lost", world.now)], world.now)
    assert world.node.due_s() == -inf
    world.turn()
    assert world.knob() == 0
    assert world.node.due_s() is None


def test_an_overflow_that_a_full_look_comes_upon_begins_no_other_inside_of_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.make(knob=1)
    scans: list[str] = []
    scan = world.tree.scan

    def overflowing(*args: Any) -> list[TreeEvent]:
        scans.append("begin")
        if len(scans) == 1:
            world.node.tree_events([TreeOverflowed("lost", world.now)], world.now)
        found = scan(*args)
        scans.append("end")
        return found

    monkeypatch.setattr(world.tree, "scan", overflowing)
    world.node.resync(world.now)
    world.turn()
    assert scans == ["begin", "end"] * 2


def test_a_one_above_a_container_in_single_is_told(world: World) -> None:
    world.told(pod({MODE: "single"}))
    world.make(knob=1)
    world.posted.clear()
    world.write(POD, 1)
    assert world.reasons() == ["OOMModeFailed"]
    assert POD in world.posted[0].note
    assert world.knob(POD) == 1, "it is not ours to write"


def test_a_pod_that_left_is_forgotten_by_the_next_list_too(world: World) -> None:
    world.told(pod({MODE: "single"}))
    world.listed()
    assert world.registry.has_departed(UID)
    world.node.message(PodDeleted(UID), world.now)
    world.node.housekeeping(world.now + 1000)
    assert world.registry.pods == {}


def test_a_thread_that_died_ends_the_agent_with_the_reason(world: World) -> None:
    with pytest.raises(ThreadDiedError, match="pod watch ended: ValueError: odd"):
        world.node.message(ThreadDied("pod watch", "ValueError: odd"), world.now)


def test_ready_means_listed_and_scanned(world: World) -> None:
    good, why = world.node.ready()
    assert not good
    assert "waiting for the API's first list" in why
    world.listed()
    assert world.node.ready()[0]


def test_ten_thousand_annotations_harm_nobody(world: World) -> None:
    world.told(pod({MODE: "single"}, {f"mode.oomward.dev/c{i}": "x" for i in range(10_000)}))
    world.make(knob=1)
    assert world.knob() == 0
    assert 0 < len(world.posted) <= 12


def test_the_agents_own_state_is_in_its_metrics_from_the_start(world: World) -> None:
    page = world.metrics.page()[1].decode()
    assert f"oomward_inotify_watches {float(world.tree.watches)}" in page
    assert "oomward_ledger_persistent 1.0" in page


def test_a_ledger_that_the_disk_refuses_counts_as_in_memory_until_it_is_written_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(world.ledger), "failing", property(lambda _: True))
    world.node.housekeeping(world.now)
    assert world.metric("oomward_ledger_persistent") == 0
    monkeypatch.undo()
    world.node.housekeeping(world.now)
    assert world.metric("oomward_ledger_persistent") == 1


def test_a_state_directory_that_cannot_be_had_is_said_once_and_the_job_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    world = World(tmp_path)
    world.told(pod({MODE: "single"}))
    world.make(knob=1)
    world.node.housekeeping(world.now)
    assert world.knob() == 0
    assert "oomward_ledger_persistent 0.0" in world.metrics.page()[1].decode()
    assert len([r for r in caplog.records if "in memory" in r.getMessage()]) == 1
    assert "in memory" in world.node.ready()[1]
    world.end()


def test_what_is_kept_of_cgroups_that_went_while_no_agent_ran_is_dropped_at_the_next_start(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.told(pod({MODE: "single"}))
    world.make(knob=1)
    world.turn()
    assert len(world.ledger.originals()) == 1
    inodes = set(world.ledger.baselines())
    world.end()
    gone = (world.mount / CONTAINER).stat().st_ino
    remove(world.mount, CONTAINER)
    world.begin()
    assert world.ledger.originals() == ()
    assert inodes - set(world.ledger.baselines()) == {gone}
    world.end()


def test_the_page_says_how_many_cgroups_there_are_also_when_the_last_of_a_kind_is_gone(world: World) -> None:
    world.make()
    world.node.housekeeping(world.now)
    assert world.metric('oomward_cgroups{kind="container"}') == 1
    world.remove(CONTAINER)
    world.node.housekeeping(world.now)
    assert world.metric('oomward_cgroups{kind="container"}') == 0


def test_only_an_answer_to_anothers_write_has_a_latency(world: World) -> None:
    """Not what a first list, a full resync or new rules have written, which nobody has just made necessary."""

    def answered() -> float | None:
        return world.metric("oomward_oom_group_write_duration_seconds_count")

    world.make(knob=1)
    world.told(pod({MODE: "single"}))
    assert (world.knob(), answered()) == (0, 0)
    world.write(CONTAINER, 1)
    assert (world.knob(), answered()) == (0, 1)
    world.told(pod())
    world.told(pod({MODE: "single"}))
    knob = world.mount / CONTAINER / "memory.oom.group"
    knob.unlink()
    knob.write_text("1\n")  # another file: nothing is watched there any more
    world.tree.read(world.now)
    world.node.resync(world.now)
    assert (world.knob(), answered()) == (0, 1)


def test_who_asks_for_the_state_gets_a_copy_that_stays_as_it_was(world: World) -> None:
    world.listed(pod({MODE: "single"}))
    world.make(knob=1)
    given: list[NodeState] = []
    world.message(StateAsked(given.append))
    world.message(PodDeleted(UID))
    world.remove(CONTAINER)
    (state,) = given
    assert CONTAINER in state.cgroups
    assert (list(state.registry.pods), state.registry.listed) == ([UID], True)
    named = state.registry.identity(state.cgroups[CONTAINER].place)
    assert (named.pod if named else None) == "herder-1"
    world.message(StateAsked(given.append))
    assert list(given[1].registry.pods) == [], "the API no longer has it, so a list would not either"


def test_a_container_that_ended_before_the_api_named_it_gets_its_event_of_the_mode(world: World) -> None:
    """One that runs for less than a second, of a pod with one mode for all."""
    world.listed(pod({MODE: "single"}, ids={"main": None}))
    world.make(knob=1)
    assert world.knob() == 0
    world.remove(CONTAINER)
    assert world.reasons() == []
    ended = pod({MODE: "single"}, ids={"main": None})
    ended = replace(ended, containers=tuple(replace(one, previous_id=ID) for one in ended.containers))
    for _ in range(2):
        world.told(ended)
    assert world.reasons() == ["OOMModeApplied"]
    assert "Mode single is in force for container main" in world.posted[0].note


def test_a_container_in_back_off_has_one_id_twice_and_gets_one_event_of_the_mode(world: World) -> None:
    """While it waits, the kubelet gives the ended container's id as that of the present one and of the last one."""
    world.listed(pod({MODE: "single"}, ids={"main": None}))
    world.make(knob=1)
    world.remove(CONTAINER)
    waits = pod({MODE: "single"}, ids={"main": ID})
    waits = replace(waits, containers=tuple(replace(one, previous_id=ID) for one in waits.containers))
    world.told(waits)
    assert world.reasons() == ["OOMModeApplied"]


def test_a_container_that_ended_with_another_value_gets_none(world: World) -> None:
    world.make(knob=1)
    world.remove(CONTAINER)
    world.told(pod({MODE: "single"}))
    assert world.reasons() == []
