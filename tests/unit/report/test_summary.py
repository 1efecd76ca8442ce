"""The numbers of the page: no kill is lost between buckets and workloads, and shares are shares."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model import MemoryUse, Outcome, Scope
from agent.report import summary
from agent.report.model import Kill, Place
from tests.unit.profiles import examples

DAY_S = 86400.0
TIMES = st.floats(min_value=0.0, max_value=4e9)
USES = st.builds(MemoryUse, *(st.none() | st.integers(0, 1 << 40) for _ in range(8)), st.booleans())
PLACES = st.builds(Place, *(st.none() | st.sampled_from("ab") for _ in range(6)))
KILLS = st.builds(
    Kill,
    TIMES,
    st.sampled_from(("n1", "n2")),
    PLACES,
    outcome=st.none() | st.sampled_from(Outcome),
    scope=st.none() | st.sampled_from(Scope),
    use=st.none() | USES,
    limit_bytes=st.none() | st.integers(1, 1 << 40),
    process=st.none() | st.sampled_from(("java", "node")),
)


def kill(at: float = 1000.0, **more: object) -> Kill:
    return Kill(at, "n1", Place("shop", "Deployment", "web", "web-1", "app"), **more)  # type: ignore[arg-type]


def test_each_kill_counts_the_same_however_large_its_limit() -> None:
    small = kill(use=MemoryUse(anon=75, file=25))
    large = kill(use=MemoryUse(anon=0, file=1 << 40))
    assert summary.filling_of([small, large]).shares == {"processes": 0.375, "page cache": 0.625}


@given(st.lists(KILLS, max_size=30), TIMES, TIMES)
@examples(200)
def test_every_kill_is_in_one_bucket_and_there_are_never_too_many(kills: list[Kill], one: float, other: float) -> None:
    start, end = min(one, other), max(one, other)
    buckets = summary.over_time(kills, start, end)
    assert sum(bucket.outcomes.kills for bucket in buckets) == len(kills)
    assert 1 <= len(buckets) <= summary.MOST_BUCKETS
    step = summary.bucket_s(start, end)
    assert buckets[0].from_unix_s <= start
    assert end < buckets[-1].from_unix_s + step
    assert all(bucket.from_unix_s % step == 0 for bucket in buckets)


@given(st.lists(KILLS, max_size=30))
def test_every_kill_is_of_one_workload_the_most_kills_first(kills: list[Kill]) -> None:
    found = summary.by_workload(kills)
    numbers = [one.outcomes.kills for one in found]
    assert sum(numbers) == len(kills)
    assert numbers == sorted(numbers, reverse=True)
    assert all(one.outcomes.unknown >= 0 for one in found)


@given(st.lists(KILLS, max_size=30))
def test_shares_of_what_filled_the_limits_add_up_to_one_at_most(kills: list[Kill]) -> None:
    filling = summary.filling_of(kills)
    shares = filling.shares
    assert sum(shares.values()) <= 1.0001
    assert not filling.kills or sum(shares.values()) > 0.97  # what is left out is below half a percent per kind
    assert filling.largest is None or shares[filling.largest] == max(shares.values())


@pytest.mark.parametrize(
    ("span_s", "wanted_s"),
    [
        (600.0, 60),
        (3600.0, 300),
        (DAY_S, 3600),
        (7 * DAY_S, 4 * 3600),
        (30 * DAY_S, DAY_S),
        (400 * DAY_S, 14 * DAY_S),
        (0.0, 60),
    ],
)
def test_a_bucket_is_as_long_as_people_count(span_s: float, wanted_s: int) -> None:
    assert summary.bucket_s(1e9, 1e9 + span_s) == wanted_s


def test_buckets_begin_at_full_hours_and_empty_ones_are_there() -> None:
    kills = [kill(7200.0 + 30), kill(4 * 3600.0)]
    buckets = summary.over_time(kills, 2 * 3600.0 + 10, 24 * 3600.0)
    assert [one.outcomes.kills for one in buckets[:6]] == [1, 0, 0, 0, 1, 0]
    assert buckets[0].from_unix_s == 7200.0


def test_swapped_out_memory_and_parts_of_other_kinds_are_not_counted() -> None:
    use = MemoryUse(anon=50, file=50, dirty=50, slab_reclaimable=30, swap=1000)
    assert summary.filling_of([kill(use=use)]).shares == {"processes": 0.5, "page cache": 0.5}


def test_what_the_kill_freed_before_the_memory_was_read_was_of_processes() -> None:
    after = kill(use=MemoryUse(anon=10, file=30, by_report=False), limit_bytes=100)
    assert summary.filling_of([after]).shares == {"processes": 0.7, "page cache": 0.3}
    assert summary.filled_by(after) == "processes"


def test_what_a_report_does_not_name_is_other_memory_and_no_answer() -> None:
    partly = kill(use=MemoryUse(anon=10, file=30), limit_bytes=100)
    assert summary.filling_of([partly]).shares == {"processes": 0.1, "page cache": 0.3, "other": 0.6}
    assert summary.filled_by(partly) is None


def test_a_kill_because_the_node_was_out_of_memory_filled_no_limit() -> None:
    of_node = kill(scope=Scope.NODE, use=MemoryUse(anon=10))
    assert (summary.filling_of([of_node]).kills, summary.filling_of([of_node]).without) == (0, 0)
    assert summary.by_workload([kill(scope=Scope.NODE, limit_bytes=1 << 40)])[0].limit_bytes is None


def test_a_kill_without_memory_by_kind_is_counted_as_such() -> None:
    filling = summary.filling_of([kill(limit_bytes=100), kill(limit_bytes=100, use=MemoryUse(anon=0)), kill()])
    assert (filling.kills, filling.without, filling.largest) == (0, 2, None)


def test_what_filled_a_limit_is_what_the_agent_says_or_else_the_largest_kind() -> None:
    assert summary.filled_by(kill(use=MemoryUse(anon=1, shmem=2))) == "shared memory and tmpfs"
    assert summary.filled_by(kill(use=MemoryUse(anon=1), filled_by="sockets")) == "sockets"
    assert summary.filled_by(kill()) is None


def test_a_workload_has_the_limit_and_the_time_of_its_last_kill() -> None:
    (found,) = summary.by_workload(
        [kill(2000.0, limit_bytes=20), kill(1000.0, limit_bytes=10), kill(3000.0, limit_bytes=30)]
    )
    assert (found.last_unix_s, found.limit_bytes, found.outcomes.kills) == (3000.0, 30, 3)


def test_outcomes_are_counted_apart() -> None:
    found = summary.outcomes_of(
        [kill(outcome=Outcome.DIED), kill(outcome=Outcome.SURVIVED), kill(outcome=Outcome.SURVIVED), kill()]
    )
    assert (found.kills, found.died, found.survived, found.unknown) == (4, 1, 2, 1)
