"""The wall clock jumps, forwards and back, by seconds or years: holding and counting don't look at it, and what does stays sane."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.events.outbox import EXPIRED_S, LONGEST_S
from agent.kube.api import connect
from agent.ledger import Ledger
from agent.ledger.retention import DAY_S
from agent.model import Outcome, Tolerance
from agent.modes.tolerance import exceeded, killed_recently
from tests.lab.apiserver import ApiServer
from tests.unit.events.world import NOW, Desk, notice
from tests.unit.ledger.records import a_kill
from tests.unit.loop.world import CONTAINER, MODE, World, pod

HOUR_S, YEAR_S = 3600.0, 365 * DAY_S
JUMPS_S = (HOUR_S, -HOUR_S, 30 * DAY_S, -30 * DAY_S, YEAR_S, -YEAR_S)


class Jumping(World):
    """``jump_s`` is what the wall clock is off by just now; the monotonic one goes on as ever."""

    jump_s = 0.0

    def unix_s(self) -> float:
        return super().unix_s() + self.jump_s


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Jumping]:
    world = Jumping(tmp_path)
    monkeypatch.setattr(time, "time", world.unix_s)
    yield world
    world.end()


@pytest.mark.parametrize("jump_s", JUMPS_S)
def test_modes_are_held_and_every_kill_is_counted_once_over_a_jump_and_a_restart(world: Jumping, jump_s: float) -> None:
    world.told(pod({MODE: "single"}))
    world.make(knob=1)
    for number, off_s in enumerate((0.0, jump_s, 0.0, jump_s), 1):
        world.jump_s = off_s
        world.write(CONTAINER, 1)
        assert world.knob() == 0
        world.kill()
        world.turn(after_s=1.0)
        assert len(world.ledger.kills()) == number
    world.end()
    world.begin()
    world.told(pod({MODE: "single"}))
    world.turn(after_s=1.0)
    kills = world.ledger.kills()
    assert len(kills) == len({kill.kill_id for kill in kills}) == 4
    assert sum(world.ledger.totals().values()) == 4
    assert {kill.outcome for kill in kills} == {Outcome.SURVIVED}


@given(
    st.lists(st.floats(-4 * LONGEST_S, 4 * LONGEST_S), max_size=20),
    st.integers(0, 5),
    st.floats(1, HOUR_S),
    st.floats(-4 * LONGEST_S, 4 * LONGEST_S),
)
def test_tolerance_never_counts_more_than_there_were(
    steps_s: list[float], tolerated: int, window_s: float, off_s: float
) -> None:
    """Whatever the clock does, a container that had no more kills than it tolerates is left alone."""
    at_s, kills = YEAR_S * 50, []
    for number, step_s in enumerate(steps_s):
        at_s += step_s
        kills.append(a_kill(number, at=at_s))
    tolerance = Tolerance(tolerated, window_s)
    assert killed_recently(kills, tolerance, at_s + off_s, 0.0) <= len(kills)
    if len(kills) <= tolerated:
        assert exceeded(kills, tolerance) is None


@pytest.mark.parametrize("jump_s", JUMPS_S)
def test_a_jump_drops_no_event_that_waits_and_keeps_none_for_longer_than_an_hour(desk: Desk, jump_s: float) -> None:
    """Also not one that is in the ledger alone because memory is full."""
    desk.schedule.room = 1
    desk.outbox.post(notice("a.1"))
    desk.outbox.post(notice("b.1"))
    desk.jump_s = jump_s
    desk.work()
    desk.outbox.post(notice("c.1", at=desk.unix_s()))
    desk.work()
    assert dict(desk.delivered) == dict.fromkeys(("a.1", "b.1", "c.1"), "created")
    for name in ("d.1", "e.1"):
        desk.outbox.post(notice(name, at=desk.unix_s()))
    desk.jump_s = 0.0
    desk.now += EXPIRED_S + 1.0
    desk.work()
    assert dict(desk.delivered[3:]) == dict.fromkeys(("d.1", "e.1"), "dropped_expired")


@pytest.mark.parametrize("jump_s", JUMPS_S)
def test_a_jump_while_the_agent_is_down_changes_no_events_age_in_the_same_boot(desk: Desk, jump_s: float) -> None:
    desk.outbox.post(notice("a.1"))
    desk.now, desk.jump_s = EXPIRED_S - 1.0, jump_s
    desk.start()
    desk.work()
    desk.outbox.post(notice("b.1", at=desk.unix_s()))
    desk.now += EXPIRED_S + 1.0
    desk.start()
    desk.work()
    assert desk.delivered == [("a.1", "created"), ("b.1", "dropped_expired")]


def test_after_a_reboot_the_wall_clock_is_believed_but_an_event_of_the_future_is_too_old_after_an_hour(
    desk: Desk,
) -> None:
    desk.outbox.post(notice("old.1"))
    desk.outbox.post(notice("future.1", at=NOW + YEAR_S))  # the clock was a year ahead
    desk.now = EXPIRED_S + 1.0
    desk.start("another boot")
    desk.now += EXPIRED_S - 10.0
    desk.work(until=lambda: len(desk.delivered) == 2)
    assert sorted(desk.delivered) == [("future.1", "created"), ("old.1", "dropped_expired")]
    desk.outbox.post(notice("later.1", at=NOW + YEAR_S))
    desk.now += EXPIRED_S + 1.0
    desk.work()
    assert desk.delivered[-1] == ("later.1", "dropped_expired")


@pytest.mark.parametrize("jump_s", [YEAR_S, -YEAR_S])
def test_a_jump_drops_old_kills_a_batch_at_a_time_and_never_what_makes_counting_exact(
    tmp_path: Path, jump_s: float
) -> None:
    now = YEAR_S * 50
    ledger = Ledger.open(tmp_path, "boot")
    for number in range(30):
        ledger.record([a_kill(number, at=now)], (), number)
    dropped = ledger.prune(now + jump_s, 7, 1000, 10)
    assert dropped == (11 if jump_s > 0 else 0), "ten kills and a running total that nobody joined for a year"
    assert ledger.kmsg_sequence == 29
    assert len(ledger.kills()) == (20 if jump_s > 0 else 30)
    ledger.close()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    server = ApiServer()
    server.start()
    server.write_kubeconfig(tmp_path / "kubeconfig")
    yield Desk(connect(tmp_path / "kubeconfig", user_agent="oomward/test"))
    server.close()
