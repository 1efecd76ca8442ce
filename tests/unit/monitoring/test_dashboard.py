"""Every panel of the dashboard asks something, and asks for what there is."""

from __future__ import annotations

from typing import Any

import pytest

from tests.monitoring.dashboard import OTHERS, load, panels, queries
from tests.unit.monitoring.names import OTHERS_METRICS, foreign_names, metrics_in, own_metrics, wrong_labels


def title(panel: dict[str, Any]) -> str:
    return str(panel["title"])


def test_the_dashboard_is_one_that_grafana_takes() -> None:
    dashboard = load()
    assert dashboard["uid"] == "oomward"
    assert dashboard["title"]
    assert dashboard["schemaVersion"] >= 39
    assert "id" not in dashboard, "an id is Grafana's own to give"
    assert [variable["name"] for variable in dashboard["templating"]["list"]] == ["datasource", "namespace", "node"]


def test_no_two_panels_are_one_and_none_lies_on_another() -> None:
    everything = load()["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    taken: set[tuple[int, int]] = set()
    for panel in everything:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


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
