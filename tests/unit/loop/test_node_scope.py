"""Which limit was hit, from the counters and the log to every place that says so; where it is not known, each of them says that."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.loop.loop import HOUSEKEEPING_S
from agent.model import Scope
from tests.unit.loop.test_node_kills import kills, report, start
from tests.unit.loop.world import CONTAINER, MODE, POD, World


@pytest.fixture(params=[True, False], ids=["log", "no log"])
def logged(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def world(tmp_path: Path, logged: bool) -> Iterator[World]:
    world = World(tmp_path, kmsg=logged, announce=False)
    start(world, {MODE: "single"})
    yield world
    world.end()


def count(world: World, path: str = CONTAINER, **more: int) -> None:
    """So much more in the counters of this cgroup and of all above it."""
    at = path
    while at:
        for name in ("memory.events", "memory.events.local") if at == path else ("memory.events",):
            file = world.mount / at / name
            keys = {key: int(value) for key, value in (line.split() for line in file.read_text().splitlines())}
            file.write_text("".join(f"{key} {value + more.get(key, 0)}\n" for key, value in keys.items()))
        at = at.rpartition("/")[0]
    world.turn()


def scopes(world: World) -> list[Scope | None]:
    return [kill.scope for kill in world.ledger.kills()]


def wait(world: World, seconds: float) -> None:
    """As the loop does, with its housekeeping."""
    for _ in range(round(seconds / HOUSEKEEPING_S)):
        world.now += HOUSEKEEPING_S
        world.node.housekeeping(world.now)
        world.turn()


@pytest.mark.parametrize("logged", [True], ids=["log"], indirect=True)
def test_a_kill_of_no_known_limit_is_said_to_be_that_everywhere(world: World, caplog: pytest.LogCaptureFixture) -> None:
    assert kills(world, scope="unknown") == 0, "a series that begins at 0, as the others"
    with caplog.at_level(logging.INFO, "oomward"):
        count(world, oom_kill=1)
        world.turn(after_s=0.6)
        world.turn(after_s=0.6)
    assert scopes(world) == [None]
    assert (kills(world, scope="unknown"), kills(world, scope="node")) == (1, 0)
    (told,) = [record.message for record in caplog.records if "OOM kill in" in record.message]
    (notice,) = world.posted
    assert "scope unknown" in told
    assert "Which limit was hit is not known." in notice.note
    assert "the node was" not in notice.note


@pytest.mark.parametrize("logged", [True], ids=["log"], indirect=True)
def test_a_late_report_that_names_the_node_changes_the_record_and_no_counter(world: World) -> None:
    """A counter can't go back: what was counted under ``unknown`` stays there, also over a restart."""
    count(world, oom_kill=1)
    world.turn(after_s=0.51)
    assert scopes(world) == [None]
    world.node.kills.reports([replace(report(), global_oom=True, oom_memcg=None)], world.now)
    world.turn(after_s=0.1)
    assert scopes(world) == [Scope.NODE]
    world.turn(after_s=0.6)
    assert "because the node was out of memory" in world.posted[0].note
    assert (kills(world, scope="unknown"), kills(world, scope="node")) == (1, 0)
    world.end()
    world.begin()
    assert world.ledger.totals() == {("default", "herder-1", "main", "single", "unknown"): 1}
    assert scopes(world) == [Scope.NODE]


def test_without_a_log_it_was_the_node_if_no_limit_was_ever_hit(world: World, logged: bool) -> None:
    count(world, oom_kill=1)
    world.turn(after_s=0.6)
    assert scopes(world) == [None if logged else Scope.NODE]


def test_a_log_that_is_lost_leaves_it_to_the_counters(world: World) -> None:
    world.node.kills.log_lost("/dev/kmsg: gone")
    count(world, oom_kill=1)
    world.turn()
    assert scopes(world) == [Scope.NODE]


@pytest.mark.parametrize("logged", [False], ids=["no log"], indirect=True)
def test_that_no_limit_was_hit_for_long_is_known_by_looking_now_and_then(world: World) -> None:
    count(world, POD, oom=1)
    wait(world, 60)
    count(world, oom_kill=1)
    world.turn()
    assert scopes(world) == [None], "a minute after a hit"
    wait(world, 150)
    world.now += 9.0
    count(world, oom_kill=1)
    world.turn()
    assert scopes(world)[0] is Scope.NODE


@pytest.mark.parametrize("logged", [False], ids=["no log"], indirect=True)
@pytest.mark.parametrize(("limit", "limited"), [("8589934592\n", True), ("max\n", False), (None, False)])
def test_below_a_limit_of_the_nodes_own_cgroup_it_may_have_been_that(
    world: World, limit: str | None, limited: bool
) -> None:
    """A node that is a container: its top cgroup has the files that the hierarchy's real root doesn't have."""
    if limit is not None:
        (world.mount / "memory.max").write_text(limit)
    count(world, oom_kill=1)
    world.turn()
    assert scopes(world) == [None if limited else Scope.NODE]


@pytest.mark.parametrize("logged", [False], ids=["no log"], indirect=True)
def test_below_a_limit_that_can_not_be_read_it_may_have_been_that(world: World) -> None:
    (world.mount / "memory.max").mkdir()
    count(world, oom_kill=1)
    world.turn()
    assert scopes(world) == [None]
    assert world.metric("oomward_cgroup_errors_total") == 1
