"""The API's stand-in itself: what it gives and refuses, as the real server does."""

from __future__ import annotations

from typing import Any

import pytest

from agent.kube.api import Api, ApiRefusedError
from agent.kube.events import event_body
from tests.lab.apiserver import ApiServer
from tests.unit.kube.conftest import pod_json
from tests.unit.kube.test_events import EVENTS, notice


def pods(api: Api, path: str = "/api/v1/pods", **query: str) -> Any:
    return api.request("GET", path, query).json(1 << 20)


def names(found: Any) -> list[str]:
    return [item["metadata"]["name"] for item in found["items"]]


@pytest.fixture
def three(server: ApiServer) -> None:
    server.put_pod(pod_json("a", "1", labels={"app": "lab", "tier": "web"}))
    server.put_pod(pod_json("b", "2", labels={"app": "lab"}, phase="Pending"))
    server.put_pod(pod_json("c", "3", node="node-2"))


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("app=lab", ["a", "b"]),
        ("app!=lab", ["c"]),
        ("app in (lab, x),tier", ["a"]),
        ("app notin (lab)", ["c"]),
        ("!tier", ["b", "c"]),
        ("tier==web", ["a"]),
    ],
)
def test_label_selectors_select(api: Api, three: None, selector: str, found: list[str]) -> None:
    assert names(pods(api, labelSelector=selector)) == found


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("spec.nodeName=node-1", ["a", "b"]),
        ("spec.nodeName!=node-1", ["c"]),
        ("status.phase=Pending", ["b"]),
        ("metadata.name=c", ["c"]),
    ],
)
def test_field_selectors_select_and_unknown_fields_are_refused(
    api: Api, three: None, selector: str, found: list[str]
) -> None:
    assert names(pods(api, fieldSelector=selector)) == found
    with pytest.raises(ApiRefusedError) as refused:
        pods(api, fieldSelector="spec.hostname=x")
    assert refused.value.status == 400


def test_lists_come_in_pages_when_asked_for(api: Api, three: None) -> None:
    first = pods(api, limit="2")
    assert (names(first), first["metadata"]["remainingItemCount"]) == (["a", "b"], 1)
    rest = pods(api, limit="2", **{"continue": first["metadata"]["continue"]})
    assert names(rest) == ["c"]


def test_versions_rise_with_every_change(api: Api, server: ApiServer, three: None) -> None:
    before = int(pods(api)["metadata"]["resourceVersion"])
    server.delete_pod("default", "a")
    assert int(pods(api)["metadata"]["resourceVersion"]) == before + 1


def test_an_events_series_may_change_and_nothing_else(api: Api, server: ApiServer) -> None:
    path = f"{EVENTS}/default/events"
    api.request("POST", path, body=event_body(notice(), "node-1")).close()
    series = {"series": {"count": 3, "lastObservedTime": "2026-01-01T00:00:00.000000Z"}}
    merge = "application/merge-patch+json"
    api.request("PATCH", f"{path}/herder-1.1", body=series, content_type=merge).close()
    assert server.events[0]["series"]["count"] == 3
    for wrong in ({"note": "other"}, {"series": {"count": 1, "lastObservedTime": "2026-01-01T00:00:00.000000Z"}}):
        with pytest.raises(ApiRefusedError) as refused:
            api.request("PATCH", f"{path}/herder-1.1", body=wrong, content_type=merge)
        assert refused.value.status == 422


@pytest.mark.parametrize(
    "change",
    [
        {"note": "x" * 1025}, {"action": ""}, {"reason": "r" * 129}, {"type": "Odd"}, {"eventTime": None}, {"reportingController": ""},
        {"deprecatedCount": 1}, {"metadata": {"name": "UPPER", "namespace": "default"}}, {"regarding": {"namespace": "other"}},
    ],
)  # fmt: skip
def test_events_that_the_real_server_would_refuse_are_refused(
    api: Api, server: ApiServer, change: dict[str, Any]
) -> None:
    with pytest.raises(ApiRefusedError) as refused:
        api.request("POST", f"{EVENTS}/default/events", body={**event_body(notice(), "node-1"), **change})
    assert (refused.value.status, server.events) == (422, [])
