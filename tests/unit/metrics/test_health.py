"""/healthz: every thread has a line, and one that hangs makes the whole red."""

from __future__ import annotations

from agent.metrics.http import Heartbeat, health

BEATS = (Heartbeat("loop", lambda: 100.0, 60.0), Heartbeat("pod watch", lambda: 30.0, 300.0))


def test_while_all_threads_give_signs_of_life_it_is_good_and_tells_their_age() -> None:
    assert health(BEATS, 101.5) == (
        True,
        "loop: last sign of life 1.5 s ago (limit 60 s)\npod watch: last sign of life 71.5 s ago (limit 300 s)",
    )


def test_one_that_hangs_is_named_and_the_others_are_told_as_well() -> None:
    good, why = health(BEATS, 160.0)
    assert not good
    first, second = why.splitlines()
    assert (
        first == "loop: last sign of life 60.0 s ago (limit 60 s): it hangs, and the kubelet should restart the agent"
    )
    assert "hangs" not in second


def test_any_thread_counts() -> None:
    assert not health(BEATS[::-1], 160.0)[0]
    assert not health((BEATS[0], Heartbeat("event sender", lambda: -1000.0, 300.0)), 101.0)[0]


def test_a_beat_while_the_page_is_made_is_no_age_below_zero() -> None:
    assert health((Heartbeat("loop", lambda: 5.1, 60.0),), 5.0) == (
        True,
        "loop: last sign of life 0.0 s ago (limit 60 s)",
    )
