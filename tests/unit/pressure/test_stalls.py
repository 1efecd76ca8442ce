"""A container that stalls at its own limit while the kernel kills nothing: what is done, and when nothing is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.model import Cgroup, KillAttempt, KillOutcome, OnStall, Reason, Rule, Rules, SeenProcess, StallPolicy
from agent.pressure.stalls import COOL_DOWN_S
from tests.unit.loop.world import CONTAINER, POD, World, pod
from tests.unit.pressure.world import LIMIT, MIB, FakePsi, fill, goes_on, reach
from tests.unit.wording.test_events_reference import TYPES, posted_as

ON_STALL = "oomward.dev/on-stall"
SEEN = SeenProcess(4312, "worker", rss_bytes=180 << 20)


class Stalled(World):
    """``ended``: where the largest process was ended. ``available``: of the node's memory."""

    def __init__(
        self,
        tmp_path: Path,
        annotations: dict[str, str] | None = None,
        rules: Rules | None = None,
        psi: Any = None,
        *,
        limit: int = LIMIT,
    ) -> None:
        super().__init__(tmp_path, rules, psi=FakePsi() if psi is None else psi)
        self.ended: list[str] = []
        self.available = 0.5
        self.outcome = KillAttempt(KillOutcome.KILLED)
        stalls = self.node.pressure.stalls
        stalls.kill_largest = self._end
        stalls.available = lambda: self.available
        self.listed(pod(annotations=annotations, main=limit))
        self.make()
        fill(self, 0.3 * limit / MIB, 0.7 * limit / MIB - 1, limit=limit)
        reach(self)

    def _end(self, container: Cgroup) -> tuple[KillAttempt, SeenProcess | None]:
        self.ended.append(container.path)
        return self.outcome, SEEN


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Stalled]:
    world = Stalled(tmp_path, {ON_STALL: "kill-largest"})
    yield world
    world.end()


def notes(world: World, reason: Reason = Reason.STALL_RESOLVED) -> list[str]:
    return [notice.note for notice in world.posted if notice.reason is reason]


def test_after_a_minute_its_largest_process_is_ended_and_the_event_shows_before_and_after(world: Stalled) -> None:
    goes_on(world, 55, stalled=0.98)
    assert world.ended == []
    goes_on(world, 7, stalled=0.98)
    assert world.ended == [CONTAINER]
    fill(world, 40, 20)
    for _ in range(8):
        world.turn(after_s=1.0)
    (note,) = notes(world)
    (posted,) = [notice for notice in world.posted if notice.reason is Reason.STALL_RESOLVED]
    assert posted_as(posted) == TYPES[Reason.STALL_RESOLVED]
    assert "its largest process, worker (PID 4312, 180 MiB)" in note
    assert "Before: stalled 98 % of the time, 255 MiB in use. After: stalled 0 % of the time, 60 MiB in use." in note
    assert world.metric('oomward_stalls_resolved_total{action="kill-largest"}') == 1.0


def test_without_a_request_nothing_is_ended(tmp_path: Path) -> None:
    world = Stalled(tmp_path)
    goes_on(world, 200, stalled=1.0)
    assert (world.ended, world.killed) == ([], [])
    world.end()


def test_how_long_it_must_last_is_for_the_pod_to_say(tmp_path: Path) -> None:
    world = Stalled(tmp_path, {ON_STALL: "kill-largest", "oomward.dev/stall-after": "20s"})
    goes_on(world, 25, stalled=0.98)
    assert world.ended == [CONTAINER]
    world.end()


def test_a_rule_may_ask_for_it(tmp_path: Path) -> None:
    policy = StallPolicy(OnStall.KILL_LARGEST, 15.0, "configured rule builds")
    world = Stalled(tmp_path, rules=Rules((Rule("builds", None, stall=policy),)))
    goes_on(world, 20, stalled=0.98)
    assert world.ended == [CONTAINER]
    world.end()


def test_group_ends_the_whole_container_as_an_exceeded_tolerance_does(tmp_path: Path) -> None:
    world = Stalled(tmp_path, {ON_STALL: "group"})
    goes_on(world, 62, stalled=0.98)
    assert (world.ended, world.killed) == ([], [CONTAINER])
    assert "it stalled at its memory limit" in notes(world, Reason.CONTAINER_RESTARTED)[0]
    world.remove(CONTAINER)
    assert notes(world)[0].endswith("The container has ended.")
    assert world.metric('oomward_containers_killed_total{reason="stall"}') == 1.0
    world.end()


def test_a_container_that_runs_half_of_the_time_is_left_alone(world: Stalled) -> None:
    goes_on(world, 200, stalled=0.6)
    assert world.ended == []


@pytest.mark.parametrize(
    ("limit_mib", "in_use_mib", "ended"), [(256, 232, True), (256, 228, False), (16, 9, True), (16, 7, False)]
)
def test_it_is_left_alone_where_more_is_free_than_the_kernel_frees_at_once(
    tmp_path: Path, limit_mib: int, in_use_mib: int, ended: bool
) -> None:
    world = Stalled(tmp_path, {ON_STALL: "kill-largest"}, limit=limit_mib * MIB)
    fill(world, 1, in_use_mib - 1, limit=limit_mib * MIB)
    goes_on(world, 70, stalled=0.98)
    assert bool(world.ended) is ended
    world.end()


def test_a_kill_by_the_kernel_starts_the_minute_again(world: Stalled) -> None:
    goes_on(world, 50, stalled=0.98)
    world.kill()
    goes_on(world, 50, stalled=0.98)
    assert world.ended == []
    goes_on(world, 20, stalled=0.98)
    assert world.ended == [CONTAINER]


def test_a_stall_below_its_limit_is_not_the_limits_doing(world: Stalled) -> None:
    fill(world, 80, 20)
    goes_on(world, 200, stalled=1.0)
    assert world.ended == []


def test_nothing_is_ended_for_a_shortage_of_the_node(world: Stalled) -> None:
    world.available = 0.01
    goes_on(world, 200, stalled=1.0)
    assert world.ended == []


def test_nothing_is_ended_where_the_pods_limit_is_reached_as_well(world: Stalled) -> None:
    """Its other containers may be the ones that fill it."""
    (world.mount / POD / "memory.max").write_text(f"{2 * LIMIT}\n")
    for _ in range(100):
        goes_on(world, 1, stalled=1.0)
        reach(world, POD)
    assert world.ended == []


def test_nothing_is_ended_where_all_pods_together_reach_their_limit(world: Stalled) -> None:
    for _ in range(100):
        goes_on(world, 1, stalled=1.0)
        reach(world, "kubepods")
    assert world.ended == []


def test_after_that_there_is_a_cool_down(world: Stalled) -> None:
    goes_on(world, int(COOL_DOWN_S) + 50, stalled=1.0)
    assert len(world.ended) == 1
    goes_on(world, 30, stalled=1.0)
    assert len(world.ended) == 2


def test_what_could_not_be_ended_is_said_with_the_reason(world: Stalled) -> None:
    world.outcome = KillAttempt(KillOutcome.DENIED, "a process could not be killed: not permitted; run as root")
    goes_on(world, 70, stalled=1.0)
    assert "run as root" in notes(world, Reason.MODE_FAILED)[0]
    assert notes(world) == []


def test_a_node_without_psi_says_once_that_it_can_do_nothing(tmp_path: Path) -> None:
    world = World(tmp_path)
    for value in ("1", "2"):
        world.told(pod({"app": value}, {ON_STALL: "kill-largest"}, main=LIMIT))
    world.make()
    fill(world, 80, 175)
    reach(world)
    goes_on(world, 200)
    (note,) = notes(world, Reason.MODE_FAILED)
    assert "reports no stalls (PSI)" in note
    assert world.killed == []
    world.end()


def test_what_was_ended_is_told_also_when_the_pod_no_longer_asks_for_it(world: Stalled) -> None:
    goes_on(world, 62, stalled=0.98)
    assert world.ended == [CONTAINER]
    world.told(pod(annotations={}, main=LIMIT))
    goes_on(world, 8, stalled=0.0)
    assert len(notes(world)) == 1


def test_a_stall_before_the_pod_stopped_asking_does_not_count_when_it_asks_again(world: Stalled) -> None:
    goes_on(world, 30, stalled=0.98)
    world.told(pod(annotations={}, main=LIMIT))
    goes_on(world, 100, stalled=0.1)
    world.told(pod(annotations={ON_STALL: "kill-largest"}, main=LIMIT))
    goes_on(world, 30, stalled=0.98)
    assert world.ended == []


def test_what_is_ended_is_in_the_log_at_once(world: Stalled, caplog: pytest.LogCaptureFixture) -> None:
    """The agent may be restarted before the Event, which waits for the state after."""
    goes_on(world, 61, stalled=0.98)
    assert notes(world) == []
    line = "is stalled at its own memory limit: the agent ends its largest process, worker (PID 4312, 180 MiB)"
    assert line in caplog.text
