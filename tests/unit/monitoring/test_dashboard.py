"""Every panel of the dashboard asks something, and asks for what there is."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.monitoring.dashboard import OTHERS, load, panels, queries, variables
from tests.unit.monitoring.names import OTHERS_METRICS, foreign_names, metrics_in, own_metrics, wrong_labels


def title(panel: dict[str, Any]) -> str:
    return str(panel["title"])


def test_the_dashboard_is_one_that_grafana_takes() -> None:
    dashboard = load()
    assert dashboard["uid"] == "oomward"
    assert dashboard["title"]
    assert dashboard["schemaVersion"] >= 39
    assert "id" not in dashboard, "an id is Grafana's own to give"
    assert [variable["name"] for variable in dashboard["templating"]["list"]] == [
        "datasource",
        "cluster",
        "node",
        "namespace",
        "workload",
    ]


def test_no_two_panels_are_one_and_none_lies_on_another() -> None:
    rows = [panel for panel in load()["panels"] if panel["type"] == "row"]
    every = [*rows, *panels()]
    assert len({panel["id"] for panel in every}) == len(every)
    assert len({panel["title"] for panel in panels()}) == len(panels())
    for shown in (load()["panels"], *([row, *row["panels"]] for row in rows)):
        taken: set[tuple[int, int]] = set()
        for panel in shown:
            at = panel["gridPos"]
            cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            assert at["x"] + at["w"] <= 24
            assert not cells & taken, panel["title"]
            taken |= cells


def test_only_the_row_of_kills_is_open_and_a_collapsed_row_holds_its_panels() -> None:
    rows = [panel for panel in load()["panels"] if panel["type"] == "row"]
    assert [row["title"] for row in rows if not row["collapsed"]] == ["Kills"]
    assert all(bool(row["panels"]) is row["collapsed"] for row in rows)
    last = load()["panels"].index(rows[1])
    assert all(panel["type"] == "row" for panel in load()["panels"][last:]), (
        "Grafana hides what stands behind a collapsed row"
    )


def test_every_query_follows_the_choice_of_cluster_and_all_but_one_that_of_node() -> None:
    assert [q.panel for q in queries() if 'cluster=~"$cluster"' not in q.expr] == []
    assert {q.panel for q in queries() if 'node=~"$node"' not in q.expr} == {"Near the limit"}, (
        "kube-state-metrics has none"
    )


def test_every_series_of_a_container_follows_the_choice_of_namespace_and_workload() -> None:
    of_containers = re.compile(
        r"\b((?:oomward_(?:oom_kill(?!s_without)|last|memory_limit|container_oom)|container_|kube_)[a-z_]*)\{([^}]*)\}"
    )
    for query in queries():
        for metric, selector in of_containers.findall(re.sub(r"\{[0-9,]+\}", "", query.expr)):
            assert 'namespace=~"$namespace"' in selector, (query.panel, metric)
            assert 'pod=~"($workload)' in selector, (query.panel, metric)


PODS = {
    "web-7d5bcf9f8d-x2x4k": "web",
    "db-0": "db",
    "agent-x2x4k": "agent",
    "report-29012345-x2x4k": "report",
    "bare": "bare",
    "web-api-7d5bcf9f8d-x2x4k": "web-api",
}


@pytest.mark.parametrize(("pod", "workload"), PODS.items())
def test_a_workload_is_named_by_its_pods_and_choosing_it_shows_them_and_no_others(pod: str, workload: str) -> None:
    """As Prometheus and Grafana match: the whole name, and the first group."""
    named = re.fullmatch(variables()["workload"]["regex"].strip("/"), pod)
    assert named is not None
    assert named[1] == workload
    expr = next(query for query in queries() if query.panel == "Processes killed").filled(workload=re.escape(workload))
    (chosen,) = re.findall(r'pod=~"([^"]*)"', expr)
    assert {one for one in PODS if re.fullmatch(chosen, one)} == {pod}


def test_with_all_chosen_a_kill_without_cluster_pod_or_node_is_shown() -> None:
    expr = next(query for query in queries() if query.panel == "Processes killed").filled()
    assert all(re.fullmatch(pattern, "") for pattern in re.findall(r'=~"([^"]*)"', expr))
    assert all(one["allValue"] == ".*" for one in variables().values() if one["type"] == "query")


@pytest.mark.parametrize("panel", panels(), ids=title)
def test_a_panel_has_a_query_and_takes_the_data_source_that_was_chosen(panel: dict[str, Any]) -> None:
    assert panel["targets"]
    assert all(target["expr"].strip() for target in panel["targets"])
    sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
    assert all(source == {"type": "prometheus", "uid": "${datasource}"} for source in sources)


@pytest.mark.parametrize("panel", panels(), ids=title)
def test_a_panel_asks_for_metrics_that_the_agent_has_or_says_whose_they_are(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        expr = target["expr"]
        assert metrics_in(expr) - own_metrics() == set()
        assert wrong_labels(expr) == set()
        others = foreign_names(expr) - OTHERS_METRICS
        description = panel.get("description", "")
        assert bool(others) is description.startswith(OTHERS)
        assert all(metric in description for metric in others)


def test_no_variable_is_left_in_a_query_that_prometheus_gets() -> None:
    assert [query.panel for query in queries() if "$" in query.filled().replace('"$1"', "")] == []
    assert all("up" in q.expr or metrics_in(q.expr) or q.needs_others or "process_" in q.expr for q in queries())
