"""Every alert leads to a page that tells what to do, asks for metrics that exist, and is tested to fire and to resolve."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.monitoring.rules import COMPONENT, ROOT, alerts
from tests.unit.monitoring.names import OTHERS_METRICS, foreign_names, metrics_in, own_metrics, wrong_labels

RUNBOOKS = ROOT / "docs" / "runbooks"
PAGES = sorted(page for page in RUNBOOKS.glob("*.md") if page.name != "README.md")
TESTS = sorted((ROOT / "tests" / "monitoring" / "alerts").glob("*.test.yaml"))
BEYOND_THE_AGENT = {"kube_node_info", "kube_node_status_condition"}  # used where it is there, never needed


def name(alert: dict[str, Any]) -> str:
    return str(alert["alert"])


def cases() -> list[dict[str, Any]]:
    """Every expectation of every promtool test of an alert."""
    tests = [test for path in TESTS for test in yaml.safe_load(path.read_text())["tests"]]
    return [case for test in tests for case in test.get("alert_rule_test", [])]


@pytest.mark.parametrize("alert", alerts(), ids=name)
def test_an_alert_has_a_severity_and_says_in_words_what_is_wrong(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in ("info", "warning"), "critical pages at night: that is for the users to say"
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
    assert all(text.strip() for text in alert["annotations"].values())


@pytest.mark.parametrize("alert", alerts(), ids=name)
def test_an_alert_names_its_own_runbook(alert: dict[str, Any]) -> None:
    assert alert["annotations"]["runbook_url"].endswith(f"/docs/runbooks/{name(alert)}.md")
    assert (RUNBOOKS / f"{name(alert)}.md").is_file()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_runbook_is_an_alert_s_and_answers_what_one_asks_at_night(page: Path) -> None:
    assert page.stem in {name(alert) for alert in alerts()}
    text = page.read_text()
    assert text.startswith(f"# {page.stem}\n")
    assert "kubectl" in text
    assert re.search(r"\n## Can it wait until morning\?\n\n(Yes|No|Usually|It depends)\b", text), (
        "the first question at 3 a.m."
    )
    assert re.search(r"\b(agent|oomward) (ps|explain|history|check)\b", text), "no command of oomward is named"


def test_the_index_lists_every_alert_with_its_severity() -> None:
    rows = re.findall(r"^\| \[(\w+)\]\((\w+)\.md\) \| (\w+) \|", (RUNBOOKS / "README.md").read_text(), re.MULTILINE)
    assert rows == [(name(a), name(a), a["labels"]["severity"]) for a in sorted(alerts(), key=_as_in_the_index(rows))]
    assert len(rows) == len(alerts())


def _as_in_the_index(rows: list[tuple[str, str, str]]) -> Any:
    order = [row[0] for row in rows]
    return lambda alert: order.index(name(alert))


@pytest.mark.parametrize("alert", alerts(), ids=name)
def test_an_alert_asks_for_metrics_that_the_agent_has(alert: dict[str, Any]) -> None:
    assert metrics_in(alert["expr"]) - own_metrics() == set()
    assert foreign_names(alert["expr"]) <= BEYOND_THE_AGENT | OTHERS_METRICS
    assert wrong_labels(alert["expr"]) == set()


@pytest.mark.parametrize("page", [*PAGES, RUNBOOKS / "README.md"], ids=lambda page: page.stem)
def test_a_runbook_names_metrics_that_the_agent_has(page: Path) -> None:
    assert metrics_in(page.read_text()) - own_metrics() == set()


@pytest.mark.parametrize("alert", alerts(), ids=name)
def test_an_alert_is_tested_to_be_silent_and_to_fire_and_to_resolve(alert: dict[str, Any]) -> None:
    mine = [case for case in cases() if case["alertname"] == name(alert)]
    assert any(case.get("exp_alerts") for case in mine), "no test sees it fire"
    assert any(not case.get("exp_alerts") for case in mine), "no test sees it silent"
    assert any(_resolves(test, name(alert)) for path in TESTS for test in yaml.safe_load(path.read_text())["tests"])


def _resolves(test: dict[str, Any], alert: str) -> bool:
    """Whether in this test the alert fires and, later, does not."""
    seen = [bool(case.get("exp_alerts")) for case in test.get("alert_rule_test", []) if case["alertname"] == alert]
    return True in seen and False in seen[seen.index(True) :]


@pytest.mark.parametrize("alert", alerts(), ids=name)
def test_an_alert_keeps_the_cluster_where_series_have_one_and_never_mixes_two(alert: dict[str, Any]) -> None:
    kept = re.findall(r"\bby \(([^)]*)\)", alert["expr"])
    matched = [one for one in re.findall(r"\bon \(([^)]*)\)", alert["expr"]) if one]
    assert kept
    assert all("cluster" in labels.split(", ") for labels in kept + matched)


def test_the_inhibitions_of_the_guide_name_alerts_that_exist_and_labels_that_they_have() -> None:
    page = (ROOT / "docs" / "howto" / "alert.md").read_text()
    (block,) = [one for one in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "inhibit_rules" in one]
    labels = {name(alert): set(re.search(r"\bby \(([^)]*)\)", alert["expr"])[1].split(", ")) for alert in alerts()}  # type: ignore[index]
    rules = yaml.safe_load(block)["inhibit_rules"]
    assert len(rules) == 3
    for rule in rules:
        sources, targets = (_alertnames(rule[f"{side}_matchers"]) for side in ("source", "target"))
        assert targets <= labels.keys()
        assert not sources & targets, "it would inhibit itself"
        for one in (sources | targets) & labels.keys():
            assert set(rule["equal"]) <= labels[one], one


def _alertnames(matchers: list[str]) -> set[str]:
    (matcher,) = matchers
    return set(matcher.partition('"')[2].rstrip('"').split("|"))


def test_the_sentences_of_every_alert_are_tested() -> None:
    read = yaml.safe_load((ROOT / "tests" / "monitoring" / "alerts" / "annotations.test.yaml").read_text())
    told = {case["alertname"] for test in read["tests"] for case in test["alert_rule_test"]}
    assert told == {name(alert) for alert in alerts()}


def test_a_counter_of_the_agent_is_never_asked_for_its_increase_alone() -> None:
    """increase() misses what was there at the first scrape: each alert has a second part that does not."""
    for alert in alerts():
        if "increase(" in alert["expr"]:
            assert re.search("process_start_time_seconds|unless [a-z_]+ offset", alert["expr"]), name(alert)


def test_the_pod_monitor_keeps_the_labels_of_the_workloads() -> None:
    """Without honorLabels an alert's namespace and pod would be the agent's; without node nobody knew where to look."""
    monitor = yaml.safe_load((COMPONENT / "podmonitor.yaml").read_text())
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["honorLabels"] is True
    given = {relabeling["targetLabel"]: relabeling for relabeling in endpoint["relabelings"]}
    assert given["node"]["sourceLabels"] == ["__meta_kubernetes_pod_node_name"]
    assert given["job"]["replacement"] == "oomward"


def test_the_component_holds_all_that_is_in_its_folder() -> None:
    component = yaml.safe_load((COMPONENT / "kustomization.yaml").read_text())
    (generated,) = component["configMapGenerator"]
    assert component["kind"] == "Component"
    assert generated["options"]["labels"]["grafana_dashboard"] == "1"
    files = {*component["resources"], *(file.partition("=")[2] for file in generated["files"])}
    assert files == {path.name for path in COMPONENT.iterdir()} - {"kustomization.yaml"}
