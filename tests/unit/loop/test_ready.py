"""/readyz: red until pods are listed and cgroups scanned, and what it says of both and of the ledger."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from agent.loop.node import Node
from agent.model import WatchTrouble
from tests.unit.loop.world import CONTAINER, MODE, UID, World, pod


def test_before_the_first_list_it_is_red_and_says_what_is_done_and_what_is_not(world: World) -> None:
    assert world.node.ready() == (
        False,
        "waiting for the API's first list of pods\ncgroups scanned\nledger on disk",
    )


def test_one_pod_that_is_told_is_no_list(world: World) -> None:
    world.told(pod({MODE: "single"}))
    assert not world.node.ready()[0]


def test_before_the_first_scan_it_is_red_though_pods_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = Node.start
    monkeypatch.setattr(Node, "start", lambda _node, _now: None)
    world = World(tmp_path)
    world.listed()
    assert world.node.ready() == (False, "pods listed\ncgroups not scanned yet\nledger on disk")
    start(world.node, world.now)
    assert world.node.ready()[0]
    world.end()


def test_an_empty_list_of_a_node_without_pods_is_a_list(world: World) -> None:
    world.listed()
    assert world.node.ready() == (True, "pods listed\ncgroups scanned\nledger on disk")


def test_a_ledger_in_memory_does_its_job_and_is_told_with_the_reason_and_the_mend(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    world = World(tmp_path)
    world.listed()
    good, why = world.node.ready()
    assert good
    (told,) = [line for line in why.splitlines() if line.startswith("ledger")]
    assert told.startswith("ledger in memory only: the ledger ")
    assert "fix the state directory (--state-dir) and restart the agent" in told
    world.end()


def test_a_ledger_that_cannot_be_written_just_now_is_told_for_as_long_as_it_is_so(world: World) -> None:
    world.listed()
    with sqlite3.connect(world.state / "ledger.sqlite3", isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        world.told(pod({MODE: "single"}))
        world.make(knob=1)
        world.kill()
        world.turn(after_s=0.1)
        good, why = world.node.ready()
        other.execute("ROLLBACK")
    other.close()
    assert good, "changes wait in memory"
    assert "ledger on disk: the ledger " in why
    assert "can't be written just now" in why
    world.ledger.flush()
    assert world.node.ready()[1].endswith("\nledger on disk")


# ---------------------------------------------------------------------------------------------------- the node's name


def named_wrongly(world: World) -> bool:
    good, why = world.node.ready()
    wrong = "'node-1' is not this node's name" in why
    assert wrong == (not good)
    return wrong


def test_a_node_name_that_no_node_has_is_not_ready_and_says_why(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """At least the agent's own pod runs here, and the API has it on the node of another name."""
    world.make()
    world.listed()
    assert named_wrongly(world)
    assert "the API has no pod there; running here: 1 other pod" in world.node.ready()[1]
    for _ in range(3):
        world.node.housekeeping(world.now)
    assert caplog.text.count("is not this node's name") == 1


def test_the_name_of_another_node_is_not_ready_either(world: World) -> None:
    world.make()
    world.listed(replace(pod(ids={"main": "f" * 64}), uid="another"))
    assert named_wrongly(world)
    assert "1 pod there, none of which runs here" in world.node.ready()[1]


def test_as_soon_as_a_pod_that_runs_here_is_the_apis_too_it_is_ready(world: World) -> None:
    """A node that is made of static pods has them in the API a moment later."""
    world.make()
    world.listed()
    assert named_wrongly(world)
    world.told(pod())
    assert not named_wrongly(world)


def test_pods_without_a_running_container_prove_nothing(world: World) -> None:
    """The node's last pods are finished, and the cgroup of one that was deleted by force is still there."""
    world.make()
    world.listed(replace(pod(ids={"main": None}), uid="another"))
    assert not named_wrongly(world)


def test_a_pod_that_was_deleted_and_still_runs_is_the_nodes(world: World) -> None:
    world.make()
    world.listed(pod())
    world.listed()
    assert not named_wrongly(world)


def test_a_pod_that_was_deleted_by_force_and_still_runs_for_minutes_is_no_proof(world: World) -> None:
    world.make()
    world.listed(pod())
    world.listed()
    for _ in range(10):
        world.now += 40.0
        world.node.housekeeping(world.now)
    assert world.registry.pods == {}
    assert not named_wrongly(world)


def test_static_pods_that_the_kubelet_could_not_mirror_yet_are_no_proof(world: World) -> None:
    world.make(CONTAINER.replace(UID, "f" * 32))
    world.listed()
    assert not named_wrongly(world)


def test_a_pod_that_starts_while_the_watch_fails_is_no_proof(world: World) -> None:
    """The agent's list is old, the kubelet's is not."""
    world.listed()
    world.message(WatchTrouble("error", "the API answered 429"))
    world.make()
    for _ in range(20):
        world.now += 40.0
        world.node.housekeeping(world.now)
        assert not named_wrongly(world)
    world.listed()
    assert named_wrongly(world), "a new list does not have it either"


def test_a_pod_that_started_after_the_list_is_one_only_after_minutes(world: World) -> None:
    world.listed()
    world.make()
    world.node.housekeeping(world.now)
    assert not named_wrongly(world), "the watch's report of it may be under way"
    for _ in range(8):
        world.now += 40.0
        world.node.housekeeping(world.now)
    assert named_wrongly(world)
