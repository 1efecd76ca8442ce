"""The whole page, as Prometheus gets it after a fixed scenario, and what every scrape may rely on."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from agent.metrics.metrics import CREATED_SWITCH, Metrics
from agent.model import CgroupKind, MemoryUse, Mode, WriteOutcome
from tests.unit.wording.kills import GROUP, HOST, KILL, LOST

GOLDEN = Path(__file__).with_name("metrics.golden.txt")
BASE_UNITS = ("_seconds", "_bytes", "_info", "_total")
ODD_UNITS = re.compile(r"_(ms|us|milliseconds|minutes|hours|kb|mb|mib|kib|percent)(_|$)")


def scenario() -> Metrics:
    """A node with two containers, some kills, some trouble."""
    m = Metrics("1.2.3", process_metrics=False)
    m.seed({("default", "herder-1", "herder", "single", "container"): 40}, 0.0)
    m.container_running("default", "herder-1", "herder", Mode.SINGLE)
    m.container_running("default", 'odd"pod\\\n', "main", None)
    m.oom_group("default", "herder-1", "herder", 0, 0)
    m.oom_group("default", "plain", "main", 1, None)
    for kill in (KILL, GROUP, LOST, replace(KILL, at_unix_s=KILL.at_unix_s + 1, use=MemoryUse(anon=241 << 20, file=0))):
        m.kill(kill)
    m.host_oom_kills.inc(HOST.processes)
    m.unattributed_oom_kills.inc(2)
    m.unmatched_reports.inc(1)
    for outcome in (WriteOutcome.WRITTEN, WriteOutcome.WRITTEN, WriteOutcome.DENIED):
        m.oom_group_writes.labels(outcome).inc()
    for seconds in (0.0003, 0.0004, 0.07):
        m.oom_group_write_duration_seconds.observe(seconds)
    m.drift_corrections.inc()
    m.resyncs.inc()
    m.resync_corrections.inc(0)
    m.write_conflicts.inc()
    m.ancestor_conflicts.set(1)
    m.oom_policy_conflicts.set(2)
    m.modes_invalid.inc()
    m.modes_failed.inc()
    m.exceeded("default", "herder-1", "herder")
    m.containers_killed.labels("tolerance").inc()
    m.under_pressure("default", "herder-1", "herder", seconds=2.5, lasts=True)
    m.stalls_resolved.labels("kill-largest").inc()
    m.pod_failures("uid-1", {("default", "herder-1", "OOMKilledProcess")})
    m.kmsg_readable.set(True)
    m.kmsg_lost_records.inc(133)
    m.kmsg_foreign_records.inc(4)
    m.inotify_overflows.inc()
    m.inotify_watches.set(321)
    m.cgroups.labels(CgroupKind.CONTAINER).set(12)
    m.heartbeat_timestamp_seconds.labels("loop").set_function(lambda: 0.5)
    m.pod_watch_restarts.labels("gone").inc()
    m.pods_skipped.inc()
    m.cgroup_errors.inc()
    m.events.labels("created").inc()
    m.events_pending.set(3)
    m.config_loaded(1_760_000_000.0)
    m.config_loaded(None)
    m.ledger_persistent.set(True)
    return m


def test_the_whole_page_is_as_it_was() -> None:
    """Write it anew with OOMWARD_GOLDEN=write after reading the difference."""
    page = scenario().page()[1].decode()
    if os.environ.get("OOMWARD_GOLDEN") == "write":
        GOLDEN.write_text(page)
    assert page == GOLDEN.read_text()


def test_both_formats_can_be_read_back_and_say_the_same() -> None:
    metrics = scenario()
    openmetrics = page(metrics, "application/openmetrics-text; version=1.0.0")
    assert samples(parse_text(page(metrics, ""))) == samples(parse_openmetrics(openmetrics))  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/plain;version=0.0.4", "text/plain; version=0.0.4; charset=utf-8"),
        ("application/openmetrics-text", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        (
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
            "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",  # Prometheus 2
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=1.0.0;q=0.4,*/*;q=0.2",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",  # Prometheus 3
        ),
    ],
)
def test_the_accept_header_decides_the_format_as_the_library_reads_it(accept: str, content_type: str) -> None:
    told, body = scenario().page(accept)
    assert told.startswith(content_type)
    openmetrics = content_type.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n") is openmetrics
    assert (b"# TYPE oomward_drift_corrections counter" in body) is openmetrics
    assert (b"# TYPE oomward_drift_corrections_total counter" in body) is not openmetrics


OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def test_no_series_says_when_it_was_created_in_either_format() -> None:
    assert "_created" not in page(scenario(), "") + page(scenario(), OPENMETRICS)


@pytest.mark.parametrize(("switch", "created"), [(None, False), ("true", False), ("false", True)])
def test_the_library_s_switch_decides_where_it_is_set(switch: str | None, created: bool) -> None:
    program = "from agent.metrics.metrics import Metrics; print(Metrics('1').page()[1].decode())"
    environment = {key: value for key, value in os.environ.items() if key != CREATED_SWITCH}
    if switch is not None:
        environment[CREATED_SWITCH] = switch
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert ("oomward_drift_corrections_created" in done.stdout) is created


def page(metrics: Metrics, accept: str) -> str:
    return metrics.page(accept)[1].decode()


def samples(families: Iterable[Metric]) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def test_names_types_and_units_follow_the_conventions() -> None:
    """prometheus.io/docs/practices/naming: one prefix, base units, totals for counters only, a sentence of help."""
    for family in parse_text(page(scenario(), "")):
        name = family.name + ("_total" if family.type == "counter" else "")
        assert re.fullmatch(r"oomward_[a-z]+(_[a-z]+)*", name)
        assert not ODD_UNITS.search(name)
        assert name.endswith("_total") == (family.type == "counter")
        assert re.fullmatch(r"[A-Z0-9m].*\.", family.documentation)
        assert family.type != "histogram" or name.endswith(BASE_UNITS)
        for sample in family.samples:
            assert set(sample.labels) <= {
                "namespace",
                "pod",
                "container",
                "mode",
                "scope",
                "outcome",
                "reason",
                "version",
                "le",
                "kind",
                "thread",
                "category",
                "action",
            }


@pytest.mark.parametrize("outcome", list(WriteOutcome))
def test_each_outcome_of_a_write_is_counted_under_its_own_name(outcome: WriteOutcome) -> None:
    m = Metrics("1", process_metrics=False)
    m.oom_group_writes.labels(outcome).inc()
    lines = [
        line
        for line in page(m, "").splitlines()
        if line.startswith("oomward_oom_group_writes_total") and line.endswith(" 1.0")
    ]
    assert lines == [f'oomward_oom_group_writes_total{{outcome="{outcome.value}"}} 1.0']


def test_the_process_tells_of_its_own_size() -> None:
    assert "process_resident_memory_bytes" in Metrics("1").page()[1].decode()


def test_two_agents_in_one_process_share_nothing() -> None:
    first, second = Metrics("1", process_metrics=False), Metrics("2", process_metrics=False)
    first.drift_corrections.inc()
    assert "oomward_drift_corrections_total 1.0" in page(first, "")
    assert "oomward_drift_corrections_total 0.0" in page(second, "")
