"""When a container that reaches its limit is under pressure, and when it is not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.pressure.policy import CALM_S, LASTING_S, REACHED_S, STALL_S, Judge, Sample
from tests.unit.profiles import examples


def judged(*samples: Sample) -> Judge:
    judge = Judge()
    for sample in samples:
        judge.add(sample)
    return judge


def series(fixed: list[float], every_s: float = 1.0, stalled: float | None = None) -> list[Sample]:
    return [Sample(number * every_s, share, stalled=stalled) for number, share in enumerate(fixed)]


def test_a_limit_full_of_what_cant_be_freed_is_pressure_at_the_first_reading() -> None:
    assert judged(Sample(5.0, fixed=0.98)).since_s == 5.0


def test_a_limit_full_of_page_cache_is_none_however_often_it_is_reached() -> None:
    assert judged(*series([0.3] * 3600)).since_s is None


def test_a_large_heap_that_does_not_grow_is_none_while_its_processes_run() -> None:
    assert judged(*series([0.93] * 3600)).since_s is None
    assert judged(*series([0.93] * 3600, stalled=0.01)).since_s is None


def test_a_large_heap_that_grows_or_stalls_is_pressure() -> None:
    assert judged(*series([0.85, 0.89, 0.91])).since_s == 2.0
    assert judged(*series([0.93] * 10, stalled=0.2)).since_s == STALL_S


def test_what_grows_while_page_cache_in_use_gives_way_is_pressure_before_it_is_full() -> None:
    grows = [0.70, 0.74, *(0.78 for _ in range(10))]
    assert judged(*series(grows, stalled=0.2)).since_s == 2.0 + STALL_S
    assert judged(*series(grows, stalled=0.02)).since_s is None, "what gives way is not in use"
    assert judged(*series([0.78] * 60, stalled=0.2)).since_s is None, "nothing grows"


def test_a_heap_that_grows_and_is_collected_is_none() -> None:
    tooth = [0.30, 0.45, 0.60, 0.75, 0.85]
    assert judged(*series(tooth * 100)).since_s is None


@pytest.mark.parametrize("fixed", [0.76, 0.93])
def test_one_second_in_which_a_healthy_heap_stalls_on_a_busy_node_is_none(fixed: float) -> None:
    """Seen once in an hour: 76 % fixed, of a heap that is collected, and 17 % of a second."""
    samples = series([0.60, 0.70, *(fixed for _ in range(60))])
    busy = [replace(one, stalled=0.17 if number % 6 == 5 else 0.02) for number, one in enumerate(samples)]
    assert judged(*(replace(one, fixed=min(one.fixed, fixed)) for one in busy[2:])).since_s is None


@pytest.mark.parametrize("sample", [Sample(0.0, 0.2, stalled=0.8), Sample(0.0, 0.5, dirty=0.48)])
def test_processes_that_hardly_run_and_page_cache_that_is_not_written_back_are_pressure_if_that_lasts(
    sample: Sample,
) -> None:
    judge = judged(*(replace(sample, at_s=float(at_s)) for at_s in range(int(LASTING_S))))
    assert judge.since_s is None
    judge.add(replace(sample, at_s=LASTING_S))
    assert judge.since_s == LASTING_S


def test_processes_that_hardly_run_are_one_pressure_though_a_slow_disk_lets_them_reach_their_limit_seldom() -> None:
    """Some seconds are better, and after each 1,000 pages that are freed at once the limit is far for 20 s (measured: Linux 6.1)."""
    judge = Judge()
    changes = [
        judge.add(Sample(float(at_s), 0.6, reached=at_s < 12 or at_s % 20 == 19, stalled=MEASURED[at_s % 12]))
        for at_s in range(200)
    ]
    assert changes.count(True) == 1
    assert judge.since_s == LASTING_S


def test_stalls_without_a_limit_that_is_reached_are_not_the_limits_doing() -> None:
    judge = judged(*(Sample(float(at_s), 0.99, reached=False, stalled=1.0) for at_s in range(120)))
    assert (judge.since_s, judge.stalled_since_s) == (None, None)


def test_a_stall_of_before_is_not_the_limits_doing_when_the_limit_is_reached_at_last() -> None:
    elsewhere = [Sample(float(at_s), 0.5, reached=False, stalled=1.0) for at_s in range(120)]
    assert judged(*elsewhere, Sample(120.0, 0.5, stalled=1.0)).since_s is None


def test_the_share_of_a_stall_is_known_from_its_first_reading() -> None:
    assert judged(Sample(0.0, 0.98, stalled=0.97)).stalled() == pytest.approx(0.97)


def test_pressure_ends_after_a_while_without_a_sign_of_it() -> None:
    judge = judged(Sample(0.0, 0.98))
    calm = [Sample(1.0 + at_s, 0.4, reached=False) for at_s in range(int(CALM_S))]
    changes = [judge.add(sample) for sample in calm]
    assert changes == [False] * (len(calm) - 1) + [True]
    assert judge.since_s is None


def test_a_sign_in_between_makes_it_last() -> None:
    judge = judged(Sample(0.0, 0.98), Sample(9.0, 0.90), Sample(18.0, 0.4, reached=False))
    assert judge.since_s == 0.0


def test_a_stall_counts_from_its_beginning_and_a_kill_or_a_while_in_which_it_runs_ends_it() -> None:
    judge = judged(*(Sample(float(at_s), 0.6, stalled=0.97) for at_s in range(60)))
    assert judge.stalled_since_s == 0.0
    judge.add(Sample(60.0, 0.6, stalled=0.97, killed=True))
    assert judge.stalled_since_s is None
    judge.add(Sample(61.0, 0.6, stalled=0.97))
    assert judge.stalled_since_s == 61.0
    judge.add(Sample(62.0, 0.6, stalled=0.0))
    assert judge.stalled_since_s is None


MEASURED = [0.98, 0.86, 0.81, 0.98, 0.85, 0.84, 0.67, 0.67, 0.38, 0.94, 0.91, 0.98]  # each second; Linux 6.1, slow disk


def test_an_uneven_stall_is_one_stall_whose_share_is_that_of_its_last_seconds() -> None:
    judge = judged(*(Sample(float(at_s), 0.7, stalled=MEASURED[at_s % 12]) for at_s in range(60)))
    assert judge.stalled_since_s == 0.0
    assert judge.stalled() == pytest.approx(sum(MEASURED[2:]) / 10)
    judge.add(Sample(60.0, 0.7, stalled=0.0))
    assert judge.stalled_since_s == 0.0, "one second of ten"
    judge.add(Sample(61.0, 0.7, stalled=0.0))
    judge.add(Sample(62.0, 0.7, stalled=0.0))
    assert judge.stalled_since_s is None
    assert judge.stalled() == 0.0


def test_readings_count_by_the_time_between_them() -> None:
    judge = judged(Sample(0.0, 0.7), Sample(1.0, 0.7, stalled=0.9), Sample(1.1, 0.7, stalled=0.0))
    assert judge.stalled_since_s == 1.0
    judge.add(Sample(5.1, 0.7, stalled=0.5))
    assert judge.stalled_since_s is None


def test_a_container_that_stalls_half_of_the_time_is_not_stalled() -> None:
    assert judged(*series([0.7] * 120, stalled=0.6)).stalled_since_s is None


def test_a_stall_goes_on_while_the_limit_is_reached_now_and_then_only() -> None:
    """As on Linux 6.1 with a disk of 50 pages per second: +1, +1, +0, +2 … per second, and then up to 4 MiB are freed at once."""
    every_20_s = [at_s < 8 or at_s % 20 == 19 for at_s in range(60)]
    judge = judged(*(Sample(float(at_s), 0.98, reached=every_20_s[at_s], stalled=0.85) for at_s in range(60)))
    assert judge.stalled_since_s == 0.0


def test_a_stall_ends_when_the_limit_is_not_reached_any_more() -> None:
    judge = judged(*(Sample(float(at_s), 0.98, reached=at_s == 0, stalled=0.97) for at_s in range(int(REACHED_S) + 1)))
    assert judge.stalled_since_s == 0.0
    judge.add(Sample(REACHED_S + 1.0, 0.98, reached=False, stalled=0.97))
    assert judge.stalled_since_s is None


def test_how_soon_it_will_be_nearly_full_follows_its_growth() -> None:
    assert judged(*series([0.60, 0.70])).nearly_full_s() == pytest.approx(2.0)
    assert judged(*series([0.70, 0.60])).nearly_full_s() == float("inf")
    assert judged(Sample(0.0, 0.5)).nearly_full_s() == float("inf")


SAMPLES = st.lists(
    st.builds(
        Sample,
        at_s=st.just(0.0),
        fixed=st.floats(0.0, 1.1),
        dirty=st.floats(0.0, 1.0),
        reached=st.booleans(),
        stalled=st.none() | st.floats(0.0, 1.0),
        killed=st.booleans(),
    ),
    max_size=60,
)


@examples(300)
@given(SAMPLES, st.lists(st.floats(0.05, 30.0), min_size=60, max_size=60))
def test_whatever_is_read_pressure_needs_a_limit_that_is_reached_and_every_beginning_has_one_end(
    samples: list[Sample], waits: list[float]
) -> None:
    judge, now_s, reached_s = Judge(), 0.0, float("-inf")
    for sample, wait_s in zip(samples, waits, strict=False):
        now_s += wait_s
        reached_s = now_s if sample.reached else reached_s
        before = judge.since_s
        changed = judge.add(replace(sample, at_s=now_s))
        assert changed is ((before is None) != (judge.since_s is None))
        if before is None and judge.since_s is not None:
            assert sample.reached
            assert judge.since_s == now_s
        if judge.stalled_since_s is not None:
            assert now_s - reached_s <= REACHED_S
            assert not sample.killed


@examples(200)
@given(st.lists(st.floats(0.0, 0.74), min_size=1, max_size=100))
def test_without_psi_a_container_most_of_whose_memory_can_be_freed_is_never_under_pressure(fixed: list[float]) -> None:
    judge = Judge()
    for sample in series(fixed):
        judge.add(sample)
        assert judge.since_s is None
