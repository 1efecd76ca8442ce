"""The budget of real-time priority: active while the agent needs little, suspended while it needs much."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.kernel import scheduling
from agent.kernel.scheduling import SchedulingClass
from agent.loop.realtime import TOO_MUCH, WINDOW_S, RealTime
from agent.metrics.metrics import Metrics


class World:
    """A real_time whose processor time and clock are set by hand."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        best: SchedulingClass = SchedulingClass.ROUND_ROBIN,
        *,
        wanted: bool = True,
    ) -> None:
        self.now_s = 1000.0
        self.used_s = 2.0
        self.done: list[str] = []
        monkeypatch.setattr(scheduling, "raise_priority", lambda: self._done("raised", best))
        monkeypatch.setattr(scheduling, "set_nice", lambda: self._done("nice", SchedulingClass.NICE))
        monkeypatch.setattr(scheduling, "suspend_real_time", lambda: self._done("suspended", SchedulingClass.USUAL))
        self.metrics = Metrics("0", process_metrics=False)
        self.real_time = RealTime(self.metrics, wanted=wanted, clock=lambda: self.now_s, cpu_s=lambda: self.used_s)
        self.real_time.start()

    def _done(self, what: str, ours: SchedulingClass) -> SchedulingClass:
        self.done.append(what)
        return ours

    def work(self, seconds: float, share: float) -> None:
        """Use that share of a processor, with a look each 100 ms."""
        for _ in range(round(seconds * 10)):
            self.now_s += 0.1
            self.used_s += 0.1 * share
            self.real_time.check_budget()

    def shown(self, name: str) -> float:
        value = self.metrics.registry.get_sample_value(f"oomward_{name}")
        assert value is not None
        return value


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def test_real_time_priority_is_active_from_the_start(world: World, caplog: pytest.LogCaptureFixture) -> None:
    assert world.done == ["raised"]
    assert world.shown("realtime_priority_active") == 1


def test_an_agent_that_needs_little_keeps_it(world: World) -> None:
    world.work(60, 0.3)
    assert world.done == ["raised"]


def test_a_short_burst_is_what_it_is_for(world: World) -> None:
    world.work(WINDOW_S * TOO_MUCH - 0.1, 1.0)
    world.work(20, 0.0)
    assert world.done == ["raised"]


def test_an_agent_that_needs_too_much_has_it_suspended_and_says_so(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        world.work(WINDOW_S, 0.9)
    assert world.done == ["raised", "suspended"]
    assert (world.shown("realtime_priority_active"), world.shown("realtime_priority_suspensions_total")) == (0, 1)
    (said,) = caplog.messages
    assert "of a processor" in said
    assert "a mode may come into force after a container's first instruction" in said


def test_it_is_active_again_when_the_agent_needs_little(world: World) -> None:
    world.work(10, 0.9)
    world.work(10, 0.1)
    assert world.done == ["raised", "suspended", "raised"]
    assert (world.shown("realtime_priority_active"), world.shown("realtime_priority_suspensions_total")) == (1, 1)


def test_it_does_not_flutter_in_between(world: World) -> None:
    world.work(10, 0.9)
    world.work(60, 0.4)
    assert world.done == ["raised", "suspended"]


def test_it_is_said_once_in_ten_minutes(world: World, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(5):
        world.work(10, 0.9)
        world.work(10, 0.0)
    assert world.shown("realtime_priority_suspensions_total") == 5
    assert len([message for message in caplog.messages if "is suspended" in message]) == 1


def test_a_long_sleep_before_a_look_is_no_excuse_and_no_reason(world: World) -> None:
    """What was used is divided by the time in which it was."""
    world.now_s += 100
    world.used_s += 10
    world.real_time.check_budget()
    assert world.done == ["raised"]
    world.work(WINDOW_S, 0.9)
    assert world.done == ["raised", "suspended"]


@pytest.mark.parametrize("best", [SchedulingClass.NICE, SchedulingClass.USUAL])
def test_where_the_kernel_gives_nothing_it_says_what_may_come_late(
    best: SchedulingClass, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(monkeypatch, best)
    assert "a mode may come into force after a container's first instruction" in caplog.text
    assert "capability SYS_NICE" in caplog.text
    world.work(20, 1.0)
    assert world.done == ["raised"]
    assert (world.shown("realtime_priority_active"), world.shown("realtime_priority_suspensions_total")) == (0, 0)


def test_a_nice_value_has_no_budget_since_others_get_their_share(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, SchedulingClass.NICE_AMONG_ALL)
    world.work(20, 1.0)
    assert world.done == ["raised"]
    assert world.shown("realtime_priority_active") == 1


def test_who_does_not_want_it_is_as_nice_as_it_may_and_says_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(monkeypatch, wanted=False)
    world.work(20, 1.0)
    assert world.done == ["nice"]
    assert not caplog.messages


@given(st.lists(st.tuples(st.floats(0.1, 30.0), st.floats(0.0, 1.0)), max_size=12))
def test_it_is_never_active_for_long_while_the_agent_needs_more_than_its_budget(
    work: list[tuple[float, float]],
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        world = World(patch)
        for seconds, share in work:
            world.work(seconds, share)
            if seconds > WINDOW_S + 1 and share > TOO_MUCH + 0.05:
                assert world.shown("realtime_priority_active") == 0
            if seconds > WINDOW_S + 1 and share < 0.2:
                assert world.shown("realtime_priority_active") == 1
