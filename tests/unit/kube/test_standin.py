"""The API's stand-in itself: what it gives and refuses, as the real server does."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from agent.events.sender import event_body
from agent.kube.api import Api, ApiRefusedError
from tests.lab.apifaults import Fault, How
from tests.lab.apiserver import ApiServer
from tests.unit.events.world import EVENTS, notice
from tests.unit.kube.world import pod_json


def pods(api: Api, path: str = "/api/v1/pods", **query: str) -> Any:
    return api.request("GET", path, query).json(1 << 20)


def names(found: Any) -> list[str]:
    return [item["metadata"]["name"] for item in found["items"]]


def status_of(request: Callable[[], Any]) -> int:
    """The status that a request is refused with; 200 when it is not."""
    try:
        request()
    except ApiRefusedError as error:
        return error.status
    return 200


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
    assert "continue" not in rest["metadata"]


def test_pages_are_of_one_version_and_expire_with_the_history(api: Api, server: ApiServer, three: None) -> None:
    first = pods(api, limit="1")
    server.delete_pod("default", "b")
    rest = {"continue": first["metadata"]["continue"]}
    assert names(pods(api, **rest)) == ["b", "c"]
    server.store.forget_history()
    assert status_of(lambda: pods(api, **rest)) == 410
    assert status_of(lambda: pods(api, **{"continue": "nonsense"})) == 400


def test_a_list_from_the_cache_comes_whole_whatever_its_limit(api: Api, three: None) -> None:
    assert names(pods(api, limit="1", resourceVersion="0")) == ["a", "b", "c"]


def test_a_namespaces_list_has_only_its_pods(api: Api, server: ApiServer, three: None) -> None:
    other = pod_json("d", "4")
    other["metadata"]["namespace"] = "other"
    server.put_pod(other)
    assert names(pods(api, "/api/v1/namespaces/other/pods")) == ["d"]
    assert names(pods(api)) == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"resourceVersion": "999999"}, 504),
        ({"resourceVersionMatch": "NotOlderThan"}, 422),
        ({"watch": "true", "resourceVersion": "1000", "resourceVersionMatch": "NotOlderThan"}, 422),
        ({"resourceVersion": "x"}, 400),
        ({"labelSelector": "a b"}, 400),
        ({"fieldSelector": "metadata.name=zzz,spec.bogus=1"}, 400),
        ({"fieldSelector": "metadata.name"}, 400),
        ({"watch": "true", "resourceVersion": "999999"}, 504),
    ],
)
def test_what_the_real_server_refuses_is_refused(api: Api, three: None, query: dict[str, str], status: int) -> None:
    assert status_of(lambda: pods(api, **query)) == status


def watch(api: Api, **query: str) -> list[tuple[str, Any]]:
    """A whole watch, as short as the server makes it."""
    raw = api.request("GET", "/api/v1/pods", {"watch": "true", "timeoutSeconds": "0.2", **query}).raw.read()
    return [(event["type"], event["object"]) for event in map(json.loads, raw.splitlines())]


@pytest.mark.parametrize("version", ["", "0"])
def test_a_watch_without_a_version_begins_with_what_is_there(api: Api, three: None, version: str) -> None:
    found = watch(api, resourceVersion=version, labelSelector="app=lab")
    assert [(kind, pod["metadata"]["name"]) for kind, pod in found] == [("ADDED", "a"), ("ADDED", "b")]


def test_a_cache_that_lags_lists_what_it_has_refuses_what_it_lacks_and_leaves_consistent_reads_alone(
    api: Api, server: ApiServer, three: None
) -> None:
    old = server.store.version
    server.put_pod(pod_json("a", "1", labels={"app": "new"}))
    server.delete_pod("default", "b")
    server.put_pod(pod_json("d", "4"))
    new = str(server.store.version)
    server.store.lag(old)
    stale = pods(api, resourceVersion="0")
    assert (names(stale), stale["metadata"]["resourceVersion"]) == (["a", "b", "c"], str(old))
    assert stale["items"][0]["metadata"]["labels"]["app"] == "lab"
    assert names(pods(api, resourceVersion=str(old), resourceVersionMatch="NotOlderThan")) == ["a", "b", "c"]
    with pytest.raises(ApiRefusedError, match=f"Too large resource version: {new}, current: {old}"):
        pods(api, resourceVersion=new, resourceVersionMatch="NotOlderThan")
    assert names(pods(api)) == ["a", "c", "d"]
    assert [pod for kind, pod in watch(api, resourceVersion=new) if kind != "BOOKMARK"] == [], "it waits in silence"
    assert watch(api, resourceVersion=str(old)) == []
    server.store.catch_up()
    assert len(watch(api, resourceVersion=str(old))) == 3


def test_a_watch_tells_of_pods_that_come_into_and_leave_the_selection(api: Api, server: ApiServer, three: None) -> None:
    version = pods(api)["metadata"]["resourceVersion"]
    server.put_pod(pod_json("c", "3", phase="Failed"))
    server.put_pod(pod_json("c", "3", phase="Succeeded"))
    server.put_pod(pod_json("a", "1", node="node-2"))
    server.delete_pod("default", "b")
    found = watch(api, resourceVersion=version, fieldSelector="spec.nodeName=node-1")
    assert [(kind, pod["metadata"]["name"]) for kind, pod in found] == [
        ("ADDED", "c"), ("MODIFIED", "c"), ("DELETED", "a"), ("DELETED", "b")
    ]  # fmt: skip
    assert found[2][1]["spec"]["nodeName"] == "node-1", "as it was last seen inside"
    versions = [int(pod["metadata"]["resourceVersion"]) for _, pod in found]
    assert versions == list(range(int(version) + 1, int(version) + 5))


def test_bookmarks_come_only_when_asked_for_and_carry_the_version(api: Api, server: ApiServer, three: None) -> None:
    version = pods(api)["metadata"]["resourceVersion"]
    assert watch(api, resourceVersion=version) == []
    found = watch(api, resourceVersion=version, allowWatchBookmarks="true")
    assert {kind for kind, _ in found} == {"BOOKMARK"}
    assert found[0][1]["metadata"]["resourceVersion"] == version


def test_a_version_older_than_the_history_is_gone_in_the_form_that_is_set(api: Api, server: ApiServer) -> None:
    version = pods(api)["metadata"]["resourceVersion"]
    for i in range(21):
        server.put_pod(pod_json(f"p{i}", f"u{i}"))
    ((kind, error),) = watch(api, resourceVersion=version)
    assert (kind, error["code"], error["reason"]) == ("ERROR", 410, "Expired")
    server.gone_as = "status"
    assert status_of(lambda: watch(api, resourceVersion=version)) == 410


def test_the_oldest_version_that_is_remembered_can_be_watched_from(api: Api, server: ApiServer) -> None:
    server.put_pod(pod_json("p", "u"))
    version = pods(api)["metadata"]["resourceVersion"]
    for i in range(20):
        server.put_pod(pod_json(f"p{i}", f"u{i}"))
    assert len(watch(api, resourceVersion=version)) == 20


def test_single_objects_are_found_or_a_404(api: Api, server: ApiServer, three: None) -> None:
    server.store.put_node({"kind": "Node", "metadata": {"name": "node-1"}})
    assert pods(api, "/api/v1/namespaces/default/pods/a")["metadata"]["name"] == "a"
    assert pods(api, "/api/v1/nodes/node-1")["metadata"]["name"] == "node-1"
    assert pods(api, "/version")["major"] == "1"
    for path in ("/api/v1/namespaces/other/pods/a", "/api/v1/nodes/x", "/api/v1/secrets", "/"):
        assert status_of(lambda path=path: pods(api, path)) == 404  # type: ignore[misc]


def test_a_permission_can_be_asked_for(api: Api, server: ApiServer) -> None:
    server.denied.add(("create", "events"))

    def allowed(verb: str, resource: str) -> Any:
        review = {"spec": {"resourceAttributes": {"verb": verb, "resource": resource}}}
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        return api.request("POST", path, body=review).json(10_000)["status"]["allowed"]

    assert (allowed("list", "pods"), allowed("create", "events")) == (True, False)


def test_a_fault_meets_only_what_it_is_meant_for_and_only_so_often(api: Api, server: ApiServer) -> None:
    server.faults.add(Fault(How.STATUS, "list", "/api/v1/namespaces/x", times=2, status=503))
    assert names(pods(api)) == []
    asked = [status_of(lambda: pods(api, "/api/v1/namespaces/x/pods")) for _ in range(3)]
    assert asked == [503, 503, 200]


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
        {"deprecatedCount": 1}, {"metadata": {"name": "UPPER", "namespace": "default"}}, {"reportingController": "a/b/c"},
    ],
)  # fmt: skip
def test_events_that_the_real_server_would_refuse_are_refused(
    api: Api, server: ApiServer, change: dict[str, Any]
) -> None:
    with pytest.raises(ApiRefusedError) as refused:
        api.request("POST", f"{EVENTS}/default/events", body={**event_body(notice(), "node-1"), **change})
    assert (refused.value.status, server.events) == (422, [])


@pytest.mark.parametrize(
    "change",
    [
        {"reason": 5},
        {"reason": False},
        {"metadata": {"name": "a", "namespace": "other"}},
        {"eventTime": "yesterday"},
        {"eventTime": "2026-13-01T00:00:00.000000Z"},
        {"eventTime": "2026-01-01T00:00:00Z"},
        {"regarding": []},
        {"series": {"count": "2"}},
    ],
)
def test_what_is_no_event_at_all_is_a_bad_request(api: Api, server: ApiServer, change: dict[str, Any]) -> None:
    body = {**event_body(notice(), "node-1"), **change}
    assert status_of(lambda: api.request("POST", f"{EVENTS}/default/events", body=body)) == 400


def test_event_lengths_are_counted_in_bytes(api: Api) -> None:
    path = f"{EVENTS}/default/events"
    assert status_of(lambda: api.request("POST", path, body={**event_body(notice(), "n"), "note": "é" * 513})) == 422
    assert status_of(lambda: api.request("POST", path, body={**event_body(notice(), "n"), "note": "é" * 512})) == 200


@pytest.mark.parametrize(("namespace", "status"), [("default", 200), ("kube-system", 200), ("lab", 422)])
def test_events_about_cluster_objects_live_in_two_namespaces_only(api: Api, namespace: str, status: int) -> None:
    body: dict[str, Any] = event_body(notice(), "node-1")
    body |= {"regarding": {"kind": "Node", "name": "node-1"}, "metadata": {"name": "n.1", "namespace": namespace}}
    assert status_of(lambda: api.request("POST", f"{EVENTS}/{namespace}/events", body=body)) == status


def test_a_patch_must_say_how_it_is_meant_and_find_its_event(api: Api) -> None:
    path, series = f"{EVENTS}/default/events", {"series": None}
    assert status_of(lambda: api.request("PATCH", f"{path}/x", body=series)) == 415
    merge = "application/merge-patch+json"
    assert status_of(lambda: api.request("PATCH", f"{path}/x", body=series, content_type=merge)) == 404


def test_events_can_be_listed_by_namespace(api: Api) -> None:
    api.request("POST", f"{EVENTS}/default/events", body=event_body(notice(), "node-1")).finish()
    assert names(pods(api, f"{EVENTS}/default/events")) == ["herder-1.1"]
    assert names(pods(api, f"{EVENTS}/other/events")) == []
    assert pods(api, f"{EVENTS}/default/events/herder-1.1")["reason"] == "ProcessOOMKilled"


def test_a_watch_tells_of_any_object_that_came_and_went_since_its_list(api: Api, server: ApiServer) -> None:
    stored, namespaces = server.objects.stored, ("/api/v1", "namespaces", "")
    stored[*namespaces, "old"] = {"metadata": {"name": "old"}}
    stored[*namespaces, "kept"] = {"metadata": {"name": "kept"}}
    version = pods(api, "/api/v1/namespaces")["metadata"]["resourceVersion"]
    del stored[*namespaces, "old"]
    stored[*namespaces, "new"] = {"metadata": {"name": "new"}}
    query = {"watch": "true", "resourceVersion": version, "timeoutSeconds": "0.1"}
    answer = api.request("GET", "/api/v1/namespaces", query)
    events = [json.loads(line) for line in b"".join(answer.parts()).splitlines()]
    assert {(one["type"], one["object"]["metadata"]["name"]) for one in events} == {
        ("DELETED", "old"),
        ("ADDED", "new"),
    }
