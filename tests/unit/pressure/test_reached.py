"""A cgroup that reaches its own limit is reported to every listener, from the counters that are read anyway."""

from __future__ import annotations

from agent.cgroup.layout import classify
from agent.model import Cgroup, MemoryEvents
from agent.pressure.reached import Reached

WEB = Cgroup(classify("kubepods/pod11111111-2222-3333-4444-555555555555/" + "a" * 64), 7)


def test_a_count_that_rose_is_reported_once_to_each_listener() -> None:
    first, second = list[tuple[Cgroup, float]](), list[tuple[Cgroup, float]]()
    reached = Reached(lambda *seen: first.append(seen), lambda *seen: second.append(seen))
    for now_s, local_max in enumerate((3, 3, 5, 5)):
        reached.counted(WEB, MemoryEvents(0, local_max=local_max), float(now_s))
    assert first == second == [(WEB, 2.0)]


def test_what_happened_before_the_first_reading_is_no_news() -> None:
    seen = list[Cgroup]()
    Reached(lambda cgroup, _: seen.append(cgroup)).counted(WEB, MemoryEvents(1, local_max=9), 0.0)
    assert not seen


def test_a_cgroup_that_is_gone_is_forgotten() -> None:
    seen = list[Cgroup]()
    reached = Reached(lambda cgroup, _: seen.append(cgroup))
    reached.counted(WEB, MemoryEvents(0, local_max=1), 0.0)
    reached.gone(WEB)
    reached.counted(WEB, MemoryEvents(0, local_max=5), 1.0)
    assert not seen
