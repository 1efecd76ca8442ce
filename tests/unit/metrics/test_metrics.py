"""What is counted, that it begins at zero, goes on over restarts, ends with its pod, and stays bounded."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

import agent.metrics.metrics as module
from agent.metrics import failing, series
from agent.metrics.metrics import Metrics
from agent.metrics.recover import RecoverMetrics
from agent.metrics.series import KEEP_S
from agent.model import CgroupKind, Mode, Scope, WriteOutcome
from tests.unit.wording.kills import GROUP, HOST, KILL, LOST

ROOT = Path(__file__).parents[3]
REFERENCE = ROOT / "docs" / "reference" / "metrics.md"


def samples(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    text = metrics.page()[1].decode()
    return {
        (s.name, frozenset(s.labels.items())): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }


def kills(metrics: Metrics, **labels: str) -> list[float]:
    wanted = set(labels.items())
    return [
        value
        for (name, carried), value in samples(metrics).items()
        if name == "oomward_oom_kills_total" and wanted <= carried
    ]


def metrics() -> Metrics:
    return Metrics("1.2.3", process_metrics=False)


@pytest.fixture
def bound(monkeypatch: pytest.MonkeyPatch) -> int:
    """A hundred containers in place of MOST_CONTAINERS: what is dropped beyond a bound doesn't depend on how large it is."""
    monkeypatch.setattr(series, "MOST_CONTAINERS", 100)
    return 100


def test_a_kill_counts_its_processes() -> None:
    m = metrics()
    m.kill(KILL)
    m.kill(GROUP)
    assert kills(m, mode="single", scope="container", pod="herder-1", container="herder", namespace="default") == [1.0]
    assert kills(m, mode="group") == [3.0]


def test_a_running_container_has_its_series_at_zero_before_anything_happens() -> None:
    m = metrics()
    m.container_running("default", "herder-1", "herder", Mode.SINGLE)
    assert kills(m, pod="herder-1", scope="container", mode="single") == [0.0]
    assert kills(m, pod="herder-1") == [0.0] * (len(Scope) + 1)  # and one where it is not known


def test_what_the_ledger_counted_before_is_where_counting_goes_on() -> None:
    m = metrics()
    m.seed({("default", "herder-1", "herder", "single", "container"): 41}, 0.0)
    m.kill(KILL)
    assert kills(m, pod="herder-1") == [42.0]


def test_totals_of_more_containers_than_a_pod_has_room_for_end_without_a_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series, "MOST_OF_A_POD", 2)
    m = metrics()
    m.seed({("default", "herder-1", f"c{i}", "single", "container"): 1 for i in range(5)}, 0.0)
    assert sum(kills(m)) == 5
    assert len(m.drop_stale(1.0)) == 0
    assert len(m.drop_stale(2.0 + KEEP_S)) == 6, "each container's total ends, and the pod's series"
    assert (kills(m), m._series._of_pod, m._series._of_namespace) == ([], {}, {})


def test_series_end_five_minutes_after_their_pod_and_not_before() -> None:
    m = metrics()
    m.kill(KILL)
    m.oom_group("default", "herder-1", "herder", 0, 0)
    m.container_gone("default", "herder-1", "herder", 100.0)
    m.drop_stale(100.0 + KEEP_S)
    assert kills(m, pod="herder-1") == [1.0]
    m.drop_stale(100.0 + KEEP_S + 1)
    assert [key for key in samples(m) if ("pod", "herder-1") in key[1]] == []


def test_a_container_that_comes_back_in_time_goes_on_with_its_series() -> None:
    m = metrics()
    m.kill(KILL)
    m.container_gone("default", "herder-1", "herder", 100.0)
    m.container_running("default", "herder-1", "herder", Mode.SINGLE)
    m.drop_stale(10_000.0)
    assert kills(m, pod="herder-1", scope="container") == [1.0]


def test_more_dead_pods_than_the_bound_has_room_for_stay_bounded(bound: int) -> None:
    """An hour of 24 pods per minute, so that 120 end within KEEP_S; housekeeping every ten seconds; one pod lives throughout."""
    pods, m = 1440, metrics()
    m.container_running("default", "alive", "main", Mode.SINGLE)

    def shown() -> set[str]:
        """The pods on the page."""
        return {s.labels["pod"] for family in m.registry.collect() for s in family.samples if "pod" in s.labels}

    for step in range(360):
        now_s = step * 10.0
        for i in range(step * pods // 360, (step + 1) * pods // 360):
            m.container_running("default", f"pod-{i}", "herder", Mode.GROUP)
            m.container_gone("default", f"pod-{i}", "herder", now_s)
        m.kill(replace(GROUP, pod=f"pod-{i}"))
        m.outcome(replace(GROUP, pod=f"pod-{i}"))
        m.drop_stale(now_s)
        assert len(m._series._series) <= bound
        assert m._series._ended.keys() <= m._series._series.keys()
    found = shown()
    assert len(found) == bound, "none ended early for nothing"
    assert {"alive", f"pod-{pods - 1}"} <= found
    assert "pod-0" not in found
    assert m._series._living == {("default", "alive")}
    m.drop_stale(3600.0 + KEEP_S + 1)
    assert shown() == {"alive"}


def test_a_pod_of_very_many_containers_has_series_for_some_and_its_other_kills_count_for_the_pod(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(series, "MOST_OF_A_POD", 3)
    m = metrics()
    for i in range(20):
        m.container_running("default", "herder-1", f"c{i}", Mode.SINGLE)
        m.oom_group("default", "herder-1", f"c{i}", 0, 0)
        m.kill(replace(KILL, container=f"c{i}"))
        m.outcome(replace(KILL, container=f"c{i}"))
    m.container_running("default", "db-0", "main", Mode.SINGLE)
    assert len(m._series._series) == 3 + 1 + 1
    assert kills(m, container="c2", scope="container") == [1.0]
    assert kills(m, container="", pod="herder-1", scope="container") == [17.0]
    assert kills(m, pod="db-0", scope="container") == [0.0], "others have theirs"
    assert sum(kills(m)) == 20
    assert caplog.text.count("3 containers of pod default/herder-1 have series") == 1
    for i in range(20):
        m.container_gone("default", "herder-1", f"c{i}", 0.0)
    dropped = m.drop_stale(KEEP_S + 1)
    assert {container for _, _, container in dropped} == {"", *(f"c{i}" for i in range(20))}, "their totals end too"
    assert (kills(m, pod="herder-1"), m._series._without) == ([], {})


def test_series_of_living_containers_are_bounded_in_all_and_no_kill_is_lost(
    bound: int, caplog: pytest.LogCaptureFixture
) -> None:
    m = metrics()
    for i in range(10 * bound):
        m.container_running("default", f"pod-{i}", "main", Mode.SINGLE)
    for i in range(10 * bound):
        m.kill(replace(KILL, pod=f"pod-{i}", container="main"))
    assert len(m._series._series) == bound + 1
    assert kills(m, namespace="", pod="", container="", scope="container") == [9.0 * bound]
    assert caplog.text.count("containers have series") == 1
    for i in range(bound):
        m.container_gone("default", f"pod-{i}", "main", 0.0)
    m.drop_stale(0.0)
    m.drop_stale(KEEP_S + 1)
    m.container_running("default", "later", "main", Mode.SINGLE)
    assert kills(m, pod="later", scope="container") == [0.0], "there is room again"


def test_a_namespace_with_very_many_containers_takes_no_places_of_anothers(
    bound: int, caplog: pytest.LogCaptureFixture
) -> None:
    m = metrics()
    for i in range(10 * bound):
        m.container_running("many", f"pod-{i}", "main", Mode.SINGLE)
    for i in range(40):
        m.container_running("honest", f"pod-{i}", "main", Mode.SINGLE)
    assert len(kills(m, namespace="honest", scope="container")) == 40
    assert len(kills(m, namespace="many", scope="container")) == bound - 40
    for i in range(10 * bound):
        m.kill(replace(KILL, namespace="many", pod=f"pod-{i}", container="main"))
    m.kill(replace(KILL, namespace="honest", pod="pod-1", container="main"))
    assert len(m._series._series) == bound + 1
    assert kills(m, namespace="honest", pod="pod-1", scope="container") == [1.0]
    assert sum(kills(m)) == 10 * bound + 1, "no kill is lost"
    assert caplog.text.count("containers have series") == 1
    assert "such as many" in caplog.text
    assert len(m.drop_stale(0.0)) == 40, "their totals end in the ledger too"
    assert m.drop_stale(0.0) == []


def test_series_that_ended_are_dropped_early_of_the_namespace_with_the_most(bound: int) -> None:
    m = metrics()
    m.kill(replace(KILL, namespace="honest"))
    m.drop_stale(0.0)
    for i in range(3 * bound):
        m.kill(replace(KILL, namespace="many", pod=f"pod-{i}"))
        m.drop_stale(1.0 + i / 1000)
    assert kills(m, namespace="honest") == [1.0]
    assert len(kills(m, namespace="many")) == bound - 1


def test_failures_of_very_many_pods_are_bounded_and_take_no_places_of_anothers(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Such as thousands of pods that the kubelet refused."""
    monkeypatch.setattr(failing, "MOST_FAILING", 10)
    m = metrics()

    def shown(namespace: str) -> int:
        return sum(name == "oomward_pod_failure" and ("namespace", namespace) in labels for name, labels in samples(m))

    for _ in range(2):
        for i in range(50):
            m.pod_failures(f"many-{i}", {("many", f"pod-{i}", "Failed")})
        m.pod_failures("honest", {("honest", "pod", "Failed"), ("honest", "pod", "ImagePull")})
        assert (shown("honest"), shown("many"), len(m._failing._failures)) == (2, 9, 10)
    assert caplog.text.count("pods have series") == 1
    for i in range(50):
        m.pod_failures(f"many-{i}", set())
    m.pod_failures("honest", set())
    assert (shown("honest"), shown("many"), m._failing._failures) == (0, 0, {})


def test_a_pod_that_comes_back_while_others_are_dropped_keeps_its_series() -> None:
    m = metrics()
    for name in ("db-0", "db-1"):
        m.kill(replace(KILL, pod=name))
        m.container_gone("default", name, "herder", 0.0)
    m.drop_stale(KEEP_S + 1, lambda: m.container_running("default", "db-1", "herder", Mode.SINGLE))
    assert kills(m, pod="db-0") == []
    assert kills(m, pod="db-1", scope="container") == [1.0]


def test_beyond_the_bound_the_ones_that_ended_first_go_first(bound: int) -> None:
    m = metrics()
    for i in range(bound + 50):
        m.kill(replace(KILL, pod=f"pod-{i}"))
        m.container_gone("default", f"pod-{i}", "herder", float(i) / 1000)
    m.drop_stale(10.0)
    assert len(kills(m)) == bound
    assert kills(m, pod="pod-49") == []
    assert kills(m, pod="pod-50") == [1.0]


def test_a_kill_that_no_container_was_named_for_ends_with_its_pod_too() -> None:
    m = metrics()
    m.kill(replace(KILL, container=None))
    m.container_gone("default", "herder-1", "herder", 100.0)
    m.drop_stale(100.0 + KEEP_S + 1)
    assert kills(m) == []


def test_a_kill_told_after_its_pod_left_does_not_make_its_series_last() -> None:
    m = metrics()
    m.container_running("default", "herder-1", "herder", Mode.SINGLE)
    m.container_gone("default", "herder-1", "herder", 100.0)
    m.kill(GROUP)
    assert kills(m, mode="group", scope="container") == [3.0]
    m.drop_stale(100.0 + KEEP_S + 1)
    assert kills(m) == []


def test_series_of_the_ledger_whose_container_is_no_more_end_as_well() -> None:
    m = metrics()
    m.seed({("default", "old-1", "main", "single", "container"): 7}, 50.0)
    m.drop_stale(50.0 + KEEP_S)
    assert kills(m, pod="old-1") == [7.0]
    m.drop_stale(50.0 + KEEP_S + 1)
    assert kills(m, pod="old-1") == []


def test_running_containers_are_never_dropped_however_many_are_dead(bound: int) -> None:
    m = metrics()
    m.container_running("default", "alive", "main", Mode.SINGLE)
    m.seed({("default", f"dead-{i}", "main", "single", "node"): 1 for i in range(bound + 10)}, 0.0)
    m.drop_stale(1.0)
    assert kills(m, pod="alive") == [0.0] * (len(Scope) + 1)  # and one where it is not known
    assert len({s for s in samples(m) if s[0] == "oomward_oom_kills_total"}) == bound - 1 + len(Scope) + 1


def test_a_series_that_ends_before_its_time_is_counted_and_one_that_ends_in_time_is_not(bound: int) -> None:
    m = metrics()
    m.seed({("default", f"dead-{i}", "main", "single", "node"): 1 for i in range(bound + 10)}, 0.0)
    m.drop_stale(1.0)
    m.drop_stale(KEEP_S + 1)
    assert kills(m) == []
    assert samples(m)["oomward_series_evictions_total", frozenset()] == 10


def test_a_kill_told_long_after_its_series_ended_does_not_make_them_last() -> None:
    m = metrics()
    m.container_running("default", "herder-1", "herder", Mode.SINGLE)
    m.container_gone("default", "herder-1", "herder", 0.0)
    m.drop_stale(KEEP_S + 1)
    m.kill(KILL)
    m.drop_stale(1000.0)
    assert kills(m) == [1.0], "a scrape shall see it"
    m.drop_stale(1000.0 + KEEP_S + 1)
    assert kills(m) == []


def test_while_a_pod_lives_so_do_the_series_of_its_containers_that_ended_or_never_got_a_name() -> None:
    m = metrics()
    m.seed({("default", "herder-1", "init", "single", "container"): 3}, 0.0)
    m.container_running("default", "herder-1", "herder", Mode.SINGLE)
    m.kill(replace(KILL, container=None))
    m.drop_stale(5.0)
    m.drop_stale(10_000.0)
    assert kills(m, container="init") == [3.0]
    assert kills(m, container="") == [1.0]


def test_a_pod_that_comes_back_under_its_name_goes_on_with_all_its_series() -> None:
    m = metrics()
    m.container_running("default", "db-0", "main", Mode.SINGLE)
    m.kill(replace(KILL, pod="db-0", container=None))
    m.container_gone("default", "db-0", "main", 0.0)
    m.container_running("default", "db-0", "main", Mode.SINGLE)
    m.drop_stale(10.0)
    m.drop_stale(10_000.0)
    assert kills(m, container="") == [1.0]


def test_what_nobody_told_of_is_not_a_number_and_has_no_series() -> None:
    found = samples(metrics())
    assert math.isnan(found["oomward_inotify_watches", frozenset()])
    assert [name for name, _ in found if name in ("oomward_cgroups", "oomward_heartbeat_timestamp_seconds")] == []


def test_the_time_of_a_heartbeat_is_read_at_every_scrape() -> None:
    m = metrics()
    times = iter((1.5, 2.5))
    m.heartbeat_timestamp_seconds.labels("loop").set_function(lambda: next(times))
    key = ("oomward_heartbeat_timestamp_seconds", frozenset({("thread", "loop")}))
    assert [samples(m)[key], samples(m)[key]] == [1.5, 2.5]


def test_cgroups_are_counted_by_kind() -> None:
    m = metrics()
    m.cgroups.labels(CgroupKind.CONTAINER).set(12)
    m.cgroups.labels(CgroupKind.POD).set(5)
    m.cgroups.labels(CgroupKind.CONTAINER).set(11)
    found = samples(m)
    assert found["oomward_cgroups", frozenset({("kind", "container")})] == 11
    assert found["oomward_cgroups", frozenset({("kind", "pod")})] == 5


def test_a_mode_that_changes_begins_its_series_at_zero() -> None:
    m = metrics()
    m.container_running("default", "herder-1", "herder", Mode.GROUP)
    m.container_running("default", "herder-1", "herder", Mode.SINGLE)
    assert kills(m, mode="single", scope="container") == [0.0]
    assert kills(m, mode="group", scope="container") == [0.0]


def test_a_mode_that_nobody_wants_any_more_has_no_wanted_series() -> None:
    m = metrics()
    m.oom_group("default", "p", "c", 0, 0)
    m.oom_group("default", "p", "c", 1, None)
    found = samples(m)
    key = frozenset({"namespace": "default", "pod": "p", "container": "c"}.items())
    assert found["oomward_container_oom_group", key] == 1.0
    assert ("oomward_container_oom_group_desired", key) not in found


def test_kills_outside_of_pods_and_lost_details_have_counters_of_their_own() -> None:
    m = metrics()
    m.host_oom_kills.inc(HOST.processes)
    m.kill(LOST)
    m.unattributed_oom_kills.inc(2)
    found = samples(m)
    assert found["oomward_host_oom_kills_total", frozenset()] == 1
    assert found["oomward_oom_kills_without_details_total", frozenset()] == 1
    assert found["oomward_unattributed_oom_kills_total", frozenset()] == 2


def test_every_outcome_of_a_write_has_its_zero() -> None:
    found = samples(metrics())
    assert {dict(labels)["outcome"] for name, labels in found if name == "oomward_oom_group_writes_total"} == {
        o.value for o in WriteOutcome
    }


def test_events_and_watch_restarts_have_their_zeros_and_the_reference_names_them() -> None:
    found = samples(metrics())
    text = " ".join(REFERENCE.read_text().split())
    for name, label, words in (
        ("oomward_events_total", "outcome", module.EVENT_OUTCOMES),
        ("oomward_pod_watch_restarts_total", "reason", module.WATCH_REASONS),
    ):
        assert [found[name, frozenset({(label, word)})] for word in words] == [0.0] * len(words)
        sentence = text.partition(f"`{label}` of `{name}`: ")[2]
        assert set(re.findall(r"`([a-z_]+)`", sentence.partition(". `")[0])) == set(words)


def test_the_reference_lists_every_metric_with_its_labels_and_no_other() -> None:
    m = Metrics("1", process_metrics=False)
    rows = re.findall(r"^\| `(oomward_[a-z_]+)` \| (\w+) \| ([^|]*) \|", REFERENCE.read_text(), re.MULTILINE)
    documented = {name: (kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    real = {}
    of_controller = RecoverMetrics(process_metrics=False).registry
    for collector in (*m.registry._collector_to_names, *of_controller._collector_to_names):
        name = collector._name + ("_total" if collector._type == "counter" else "")  # type: ignore[attr-defined]
        real[name] = (collector._type, collector._labelnames)  # type: ignore[attr-defined]
    assert documented == real


def test_the_page_comes_in_the_format_that_was_asked_for() -> None:
    assert metrics().page("")[0].startswith("text/plain")
    assert metrics().page("application/openmetrics-text; version=1.0.0")[0].startswith("application/openmetrics-text")
