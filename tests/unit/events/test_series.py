"""The first kill is told at once, those that follow at widening intervals, and none is left uncounted."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.events.series import LONGEST_S, QUIET_S, Series
from agent.model import Notice, ObjectRef, Reason

ABOUT = ObjectRef("Pod", "herder-1", "default", "uid-1")
NOW = 1_760_000_000.0


def kill(number: int = 1, at: float = 0.0, series: str = "herder", count: int = 1) -> Notice:
    note = f"kill {number}"
    return Notice(f"e.{number}", ABOUT, Reason.PROCESS_OOM_KILLED, True, "OOMKill", note, NOW + at, count, group=series)


@pytest.fixture
def series() -> Series:
    return Series(())


def test_the_first_is_told_at_once_and_those_that_follow_wait_ever_longer(series: Series) -> None:
    assert not series.waits(series.join(kill(1)).name)
    now, pauses = 0.0, []
    for number in range(2, 11):
        series.told("e.1", number - 1, now)
        assert series.due_s() is None, "nothing to be told as long as nothing happens"
        counted = series.join(kill(number, at=now))
        assert (counted.name, counted.count, counted.last_unix_s) == ("e.1", number, NOW + now)
        assert series.waits("e.1")
        due = series.due_s()
        assert due is not None
        assert series.ripe(due - 0.1) == []
        assert series.ripe(due) == [counted]
        assert series.due_s() is None, "it is on its way"
        pauses.append(due - now)
        now = due
    assert pauses == [10, 20, 40, 80, 160, 320, 600, 600, 600]


def test_a_kill_after_the_interval_is_told_at_once(series: Series) -> None:
    series.join(kill(1))
    series.told("e.1", 1, 0.0)
    assert series.ripe(11.0) == []
    assert not series.waits(series.join(kill(2, at=12.0)).name)


def test_as_long_as_the_api_has_not_been_told_the_words_are_the_newest(series: Series) -> None:
    series.join(kill(1))
    assert series.join(kill(2)).note == "kill 2"
    series.told("e.1", 2, 0.0)
    assert series.join(kill(3)).note == "kill 2", "an Event's note can't change"


def test_after_a_quiet_while_another_event_begins_and_the_rest_of_the_old_one_is_told_all_the_same(
    series: Series,
) -> None:
    series.join(kill(1))
    series.told("e.1", 1, 0.0)
    series.join(kill(2, at=1.0))
    fresh = series.join(kill(3, at=2.0 + QUIET_S))
    assert (fresh.name, fresh.count) == ("e.3", 1)
    assert [(n.name, n.count) for n in series.ripe(1000.0)] == [("e.1", 2)]


def test_a_series_without_an_end_begins_anew_every_hour(series: Series) -> None:
    names = {series.join(kill(n, at=n * 60.0)).name for n in range(1, 181)}
    assert len(names) == 3
    assert 2 * LONGEST_S < 180 * 60.0 <= 3 * LONGEST_S


def test_what_differs_is_counted_apart(series: Series) -> None:
    assert series.join(kill(1, series="a")).name == "e.1"
    assert series.join(kill(2, series="b")).name == "e.2"
    assert series.join(kill(3, series="a")).name == "e.1"


def test_after_a_restart_it_is_counted_on(series: Series) -> None:
    kept = replace(kill(1, count=5), sent_count=3, requests=2, last_at_unix_s=NOW + 50)
    after = Series([kept])
    counted = after.join(kill(9, at=60.0))
    assert (counted.name, counted.count, counted.sent_count) == ("e.1", 6, 3)
    assert not after.waits("e.1")


def test_what_the_api_will_not_have_is_ended_and_the_next_begins_another(series: Series) -> None:
    series.join(kill(1))
    series.end("e.1")
    assert series.join(kill(2)).name == "e.2"
    assert series.told("e.1", 1, 0.0) is None


def test_what_is_over_and_told_is_forgotten_and_what_is_not_told_is_kept(series: Series) -> None:
    series.join(kill(1, series="a"))
    series.told("e.1", 1, 0.0)
    series.join(kill(2, series="b"))
    series.forget(NOW + 5)
    assert series.told("e.1", 1, 0.0) is not None, "still open"
    series.forget(NOW + QUIET_S + 1)
    assert series.told("e.1", 1, 0.0) is None
    assert series.untold() == {"e.2"}


@given(
    st.lists(
        st.tuples(st.sampled_from(["kill", "tell", "restart", "forget"]), st.floats(0, 900), st.sampled_from("ab")),
        max_size=80,
    )
)
def test_whatever_happens_every_kill_is_in_one_count_and_the_api_hears_all_of_them(
    steps: list[tuple[str, float, str]],
) -> None:
    """The ledger keeps what join() and told() give; the API is a mapping from name to the count it was told last."""
    ledger: dict[str, Notice] = {}
    api: dict[str, int] = {}
    series, now, kills = Series(()), 0.0, 0

    def tell(at: float) -> None:
        waiting = [n for n in ledger.values() if n.sent_count < n.count and not series.waits(n.name)]
        for notice in [*series.ripe(at), *waiting]:
            assert notice.count >= api.get(notice.name, 0), "a count never goes back"
            api[notice.name] = notice.count
            kept = series.told(notice.name, notice.count, at)
            ledger[notice.name] = kept or replace(notice, sent_count=notice.count)

    for step, pause, which in steps:
        now += pause
        if step == "kill":
            kills += 1
            counted = series.join(kill(kills, at=now, series=which))
            ledger[counted.name] = counted
        elif step == "tell":
            tell(now)
        elif step == "restart":
            series = Series(sorted((n for n in ledger.values() if NOW + now - n.last_unix_s <= QUIET_S), key=_last))
        else:
            series.forget(NOW + now)
    tell(now + 10_000.0)
    assert sum(notice.count for notice in ledger.values()) == kills
    assert sum(api.values()) == kills


def _last(notice: Notice) -> float:
    return notice.last_unix_s


def test_a_clock_that_was_set_back_begins_another_series(series: Series) -> None:
    """Else one that seems to lie in the future would count for as long as the clock needs to get there again."""
    series.join(kill(1))
    fresh = series.join(kill(2, at=-86_400.0))
    assert (fresh.name, fresh.count) == ("e.2", 1)
