"""How often a container's processes are read: one that is at its limit all the time costs little, and nothing of the others'."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from agent.pressure.pace import AT_ONCE, COST, FIRST_S, LONGEST_S, MOST, PER_S, QUIET_S, Pace
from tests.unit.profiles import examples


def times(pace: Pace, key: str, until_s: float, every_s: float = 0.01) -> list[float]:
    return [n * every_s for n in range(int(until_s / every_s)) if pace.due(key, n * every_s)]


def test_the_first_time_it_is_read_at_once_and_then_ever_more_seldom() -> None:
    found = times(Pace(), "a", 30.0)
    assert found[0] == 0.0
    gaps = [after - before for before, after in pairwise(found)]
    assert FIRST_S <= gaps[0] < FIRST_S + 0.02
    assert max(gaps) < LONGEST_S + 0.02
    assert len(found) <= 17


def test_after_a_while_of_quiet_it_is_as_the_first_time() -> None:
    pace = Pace()
    times(pace, "a", 30.0)
    assert pace.due("a", 31.0 + QUIET_S + LONGEST_S)
    assert pace.due("a", 31.0 + QUIET_S + LONGEST_S + FIRST_S)


def test_what_takes_long_is_read_seldom() -> None:
    pace = Pace()
    assert pace.due("a", 0.0)
    pace.took("a", 0.5)
    assert not pace.due("a", COST * 0.5 - 0.1)
    assert pace.due("a", COST * 0.5)


def test_those_that_go_on_leave_room_for_those_that_begin() -> None:
    pace = Pace()
    for at_s in (0.0, 1.0, 3.0):
        for number in range(int(AT_ONCE)):
            pace.due(f"old {number}", at_s)
    assert pace.due("new", 3.0)


@given(st.lists(st.tuples(st.integers(0, 300), st.floats(0, 0.05)), max_size=300))
@examples(100)
def test_the_node_reads_no_more_than_its_budget(asked: list[tuple[int, float]]) -> None:
    pace, now_s, taken = Pace(), 0.0, 0
    for number, after_s in asked:
        now_s += after_s
        taken += pace.due(str(number), now_s)
    assert taken <= AT_ONCE + now_s * PER_S + 1


def test_what_is_remembered_is_bounded() -> None:
    pace = Pace()
    for number in range(2 * MOST):
        pace.due(str(number), float(number))
    assert len(pace._last) <= MOST
    pace.forget(str(2 * MOST - 1))
    assert pace.due(str(2 * MOST - 1), 2.0 * MOST - 1)
