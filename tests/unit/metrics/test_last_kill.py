"""When each container's last kill was, and what filled its memory then."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.metrics import last_kill, series
from agent.metrics.last_kill import KINDS
from agent.metrics.metrics import Metrics
from agent.metrics.series import KEEP_S
from agent.model import MemoryUse, Mode, OomKill
from tests.unit.metrics.test_metrics import samples
from tests.unit.wording.kills import KILL, MIB

USE = MemoryUse(anon=241 * MIB, file=9 * MIB, dirty=1 * MIB, kernel=6 * MIB)
KEY = ("default", "herder-1", "herder")
AT = KILL.at_unix_s


def metrics() -> Metrics:
    return Metrics("1.2.3", process_metrics=False)


def kill(ordinal: int = 1, use: MemoryUse | None = USE, at: float = AT, **changed: str | None) -> OomKill:
    return replace(KILL, ordinal=ordinal, use=use, at_unix_s=at, **changed)  # type: ignore[arg-type]


def times(m: Metrics) -> dict[str, float]:
    """By pod and container."""
    found = [(name, dict(labels), value) for (name, labels), value in samples(m).items()]
    return {
        f"{labels['pod']}/{labels['container']}": value
        for name, labels, value in found
        if name == "oomward_last_oom_kill_timestamp_seconds"
    }


def memory(m: Metrics, pod: str = "herder-1") -> dict[str, float]:
    """By kind."""
    found = [(name, dict(labels), value) for (name, labels), value in samples(m).items()]
    return {
        labels["kind"]: value
        for name, labels, value in found
        if name == "oomward_last_oom_kill_memory_bytes" and labels["pod"] == pod
    }


def test_a_container_without_a_kill_has_neither_time_nor_memory() -> None:
    m = metrics()
    m.container_running(*KEY, Mode.SINGLE)
    assert (times(m), memory(m)) == ({}, {})


def test_a_kill_shows_its_time_and_the_kinds_that_the_kernel_named() -> None:
    m = metrics()
    m.kill(kill())
    assert times(m) == {"herder-1/herder": AT}
    assert memory(m) == {"anon": 241 * MIB, "file": 9 * MIB, "dirty": MIB, "kernel": 6 * MIB}


def test_every_kind_of_memory_has_a_series() -> None:
    m = metrics()
    m.kill(kill(use=MemoryUse(**dict.fromkeys(KINDS, 7))))  # type: ignore[arg-type]
    assert memory(m) == dict.fromkeys(KINDS, 7)
    assert set(KINDS) == {"anon", "file", "dirty", "shmem", "kernel", "slab_reclaimable", "sock", "swap"}


def test_a_later_kill_replaces_all_kinds_of_the_one_before() -> None:
    m = metrics()
    m.kill(kill())
    m.kill(kill(2, MemoryUse(anon=0, shmem=5 * MIB), AT + 1))
    assert times(m) == {"herder-1/herder": AT + 1}
    assert memory(m) == {"anon": 0, "shmem": 5 * MIB}
    m.kill(kill(3, None, AT + 2))
    assert memory(m) == {}, "it is not known of this one"


def test_a_kill_that_is_recorded_after_a_later_one_changes_nothing() -> None:
    m = metrics()
    m.kill(kill(2, at=AT + 5))
    m.kill(kill(1, MemoryUse(anon=1), AT))
    assert times(m) == {"herder-1/herder": AT + 5}
    assert memory(m)["anon"] == 241 * MIB
    m.kill(kill(3, MemoryUse(anon=7), AT + 5))
    assert memory(m) == {"anon": 7}, "of two at the same time the one that was counted last"


def test_details_that_come_late_fill_in_the_memory_of_the_last_kill_and_of_no_other() -> None:
    m = metrics()
    m.kill(kill(1, None))
    m.details(kill(1, USE, AT - 3))
    assert memory(m)["anon"] == 241 * MIB
    assert times(m) == {"herder-1/herder": AT}, "a time that goes back would look like another kill"
    m.kill(kill(2, None, AT + 1))
    m.details(kill(1))
    assert memory(m) == {}
    m.details(kill(9, pod="other"))
    assert memory(m, "other") == {}, "its series have ended"


def test_kills_after_the_clock_was_set_back_are_the_last_ones_and_a_late_one_from_before_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(last_kill, "time", lambda: AT)
    m = metrics()
    m.kill(kill(1, at=AT))
    monkeypatch.setattr(last_kill, "time", lambda: AT - 3600)
    for ordinal in (3, 4):
        m.kill(kill(ordinal, MemoryUse(anon=ordinal), AT - 3600 + ordinal))
        assert times(m) == {"herder-1/herder": AT - 3600 + ordinal}
        assert memory(m) == {"anon": ordinal}
    m.kill(kill(2, MemoryUse(anon=2), AT - 3600))
    m.details(kill(1, MemoryUse(anon=1)))
    assert (times(m), memory(m)) == ({"herder-1/herder": AT - 3600 + 4}, {"anon": 4})


@pytest.mark.parametrize("known", [kill(7, at=AT + 1e8), None], ids=["kept", "not kept any more"])
def test_a_last_kill_of_a_time_that_has_not_come_gives_way_to_any_other(
    monkeypatch: pytest.MonkeyPatch, known: OomKill | None
) -> None:
    """As of a boot in which the clock was years ahead; of another cgroup, and so of another order."""
    monkeypatch.setattr(last_kill, "time", lambda: AT + 10)
    m = metrics()
    m.seed({(*KEY, "single", "container"): 3}, 0.0, {KEY: (AT + 1e8, known)})
    m.kill(replace(kill(1, MemoryUse(anon=1)), cgroup_inode=99))
    assert (times(m), memory(m)) == ({"herder-1/herder": AT}, {"anon": 1})
    m.kill(replace(kill(1, MemoryUse(anon=2), AT - 1), cgroup_inode=98))
    assert times(m) == {"herder-1/herder": AT}, "this one was before it"


def test_a_kill_of_a_time_that_has_not_come_is_replaced_by_none_that_was_before_it_in_its_cgroup(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(last_kill, "time", lambda: AT)
    m = metrics()
    m.kill(kill(5, at=AT + 3600))
    m.kill(kill(4, MemoryUse(anon=4), AT))
    assert times(m) == {"herder-1/herder": AT + 3600}


def test_the_last_kill_of_the_ledger_is_shown_after_a_restart_until_the_next() -> None:
    m = metrics()
    m.seed({(*KEY, "single", "container"): 3}, 0.0, {KEY: (AT, kill(7))})
    assert times(m) == {"herder-1/herder": AT}
    assert memory(m)["anon"] == 241 * MIB
    m.kill(kill(8, None, AT + 1))
    assert (times(m), memory(m)) == ({"herder-1/herder": AT + 1}, {})


def test_details_that_come_after_a_restart_are_those_of_the_ledgers_last_kill() -> None:
    m = metrics()
    m.seed({(*KEY, "single", "container"): 3}, 0.0, {KEY: (AT, kill(7, None))})
    m.details(kill(6))
    assert memory(m) == {}
    m.details(kill(7))
    assert memory(m)["anon"] == 241 * MIB


def test_a_container_whose_series_were_dropped_and_are_back_keeps_its_last_kill() -> None:
    m = metrics()
    m.kill(kill())
    m._last_kills.forget([KEY, ("default", "other", "main")])
    assert times(m) == {"herder-1/herder": AT}


def test_a_kill_that_the_ledger_does_not_keep_any_more_has_still_its_time() -> None:
    m = metrics()
    m.seed({(*KEY, "single", "container"): 3}, 0.0, {KEY: (AT, None)})
    assert (times(m), memory(m)) == ({"herder-1/herder": AT}, {})


def test_they_end_with_the_other_series_of_the_container_and_leave_nothing() -> None:
    m = metrics()
    m.kill(kill())
    m.container_gone(*KEY, 0.0)
    m.drop_stale(KEEP_S + 1)
    assert (times(m), memory(m), m._last_kills._last) == ({}, {}, {})
    m.kill(kill(2, at=AT - 100))
    assert times(m) == {"herder-1/herder": AT - 100}, "a pod of the same name starts without them"


def test_kills_without_a_series_of_their_own_container_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series, "MOST_OF_A_POD", 2)
    m = metrics()
    for i in range(5):
        m.kill(kill(i, container=f"c{i}"))
    m.kill(kill(9, namespace=None, pod=None, container=None))
    assert set(times(m)) == {"herder-1/c0", "herder-1/c1"}


def test_series_of_kills_stay_within_the_bound_of_containers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series, "MOST_CONTAINERS", 10)
    m = metrics()
    for i in range(100):
        m.container_running("many", f"pod-{i}", "main", Mode.SINGLE)
        m.kill(kill(i, namespace="many", pod=f"pod-{i}", container="main"))
    m.kill(kill(1, namespace="honest", pod="a", container="main"))
    assert "a/main" in times(m)
    assert len(times(m)) <= 10
    m.drop_stale(0.0)
    assert len(m._last_kills._last) <= 10


def test_a_container_that_lost_its_series_and_has_them_again_shows_its_last_kill(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    m = metrics()
    m.kill(kill())
    m.container_gone(*KEY, 0.0)
    monkeypatch.setattr(series, "MOST_CONTAINERS", 0)
    m.drop_stale(1.0)
    monkeypatch.setattr(series, "MOST_CONTAINERS", 10)
    assert (times(m), memory(m)) == ({}, {})
    m.kill(kill(2, MemoryUse(anon=5), AT - 3))
    assert (times(m), memory(m)) == ({"herder-1/herder": AT - 3}, {"anon": 5})


def test_a_tolerance_that_is_exceeded_is_counted_for_its_container_from_zero() -> None:
    m = metrics()
    name, labels = (
        "oomward_tolerance_exceeded_total",
        {"namespace": "default", "pod": "herder-1", "container": "herder"},
    )
    m.container_running(*KEY, Mode.SINGLE)
    assert (name, frozenset(labels.items())) not in samples(m), "it has no tolerance"
    m.container_running(*KEY, Mode.SINGLE, tolerates=True)
    assert samples(m)[name, frozenset(labels.items())] == 0
    m.exceeded(*KEY)
    assert samples(m)[name, frozenset(labels.items())] == 1


def test_a_configuration_is_successful_until_one_is_refused_and_again_when_it_is_right() -> None:
    m = metrics()

    def shown() -> tuple[float, float, float]:
        found = samples(m)
        names = ("last_reload_successful", "last_reload_success_timestamp_seconds", "reload_failures_total")
        first, second, third = (found[f"oomward_config_{name}", frozenset()] for name in names)
        return first, second, third

    m.config_loaded(100.0)
    assert shown() == (1, 100.0, 0)
    m.config_loaded(None)
    assert shown() == (0, 100.0, 1)
    m.config_loaded(300.0)
    assert shown() == (1, 300.0, 1)


def test_pressure_is_shown_while_it_lasts_counts_its_seconds_and_ends_with_the_pod() -> None:
    m = metrics()
    labels = frozenset({"namespace": "default", "pod": "herder-1", "container": "herder"}.items())

    def shown() -> tuple[float | None, float | None]:
        found = samples(m)
        names = ("oomward_memory_limit_pressure", "oomward_memory_limit_pressure_seconds_total")
        gauge, seconds = (found.get((name, labels)) for name in names)
        return gauge, seconds

    m.container_running(*KEY, Mode.SINGLE)
    assert shown() == (None, None)
    m.under_pressure(*KEY, seconds=1.5, lasts=True)
    assert shown() == (1, 1.5)
    m.under_pressure(*KEY, seconds=2.0, lasts=False)
    assert shown() == (0, 3.5)
    m.container_gone(*KEY, 0.0)
    m.drop_stale(KEEP_S + 1)
    assert shown() == (None, None)
