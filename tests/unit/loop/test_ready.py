"""/readyz: red until pods are listed and cgroups scanned, and what it says of both and of the ledger."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from agent.loop.node import Node
from tests.unit.loop.world import MODE, World, pod


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
