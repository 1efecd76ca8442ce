"""The wall clock jumps, forwards and back, by seconds or years: holding and counting don't look at it, and what does stays sane."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.events.series import LONGEST_S, QUIET_S, Series
from agent.kube.api import connect
from agent.ledger import Ledger
from agent.ledger.retention import DAY_S
from agent.model import Outcome, Tolerance
from agent.modes import exceeded, killed_of_late
from tests.lab.apiserver import ApiServer
from tests.unit.events.test_sender import Desk, notice
from tests.unit.ledger.records import a_kill, a_notice
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


@pytest.mark.parametrize("jump_s", [-HOUR_S, -YEAR_S, HOUR_S * 2, YEAR_S])
def test_a_series_does_not_go_on_over_a_jump_and_none_is_lost(jump_s: float) -> None:
    """An Event that says when it was last seen must not count what came before or long after that."""
    series = Series(())
    before = replace(a_notice("before"), group="s", at_unix_s=YEAR_S * 50)
    series.join(before)
    after = series.join(replace(before, name="after", at_unix_s=before.at_unix_s + jump_s))
    assert (after.name, after.count) == ("after", 1)
    assert series.untold() == {"before", "after"}


@pytest.mark.parametrize("jump_s", [-QUIET_S, -1.0, 1.0, QUIET_S])
def test_a_small_step_of_the_clock_ends_no_series(jump_s: float) -> None:
    series = Series(())
    before = replace(a_notice("before"), group="s", at_unix_s=YEAR_S * 50)
    series.join(before)
    after = series.join(replace(before, name="after", at_unix_s=before.at_unix_s + jump_s))
    assert (after.name, after.count) == ("before", 2)
    assert after.last_unix_s == max(before.at_unix_s, before.at_unix_s + jump_s), "what was seen last is never set back"


def test_series_that_lie_in_the_future_are_forgotten_once_they_are_told() -> None:
    series = Series(())
    before = replace(a_notice("before"), group="s", at_unix_s=YEAR_S * 50)
    series.join(before)
    series.told("before", 1, 0.0)
    series.forget(before.at_unix_s - YEAR_S)
    assert series.told("before", 1, 0.0) is None


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
    assert killed_of_late(kills, tolerance, at_s + off_s) <= len(kills)
    if len(kills) <= tolerated:
        assert exceeded(kills, tolerance) is None


def test_what_waits_while_the_clock_jumps_forward_is_dropped_and_counted_and_set_back_it_is_sent(desk: Desk) -> None:
    desk.poster.submit(notice("a.1", at=desk._unix_s()))
    desk.poster.submit(notice("b.1", at=desk._unix_s() + YEAR_S))  # made before the clock was set back
    desk.now += 2 * HOUR_S
    desk.work()
    assert dict(desk.delivered) == {"a.1": "dropped_expired", "b.1": "created"}


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
